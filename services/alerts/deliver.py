"""Delivering: the attempt is on record before anything leaves, its outcome after; no transaction is open meanwhile.

A batch takes two transactions, however many deliveries it holds. What a slow receiver answers is recorded by itself.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection

from services.alerts import message, notices
from services.alerts.channel import (
    AlertView,
    OutboundMessage,
    Rejected,
    Sending,
    TryAgain,
    Unavailable,
    after_failure,
)
from services.alerts.dispatch import DOWN, Dispatcher, NotSent, Outcome
from services.alerts.notices import Notice
from services.alerts.store import deliveries, health, views
from services.alerts.store.deliveries import Ending, Held
from services.alerts.store.health import Endpoint, Failing
from services.alerts.store.notices import name_of, save_notice
from shared import tasks
from shared.db import Database
from shared.sealing import Unsealable, sealer_of
from shared.tasks import LeaseLost, Tally, Task

log = logging.getLogger(__name__)

UNREADABLE = NotSent(
    "its endpoint's address was sealed under another TIPOFF_SECRET_KEY", timedelta(minutes=10)
)
LEASE = timedelta(seconds=30)
PAUSED = timedelta(seconds=15)


@dataclass(frozen=True, slots=True)
class Delivering:
    """What delivering needs: how this installation sends, where its links lead, and where figures go.

    `tokens`: of deliveries on their way, the fence each was claimed with, for their leases last longer than a batch.
    """

    sending: Sending
    dispatcher: Dispatcher
    public_url: str
    currency: str
    real_now: Callable[[], datetime]
    observe_seconds: Callable[[float], None]
    count: Callable[[Tally], None]
    tokens: dict[UUID, UUID] = field(default_factory=dict)

    def leased(self) -> set[UUID]:
        """The tokens of batches that are over but for deliveries still on their way."""
        return {self.tokens[each] for each in self.dispatcher.on_their_way() if each in self.tokens}


class DeliveryBatch:
    """One batch of deliveries."""

    def __init__(self, database: Database, shared: Delivering) -> None:
        self._database = database
        self._shared = shared
        self._tasks: dict[UUID, Task] = {}
        self._cut: list[Held] = []

    def run(self, batch: Sequence[Task]) -> Tally:
        """Deliver what can be delivered now. One that fails never spends another's attempt."""
        self._tasks = {UUID(task.key): task for task in batch}
        with self._database.transaction(fresh_plans=True) as connection:
            tasks.assert_lease(connection, batch, LEASE)
            messages = self._start(connection)
        self._shared.tokens.update((each.id, self._tasks[each.id].token) for each, _ in messages)
        outcomes = self._shared.dispatcher.send(messages, self._record_late, self._is_paused)
        return self._record(outcomes) + Tally(("deliveries", each.channel, "unknown") for each in self._cut)

    def _start(self, connection: Connection) -> list[tuple[Held, OutboundMessage]]:
        """Put the attempts on record and write the messages; end or defer the tasks of what is not sent now."""
        if deliveries.is_paused(connection):
            tasks.defer(connection, list(self._tasks.values()), PAUSED, "sending is paused")
            return []
        held = deliveries.hold(connection, list(self._tasks))
        self._cut = [each for each in held.values() if each.is_cut]
        deliveries.end_cut_attempts(connection, self._cut)
        shown = views.load(
            connection, [alert for each in held.values() for alert in each.alert_ids], self._shared.currency
        )
        ready: list[Held] = []
        ended: dict[UUID, tuple[str, str | None]] = {}
        deferred: defaultdict[NotSent, list[Task]] = defaultdict(list)
        addresses = {each.id: self._address(each) for each in held.values()}
        unreadable = {each for each, address in addresses.items() if address is None}
        rooms = self._rooms(connection, held.values())
        for delivery in held.values():
            end = self._end_of(
                delivery, addresses[delivery.id], has_alerts=bool(self._still_open(delivery, shown))
            )
            if end is not None:
                ended[delivery.id] = end
            elif delivery.id in unreadable:
                deferred[UNREADABLE].append(self._tasks[delivery.id])
            elif rooms[delivery.endpoint] > 0:
                rooms[delivery.endpoint] -= 1
                ready.append(delivery)
            else:
                is_down = delivery.open_until is not None
                why = (
                    NotSent("its endpoint is down", DOWN)
                    if is_down
                    else NotSent("its endpoint has not answered yet")
                )
                deferred[why].append(self._tasks[delivery.id])
        if ended:
            deliveries.set_states(connection, ended)
            self._tell_unsent(connection, [(held[key], *end) for key, end in ended.items()])
        if done := [task for key, task in self._tasks.items() if key in ended or key not in held]:
            tasks.complete(connection, done)
        for why, waiting in deferred.items():
            tasks.defer(connection, waiting, why.delay, why.reason)
        if ready:
            deliveries.start_attempts(connection, ready)
        return [(each, self._message(each, shown, addresses[each.id] or "")) for each in ready]

    def _address(self, delivery: Held) -> str | None:
        """Where a delivery goes, read from the endpoint it is for; None where no key of ours reads it."""
        if delivery.endpoint_id is None or delivery.sealed_address is None:
            return delivery.recipient
        sealer = sealer_of(*self._shared.sending.config.secret_keys)
        try:
            return sealer.open(delivery.sealed_address, deliveries.address_place(delivery.endpoint_id))
        except Unsealable as fault:
            log.error("the address of endpoint %s cannot be read: %s", delivery.endpoint_id, fault)  # noqa: TRY400
            return None

    def _rooms(self, connection: Connection, held: Iterable[Held]) -> dict[Endpoint, int]:
        """How many messages each endpoint may be sent now: none while its breaker is open, one when it is half-open."""
        broken = {each.endpoint: each.is_breaker_open for each in held if each.open_until is not None}
        probed = health.claim_probes(connection, [each for each, is_open in broken.items() if not is_open])
        rooms: dict[Endpoint, int] = {}
        for endpoint in {each.endpoint for each in held}:
            room = self._shared.dispatcher.room(endpoint)
            most = len(self._tasks) if room is None else room
            rooms[endpoint] = min(most, int(endpoint in probed)) if endpoint in broken else most
        return rooms

    def _end_of(
        self, delivery: Held, address: str | None, *, has_alerts: bool
    ) -> tuple[str, str | None] | None:
        """The state a delivery comes to that is not to be sent now, and why; None when it is to be sent."""
        if delivery.is_expired:
            return "expired", "too old to send; it stays in the inbox"
        if not delivery.is_endpoint_on:
            return "dead", "the endpoint is switched off"
        if delivery.suppressed is not None:
            return "dead", f"there is no such address: {delivery.suppressed}"
        if not has_alerts and delivery.notice is None:
            return "withdrawn", "there is nothing left to send"
        if delivery.is_cut and delivery.holds_unknown:
            return "held", "it may have arrived: the process died in between"
        sending = self._shared.sending
        if delivery.endpoint_id is not None and address is not None and not sending.allows_endpoint(address):
            return "not_allowed", "its host is not on the list of recipients (TIPOFF_RECIPIENTS: @host)"
        state, reason = sending.state_of(delivery.channel, delivery.recipient)
        return None if state == "ready" else (state, reason)

    def _message(self, delivery: Held, shown: dict[int, AlertView], address: str) -> OutboundMessage:
        views_of_it = self._still_open(delivery, shown)
        channel = self._shared.sending.channels[delivery.channel]
        return OutboundMessage(
            delivery_id=delivery.id,
            recipient=address,
            alerts=tuple((each, self._link(each, is_for_user=channel.is_for_users)) for each in views_of_it),
            now=self._shared.real_now(),
            secret_number=delivery.secret_number,
            notice=delivery.notice,
            buttons_of=delivery.endpoint_id if channel.has_buttons and delivery.has_signing_secret else None,
        )

    @staticmethod
    def _still_open(delivery: Held, shown: dict[int, AlertView]) -> list[AlertView]:
        """What a delivery is about and nobody has dealt with meanwhile, the best first.

        What was put off is in the list of the morning it was put off to.
        """

        def is_open(view: AlertView) -> bool:
            is_due = view.snoozed_until is not None and view.snoozed_until == delivery.send_after
            return view.state == "open" or is_due

        still = [shown[each] for each in delivery.alert_ids if each in shown and is_open(shown[each])]
        return sorted(still, key=lambda each: (not each.is_urgent, -each.value))

    def _link(self, view: AlertView, *, is_for_user: bool) -> str:
        """The page of an alert: to its recipient one that opens without sign-in, to endpoints the inbox's."""
        if not is_for_user:
            return message.page_of(self._shared.public_url, view.public_id)
        return message.link_of(
            self._shared.public_url, self._shared.sending.config.secret_key, view.public_id
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
        finally:
            for each in outcomes:
                self._shared.tokens.pop(each.delivery.id, None)
        return Tally(("deliveries", each.delivery.channel, each.outcome) for each in endings)

    def _record_tried(self, connection: Connection, outcomes: Sequence[Outcome]) -> list[Ending]:
        """Record each attempt that was made; complete its task, or let it be tried again."""
        now = self._shared.real_now()
        opened = self._note_health(connection, outcomes)
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
            ending = self._after_failure(connection, delivery, result, opened.get(delivery.endpoint), now)
            endings.append(ending)
            if ending.state is not None:
                done.append(task)
        if done:
            tasks.complete(connection, done)
        if endings:
            for seconds in deliveries.end_attempts(connection, endings):
                self._shared.observe_seconds(seconds)
        self._tell_unsent(
            connection,
            [(each.delivery, each.state, each.reason) for each in endings if each.state is not None],
        )
        return endings

    def _note_health(
        self, connection: Connection, outcomes: Sequence[Outcome]
    ) -> dict[Endpoint, datetime | None]:
        """Count failures and successes of endpoints. Returns until when the breakers of those that fail are open."""
        failing: defaultdict[Endpoint, Failing] = defaultdict(Failing)
        answering: set[Endpoint] = set()
        refused: dict[Endpoint, Outcome] = {}
        for each in outcomes:
            endpoint = each.delivery.endpoint
            if isinstance(each.result, Unavailable):
                seen = failing[endpoint]
                seen.failures += 1
                seen.last_error = str(each.result)
                seen.is_down = seen.is_down or each.is_down
                if each.result.is_refusal:
                    refused[endpoint] = each
            elif not isinstance(each.result, NotSent):
                failing.pop(endpoint, None)
                if each.delivery.is_failing:
                    answering.add(endpoint)
        for each in refused.values():
            named = name_of(connection, each.delivery.endpoint)
            notice = notices.refused(named, each.delivery.channel, str(each.result))
            self._tell(connection, notice, each.delivery)
        health.note_successes(connection, answering)
        return health.note_failures(connection, dict(sorted(failing.items())))

    def _after_failure(
        self,
        connection: Connection,
        delivery: Held,
        failure: Rejected | Unavailable,
        open_until: datetime | None,
        now: datetime,
    ) -> Ending:
        """Let the delivery be tried again: when its own schedule says, or when its endpoint is asked again.

        While an endpoint is down no delivery comes nearer to being given up.
        """
        task, reason = self._tasks[delivery.id], str(failure)
        if isinstance(failure, Unavailable) and failure.is_unknown and delivery.holds_unknown:
            return Ending(delivery, failure.outcome, reason, "held", f"it may have arrived: {reason}")
        step = after_failure(delivery.failures, failure, now, delivery.id)
        if isinstance(failure, Unavailable) and open_until is not None:
            step = TryAgain(open_until)
        if isinstance(step, TryAgain) and step.at < delivery.expires_at:
            if open_until is not None:
                tasks.defer(connection, [task], step.at - now, reason)
            else:
                tasks.retry(connection, task, step.at - now, reason)
            return Ending(delivery, failure.outcome, reason)
        if isinstance(step, TryAgain):
            return Ending(
                delivery,
                failure.outcome,
                reason,
                "expired",
                f"it would be too old at the next try; the last: {reason}",
            )
        if isinstance(failure, Rejected) and failure.disables and delivery.endpoint_id is not None:
            deliveries.switch_off(connection, delivery.endpoint_id, reason)
        if isinstance(failure, Rejected) and failure.suppresses:
            health.suppress(connection, delivery.channel, delivery.recipient, reason)
        return Ending(delivery, failure.outcome, reason, "dead", step.reason)

    def _tell_unsent(self, connection: Connection, ended: Iterable[tuple[Held, str, str | None]]) -> None:
        """Tell operators, by another way, of what ends unsent though it was to be sent."""
        unsent: dict[tuple[Endpoint, str], tuple[Held, str]] = {}
        for delivery, state, reason in ended:
            if state in notices.UNSENT:
                log.warning("delivery %s by %s is %s: %s", delivery.id, delivery.channel, state, reason)
                unsent[delivery.endpoint, state] = delivery, reason or ""
        for (_, state), (delivery, reason) in unsent.items():
            named = name_of(connection, delivery.endpoint)
            self._tell(connection, notices.unsent(named, delivery.channel, state, reason), delivery)

    def _tell(self, connection: Connection, notice: Notice, about: Held) -> None:
        if about.notice is None:  # a notice about notices would go round in circles
            save_notice(connection, notice, about.endpoint, self._shared.sending)

    def _take_back(self, connection: Connection, outcomes: Sequence[Outcome]) -> None:
        """Delete the attempts that were not made; their deliveries are tried later."""
        not_made: defaultdict[NotSent, list[Held]] = defaultdict(list)
        for each in outcomes:
            if isinstance(each.result, NotSent):
                not_made[each.result].append(each.delivery)
        for why, held in not_made.items():
            deliveries.take_back_attempts(connection, held)
            tasks.defer(connection, [self._tasks[each.id] for each in held], why.delay, why.reason)
