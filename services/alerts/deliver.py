"""Delivering: the attempt is on record before anything leaves, its outcome after; no transaction is open meanwhile.

A batch takes two transactions, however many deliveries it holds. What a slow receiver answers is recorded by itself.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection

from services.alerts import message
from services.alerts.channel import (
    AlertView,
    OutboundMessage,
    Rejected,
    Sending,
    TryAgain,
    Unavailable,
    after_failure,
)
from services.alerts.dispatch import Dispatcher, Endpoint, NotSent, Outcome
from services.alerts.store import deliveries, views
from services.alerts.store.deliveries import Ending, Held
from shared import tasks
from shared.db import Database
from shared.tasks import LeaseLost, Tally, Task

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=30)
PAUSED = timedelta(seconds=15)


@dataclass(frozen=True, slots=True)
class Delivering:
    """What delivering needs: how this installation sends, where its links lead, and where figures go."""

    sending: Sending
    dispatcher: Dispatcher
    public_url: str
    currency: str
    real_now: Callable[[], datetime]
    observe_seconds: Callable[[float], None]
    count: Callable[[Tally], None]


class DeliveryBatch:
    """One batch of deliveries."""

    def __init__(self, database: Database, shared: Delivering) -> None:
        self._database = database
        self._shared = shared
        self._tasks: dict[UUID, Task] = {}

    def run(self, batch: Sequence[Task]) -> Tally:
        """Deliver what can be delivered now. One that fails never spends another's attempt."""
        self._tasks = {UUID(task.key): task for task in batch}
        with self._database.transaction(fresh_plans=True) as connection:
            tasks.assert_lease(connection, batch, LEASE)
            messages = self._start(connection)
        outcomes = self._shared.dispatcher.send(messages, self._record_late, self._is_paused)
        return self._record(outcomes)

    def _start(self, connection: Connection) -> list[tuple[Held, OutboundMessage]]:
        """Put the attempts on record and write the messages; end or defer the tasks of what is not sent now."""
        if deliveries.is_paused(connection):
            tasks.defer(connection, list(self._tasks.values()), PAUSED, "sending is paused")
            return []
        held = deliveries.hold(connection, list(self._tasks))
        shown = views.load(
            connection, [alert for each in held.values() for alert in each.alert_ids], self._shared.currency
        )
        ready: list[Held] = []
        ended: dict[UUID, tuple[str, str | None]] = {}
        deferred: defaultdict[NotSent, list[Task]] = defaultdict(list)
        started: Counter[Endpoint] = Counter()
        for delivery in held.values():
            if end := self._end_of(delivery, has_alerts=any(each in shown for each in delivery.alert_ids)):
                ended[delivery.id] = end
                continue
            room = self._shared.dispatcher.room(delivery.endpoint)
            if isinstance(room, NotSent):
                deferred[room].append(self._tasks[delivery.id])
            elif room is not None and started[delivery.endpoint] >= room:
                deferred[NotSent("its endpoint has not answered yet")].append(self._tasks[delivery.id])
            else:
                started[delivery.endpoint] += 1
                ready.append(delivery)
        if ended:
            deliveries.set_states(connection, ended)
        if done := [task for key, task in self._tasks.items() if key in ended or key not in held]:
            tasks.complete(connection, done)
        for why, waiting in deferred.items():
            tasks.defer(connection, waiting, why.delay, why.reason)
        if ready:
            deliveries.start_attempts(connection, ready)
        return [(each, self._message(each, shown)) for each in ready]

    def _end_of(self, delivery: Held, *, has_alerts: bool) -> tuple[str, str | None] | None:
        """The state a delivery comes to that is not to be sent any more, and why; None when it is to be sent."""
        if delivery.is_expired:
            return "expired", "too old to send; it stays in the inbox"
        if not delivery.is_endpoint_on:
            return "dead", "the endpoint is switched off"
        if not has_alerts:
            return "dead", "there is nothing left to send"
        state, reason = self._shared.sending.state_of(delivery.channel, delivery.recipient)
        return None if state == "ready" else (state, reason)

    def _message(self, delivery: Held, shown: dict[int, AlertView]) -> OutboundMessage:
        views_of_it = [shown[each] for each in delivery.alert_ids if each in shown]
        url, key = self._shared.public_url, self._shared.sending.config.secret_key
        return OutboundMessage(
            delivery_id=delivery.id,
            recipient=delivery.recipient,
            alerts=tuple((each, message.link_of(url, key, each.public_id)) for each in views_of_it),
            now=self._shared.real_now(),
            secret_number=delivery.secret_number,
        )

    def _is_paused(self) -> bool:
        with self._database.autocommit() as connection:
            return deliveries.is_paused(connection)

    def _record_late(self, outcome: Outcome) -> None:
        """Record what ended after its batch. Where that fails, the lease expires and the delivery is tried again."""
        try:
            self._shared.count(self._record([outcome]))
        except Exception:  # the boundary of a thread
            log.exception("the outcome of delivery %s could not be recorded", outcome.delivery.id)

    def _record(self, outcomes: Sequence[Outcome]) -> Tally:
        """Record how attempts ended and what comes next, in one transaction. A lost lease loses no other outcome."""
        if not outcomes:
            return Tally()
        try:
            with self._database.transaction(fresh_plans=True) as connection:
                endings = self._record_tried(connection, outcomes)
                self._take_back(connection, outcomes)
        except LeaseLost:
            if len(outcomes) == 1:
                return Tally({("tasks", "deliver", "lease_lost"): 1})
            return sum((self._record([each]) for each in outcomes), Tally())
        return Tally(("deliveries", each.delivery.channel, each.outcome) for each in endings)

    def _record_tried(self, connection: Connection, outcomes: Sequence[Outcome]) -> list[Ending]:
        """Record each attempt that was made; complete its task, or let it be tried again."""
        now = self._shared.real_now()
        endings: list[Ending] = []
        done: list[Task] = []
        for delivery, result in ((each.delivery, each.result) for each in outcomes):
            if isinstance(result, NotSent):
                continue
            task = self._tasks[delivery.id]
            if not isinstance(result, Rejected | Unavailable):
                endings.append(Ending(delivery, "sent", state="sent", receipt=result))
                done.append(task)
                continue
            step = after_failure(delivery.attempts + 1, result, now, delivery.id)
            if isinstance(step, TryAgain) and step.at < delivery.expires_at:
                endings.append(Ending(delivery, result.outcome, str(result)))
                tasks.retry(connection, task, step.at - now, str(result))
                continue
            state, reason = "expired", f"it would be too old at the next try; the last: {result}"
            if not isinstance(step, TryAgain):
                state, reason = "dead", step.reason
                if step.disables and delivery.endpoint_id is not None:
                    deliveries.switch_off(connection, delivery.endpoint_id, step.reason)
            endings.append(Ending(delivery, result.outcome, str(result), state, reason))
            done.append(task)
        if done:
            tasks.complete(connection, done)
        if endings:
            for seconds in deliveries.end_attempts(connection, endings):
                self._shared.observe_seconds(seconds)
        return endings

    def _take_back(self, connection: Connection, outcomes: Sequence[Outcome]) -> None:
        """Delete the attempts that were not made; their deliveries are tried later."""
        not_made: defaultdict[NotSent, list[Held]] = defaultdict(list)
        for each in outcomes:
            if isinstance(each.result, NotSent):
                not_made[each.result].append(each.delivery)
        for why, held in not_made.items():
            deliveries.take_back_attempts(connection, held)
            tasks.defer(connection, [self._tasks[each.id] for each in held], why.delay, why.reason)
