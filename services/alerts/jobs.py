"""This file does the alerts service's tasks: decide about the signals of an order, and deliver what was decided."""

from collections.abc import Callable, Sequence
from functools import partial

from services.alerts import channels
from services.alerts.channel import Channel, Setup
from services.alerts.decide import decide
from services.alerts.deliver import LEASE, Post, Round
from services.alerts.policy import Policy, standard_policy
from services.alerts.store import closing, history, owners
from services.alerts.store.amend import amend
from services.alerts.store.closing import QUEUE
from services.alerts.store.outbox import Sending
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


def handlers(
    database: Database, settings: Settings, clock: Clock, metrics: Metrics, notify: Notify
) -> tuple[Handler, ...]:
    """Return how tasks of this service are done."""
    decider = partial(decide_batch, database, policy_of(settings), sending_of(settings), clock, notify)
    tidier = partial(tidy_batch, database, clock)
    post = post_of(settings, metrics)
    return (
        Handler("decide", QUEUE, decider, batch=500),
        Handler("tidy", QUEUE, tidier),
        Handler(
            "deliver",
            QUEUE,
            lambda batch: Round(database, post).run(batch),
            batch=20,
            lease=LEASE,
            max_attempts=30,
        ),
    )


def periodic(_settings: Settings) -> tuple[Periodic, ...]:
    """Return what puts tasks by the clock: tidying, once a day."""
    return (closing.put_tidy,)


def decide_batch(
    database: Database, policy: Policy, sending: Sending, clock: Clock, notify: Notify, batch: Sequence[Task]
) -> Tally:
    """Give every signal of these orders its verdict, and store what is to be said. Safe to run twice."""
    now = clock()
    occasions = {task.key.partition("@")[0] for task in batch}
    orders = sorted(int(each.removeprefix("order:")) for each in occasions if each.startswith("order:"))
    with database.transaction() as connection:
        owners.ensure_default_owner(connection)
        owned_by = owners.owners_of(connection, owners.customers_of(connection, orders), now.date())
        owners.lock_reps(connection, (each.rep_id for each in owned_by.values()))
        amend(connection, orders)
        candidates = history.waiting(connection, orders, owned_by, now)
        closing.close_answered(connection, list(owned_by), now)
        plan = decide(candidates, policy, history.load_history(connection, candidates), now)
        ready = record(connection, plan, policy, sending)
        tasks.complete(connection, batch)
    if ready:
        notify(QUEUE)
    return Tally(("alerts", each.candidate.kind, each.reason.value) for each in plan.decisions)


def tidy_batch(database: Database, clock: Clock, batch: Sequence[Task]) -> Tally:
    """Close what answered itself or fell quiet, for all customers."""
    with database.transaction() as connection:
        closing.tidy(connection, clock())
        tasks.complete(connection, batch)
    return Tally()


def policy_of(settings: Settings) -> Policy:
    """The policy these settings ask for."""
    return standard_policy(
        messages_per_rep=settings.budget_per_rep,
        value_floor=settings.value_floor,
        holdout_percent=settings.holdout_percent,
        is_shadow=settings.sending == "shadow",
    )


def sending_of(settings: Settings) -> Sending:
    """To whom these settings let anything be sent."""
    return Sending(
        is_shadow=settings.sending == "shadow",
        recipients=settings.recipients,
        mails=settings.smtp_url is not None,
    )


def setup_of(settings: Settings) -> Setup:
    """What channels are told of these settings."""
    return Setup(
        secret_key=settings.secret_key.get_secret_value(),
        mail_from=settings.mail_from,
        smtp_url=settings.smtp_url.get_secret_value() if settings.smtp_url else None,
        loopback_origins=frozenset(settings.loopback_origins),
    )


def post_of(settings: Settings, metrics: Metrics) -> Post:
    """What delivering needs, with every channel installed."""
    return Post(
        channels=installed_channels(),
        setup=setup_of(settings),
        sending=sending_of(settings),
        public_url=settings.public_url,
        currency=settings.base_currency,
        real_now=real_now,
        observe_seconds=metrics.order_to_alert.observe,
    )


def installed_channels() -> dict[str, Channel]:
    """Every channel by name."""
    return discover(channels, "CHANNEL", Channel)
