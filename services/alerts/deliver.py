"""Delivering: the attempt is on record before anything leaves, and no transaction is open meanwhile."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from services.alerts import links, message, payload
from services.alerts.channel import (
    Channel,
    ChannelConfig,
    OutboundMessage,
    Receipt,
    Rejected,
    Send,
    Unavailable,
)
from services.alerts.retry import TryAgain, after_failure
from services.alerts.store import deliveries, views
from services.alerts.store.deliveries import Held, Started
from services.alerts.store.outbox import Sending, state_of
from services.alerts.view import AlertView
from shared import tasks
from shared.db import Database
from shared.tasks import LeaseLost, Tally, Task

LEASE = timedelta(seconds=30)
BREAKER_OPEN = timedelta(seconds=60)
PAUSED = timedelta(seconds=15)


@dataclass(frozen=True, slots=True)
class Delivering:
    """What delivering needs: the channels, their configuration, and the breakers.

    `open_until`: the endpoints whose breaker is open; after that, one delivery tries whether they answer (half-open).
    """

    channels: Mapping[str, Channel]
    config: ChannelConfig
    sending: Sending
    public_url: str
    currency: str
    real_now: Callable[[], datetime]
    observe_seconds: Callable[[float], None]
    open_until: dict[tuple[str, str | None], datetime] = field(default_factory=dict)


class DeliveryBatch:
    """One batch of deliveries: each channel is opened once, an endpoint whose breaker is open is not called."""

    def __init__(self, database: Database, shared: Delivering) -> None:
        self._database = database
        self._shared = shared
        self._open: dict[str, Send] = {}
        self._views: dict[int, AlertView] = {}
        self.tally = Tally()

    def run(self, batch: Sequence[Task]) -> Tally:
        """Deliver what can be delivered, each on its own: one that fails never spends a neighbour's attempt."""
        with self._database.transaction() as connection:
            alerts = deliveries.alerts_of(connection, [UUID(task.key) for task in batch])
            self._views = views.load(connection, alerts, self._shared.currency)
        with ExitStack() as stack:
            for task in batch:
                try:
                    self._deliver(task, stack)
                except LeaseLost:
                    self.tally["tasks", "deliver", "lease_lost"] += 1
        return self.tally

    def _deliver(self, task: Task, stack: ExitStack) -> None:
        begun = self._begin(task)
        if begun is None:
            return
        started, message_out = begun
        try:
            receipt = self._sender(started.delivery.channel, stack)(message_out)
        except Unavailable as error:
            if error.is_down:
                self._shared.open_until[started.delivery.endpoint] = self._shared.real_now() + BREAKER_OPEN
            self._failed(task, started, error)
        except Rejected as error:
            self._failed(task, started, error)
        else:
            self._sent(task, started, receipt)

    def _begin(self, task: Task) -> tuple[Started, OutboundMessage] | None:
        """Put the attempt on record and write the message. None when there is nothing to send now."""
        with self._database.transaction() as connection:
            tasks.assert_lease(connection, [task], LEASE)
            if deliveries.is_paused(connection):
                tasks.defer(connection, [task], PAUSED, "sending is paused")
                return None
            delivery = deliveries.hold(connection, UUID(task.key))
            if delivery is None:
                tasks.complete(connection, [task])
                return None
            state, reason = state_of(
                self._shared.channels.get(delivery.channel), delivery.recipient, self._shared.sending
            )
            if state != "ready":
                deliveries.set_state(connection, delivery.id, state, reason)
                tasks.complete(connection, [task])
                return None
            if self._is_breaker_open(delivery):
                tasks.defer(connection, [task], BREAKER_OPEN, "its endpoint is down")
                return None
            shown = [self._views[each] for each in delivery.alert_ids if each in self._views]
            if not shown or delivery.channel not in self._shared.channels:
                fault = "no such channel is installed" if shown else "there is nothing left to say"
                deliveries.set_state(connection, delivery.id, "dead", fault)
                tasks.complete(connection, [task])
                return None
            return deliveries.start(connection, delivery), self._message(shown, delivery)

    def _is_breaker_open(self, delivery: Held) -> bool:
        """Did its endpoint not answer less than a minute ago? After that, one delivery asks it again."""
        until = self._shared.open_until.get(delivery.endpoint)
        return until is not None and self._shared.real_now() < until

    def _message(self, shown: Sequence[AlertView], delivery: Held) -> OutboundMessage:
        url, key = self._shared.public_url, self._shared.config.secret_key
        linked = [(view, links.link_of(url, key, view.public_id)) for view in shown]
        return OutboundMessage(
            delivery_id=delivery.id,
            recipient=delivery.recipient,
            rendered=message.write(linked),
            payload=payload.payload(linked, delivery.id),
            now=self._shared.real_now(),
            secret_number=delivery.secret_number,
        )

    def _sender(self, channel: str, stack: ExitStack) -> Send:
        if channel not in self._open:
            self._open[channel] = stack.enter_context(
                self._shared.channels[channel].open(self._shared.config)
            )
        return self._open[channel]

    def _sent(self, task: Task, started: Started, receipt: Receipt) -> None:
        with self._database.transaction() as connection:
            seconds = deliveries.record_sent(connection, started, receipt)
            tasks.complete(connection, [task])
        self.tally["deliveries", started.delivery.channel, "sent"] += 1
        if seconds is not None:
            self._shared.observe_seconds(seconds)

    def _failed(self, task: Task, started: Started, error: Rejected | Unavailable) -> None:
        """Record the failure and what comes next: another try of the same delivery, or none."""
        now = self._shared.real_now()
        outcome = _outcome(error)
        step = after_failure(started.n, error, now, started.delivery.id)
        with self._database.transaction() as connection:
            deliveries.end_attempt(connection, started, outcome, str(error))
            if isinstance(step, TryAgain):
                tasks.retry(connection, task, step.at - now, str(error))
            else:
                deliveries.set_state(connection, started.delivery.id, "dead", step.reason)
                if step.disables and started.delivery.endpoint_id is not None:
                    deliveries.switch_off(connection, started.delivery.endpoint_id, step.reason)
                tasks.complete(connection, [task])
        self.tally["deliveries", started.delivery.channel, outcome] += 1


def _outcome(error: Rejected | Unavailable) -> str:
    if isinstance(error, Rejected):
        return "rejected"
    return "unknown" if error.is_unknown else "unavailable"
