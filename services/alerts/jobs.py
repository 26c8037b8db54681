"""The alerts service's tasks: decide about the signals of an occasion, deliver what was decided, tidy."""

from collections.abc import Callable, Sequence
from functools import partial

from services.alerts import channels
from services.alerts.channel import Channel, ChannelConfig, Sending
from services.alerts.decide import decide
from services.alerts.deliver import LEASE, Delivering, DeliveryBatch
from services.alerts.dispatch import Dispatcher
from services.alerts.policy import Policy, standard_policy
from services.alerts.store import closing, history, notices
from services.alerts.store.closing import QUEUE
from services.alerts.store.record import record
from shared import tasks
from shared.clock import Clock, real_now
from shared.db import Database
from shared.metrics import Metrics
from shared.plugins import discover
from shared.settings import Settings
from shared.tasks import Handler, Tally, Task
from shared.worker import Periodic

Notify = Callable[[str], None]

MAX_ATTEMPTS = 100
"""Far beyond what the schedules use: how a delivery ends is theirs to say (services/alerts/channel.py)."""


def handlers(
    database: Database, settings: Settings, clock: Clock, metrics: Metrics, notify: Notify
) -> tuple[Handler, ...]:
    """Return how tasks of this service are done."""
    decider = partial(decide_batch, database, policy_of(settings), sending_of(settings), clock, notify)
    tidier = partial(tidy_batch, database, clock)
    delivering = delivering_of(settings, metrics)
    return (
        Handler("decide", decider, batch=500),
        Handler("tidy", tidier),
        Handler(
            "deliver",
            lambda batch: DeliveryBatch(database, delivering).run(batch),
            batch=200,
            lease=LEASE,
            max_attempts=MAX_ATTEMPTS,
            also_leased=delivering.leased,
        ),
    )


def periodic(settings: Settings, clock: Clock) -> tuple[Periodic, ...]:
    """Return what is done now and then: tidying, once a day of business, and telling of endpoints that fail."""
    return (
        lambda connection: closing.put_tidy(connection, clock().date()),
        partial(notices.watch, sending=sending_of(settings)),
    )


def decide_batch(
    database: Database, policy: Policy, sending: Sending, clock: Clock, notify: Notify, batch: Sequence[Task]
) -> Tally:
    """Decide about every signal of these occasions, and store the alerts and deliveries. Safe to run twice."""
    now = clock()
    occasions = sorted({task.key.partition("@")[0] for task in batch})
    orders = sorted(int(each.removeprefix("order:")) for each in occasions if each.startswith("order:"))
    with database.transaction(fresh_plans=True) as connection:
        history.ensure_users(connection)
        recipients = history.recipients_of(connection, occasions, orders, now.date())
        history.lock(connection, recipients)
        closing.amend(connection, orders, now)
        candidates = history.waiting(connection, occasions, recipients, now)
        closing.close_answered(connection, list(recipients.by_customer), now)
        plan = decide(candidates, policy, history.load_history(connection, candidates, policy, now), now)
        is_any_due = record(connection, plan, policy, sending, now)
        tasks.complete(connection, batch)
    if is_any_due:
        notify(QUEUE)
    return Tally(("alerts", each.candidate.kind, each.reason.value) for each in plan.decisions)


def tidy_batch(database: Database, clock: Clock, batch: Sequence[Task]) -> Tally:
    """Close what answered itself or has had no new evidence, for all customers."""
    with database.transaction() as connection:
        closing.tidy(connection, clock())
        tasks.complete(connection, batch)
    return Tally()


def policy_of(settings: Settings) -> Policy:
    """The policy these settings ask for."""
    return standard_policy(
        messages_per_rep=settings.budget_per_rep,
        call_cost=settings.call_cost,
        correction_cost=settings.correction_cost,
        holdout_percent=settings.holdout_percent,
        holdout_exempt=settings.holdout_exempt,
        is_shadow=settings.sending == "shadow",
    )


def sending_of(settings: Settings) -> Sending:
    """To whom these settings let anything be sent."""
    return Sending(
        is_shadow=settings.sending == "shadow",
        recipients=settings.recipients,
        config=config_of(settings),
        channels=installed_channels(),
        operators=settings.operators,
        group_interval=settings.group_interval,
        clock_pace=settings.clock_pace,
    )


def config_of(settings: Settings) -> ChannelConfig:
    """What channels need of these settings."""
    previous = settings.previous_secret_key
    return ChannelConfig(
        secret_key=settings.secret_key.get_secret_value(),
        mail_from=settings.mail_from,
        smtp_url=settings.smtp_url.get_secret_value() if settings.smtp_url else None,
        loopback_origins=frozenset(settings.loopback_origins),
        previous_secret_key=previous.get_secret_value() if previous else None,
    )


def delivering_of(settings: Settings, metrics: Metrics) -> Delivering:
    """What delivering needs, with every channel installed."""
    sending = sending_of(settings)
    return Delivering(
        sending=sending,
        dispatcher=Dispatcher(sending.channels, sending.config),
        public_url=settings.public_url,
        currency=settings.base_currency,
        real_now=real_now,
        observe_seconds=metrics.order_to_alert.observe,
        count=metrics.count,
    )


def installed_channels() -> dict[str, Channel]:
    """Every channel by name."""
    return discover(channels, "CHANNEL", Channel)
