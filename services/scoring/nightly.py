"""Scoring's heavy tasks, each done in a process of its own: no order waits for one, nor its memory for the next.

Models are fitted and day kinds evaluated every night, and by the hour for those whose orders changed; what came of what
was said is observed once it is over; derived state is rebuilt after imports.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from zoneinfo import ZoneInfo

from services.scoring import signals
from services.scoring.facts import OrderFacts
from services.scoring.jobs import assumed
from services.scoring.scorer import Notify
from services.scoring.store import items
from shared import logs, tasks
from shared.child import Child
from shared.clock import Clock, business_clock, start_of_day
from shared.db import DRAIN, Database
from shared.domain.signal import DaySignalKind, SignalKind
from shared.metrics import Metrics
from shared.notify import Notifier
from shared.plugins import discover
from shared.settings import Settings
from shared.tasks import Handler, Tally, Task

log = logging.getLogger(__name__)

Run = Callable[[Sequence[Task]], Tally]
Kinds = Mapping[str, SignalKind[OrderFacts]]


def handlers(
    database: Database, settings: Settings, _clock: Clock, _metrics: Metrics, _notify: Notify
) -> tuple[Handler, ...]:
    """Return how each kind of these tasks is done: in a process that ends with its batch."""
    child = Child(_made, database.url, settings)
    batches = {"refresh": 1, "fit": 100, "evaluate": 100, "evaluate_changed": 1, "observe": 100}
    return tuple(
        Handler(kind, partial(child.run, kind), batch, hung_after=None, is_slow=True)
        for kind, batch in batches.items()
    )


def _made(url: str, settings: Settings) -> Callable[[str, Sequence[Task]], Tally]:
    logs.configure("scoring-worker", json=settings.json_logs)
    database = Database(url, DRAIN, prepare=settings.prepare_statements)
    clock = business_clock(settings.business_time, settings.business_begun, settings.business_rate)
    notifier = Notifier(settings.redis_url.get_secret_value() if settings.redis_url else None)
    run = runs(database, settings, clock, notifier.notify)
    return lambda kind, batch: run[kind](batch)


def runs(database: Database, settings: Settings, clock: Clock, notify: Notify) -> dict[str, Run]:
    """Return how a batch of each kind is done in this process."""
    kinds = discover(signals, "KIND", SignalKind)
    return {
        "refresh": refresher(database, settings),
        "fit": fitter(database, settings, clock),
        "evaluate": evaluator(database, settings, kinds, clock, notify),
        "evaluate_changed": changes_evaluator(database, settings, kinds, clock, notify),
        "observe": observer(database, settings, kinds, clock),
    }


def _day_kinds(kinds: Kinds) -> list[DaySignalKind[OrderFacts]]:
    return [kind for kind in kinds.values() if isinstance(kind, DaySignalKind)]


def refresher(database: Database, settings: Settings) -> Run:
    """Return how derived state is rebuilt: customers in short transactions, the task completed in the last."""

    def run(batch: Sequence[Task]) -> Tally:
        items.refresh(database, settings.base_currency, ZoneInfo(settings.time_zone))
        with database.transaction() as connection:
            tasks.complete(connection, batch)
        return Tally()

    return run


def fitter(database: Database, settings: Settings, clock: Clock) -> Run:
    """Return how models are fitted, from facts before the business day: a task for each, done together.

    An order of the day may be scored with them: they know nothing of it.
    """

    def run(batch: Sequence[Task]) -> Tally:
        from services.scoring.fit.run import NothingToFit, fit  # noqa: PLC0415 - DuckDB and Ibis: a second and 100 MB, once a night

        # Tasks name a model (`<day>:<model>`); one that names none asks for all.
        named = {task.key.partition(":")[2] for task in batch}
        items.refresh_if_needed(database, settings.base_currency, ZoneInfo(settings.time_zone))
        try:
            report = fit(
                settings.database_url.get_secret_value(),
                start_of_day(clock(), settings.time_zone),
                names=set() if "" in named else named,
                zone=settings.time_zone,
                extracts=settings.extracts,
            )
        except NothingToFit as nothing:
            log.info("%s", nothing)
        else:
            for line in report.lines():
                log.info(line)
        with database.transaction() as connection:
            tasks.complete(connection, batch)
        return Tally()

    return run


def evaluator(database: Database, settings: Settings, kinds: Kinds, clock: Clock, notify: Notify) -> Run:
    """Return how day kinds are evaluated: a task for each, so that one that fails stops no other."""

    def run(batch: Sequence[Task]) -> Tally:
        from services.scoring import night  # noqa: PLC0415 - DuckDB and Ibis, as for fits

        items.refresh_if_needed(database, settings.base_currency, ZoneInfo(settings.time_zone))
        tally = night.evaluate(database, settings, assumed(settings), _day_kinds(kinds), clock(), batch)
        notify("alerts")
        return tally

    return run


def changes_evaluator(
    database: Database, settings: Settings, kinds: Kinds, clock: Clock, notify: Notify
) -> Run:
    """Return how day kinds are evaluated by the hour, for the customers and reps whose orders changed."""

    def run(batch: Sequence[Task]) -> Tally:
        from services.scoring import night  # noqa: PLC0415 - DuckDB and Ibis, as for fits

        tally = night.evaluate_changed(
            database, settings, assumed(settings), _day_kinds(kinds), clock(), batch
        )
        notify("alerts")
        return tally

    return run


def observer(database: Database, settings: Settings, kinds: Kinds, clock: Clock) -> Run:
    """Return how outcomes are observed once their horizon is over: a task for each kind."""

    def run(batch: Sequence[Task]) -> Tally:
        from services.scoring import observe  # noqa: PLC0415 - DuckDB and Ibis, as for fits

        items.refresh_if_needed(database, settings.base_currency, ZoneInfo(settings.time_zone))
        return observe.observe(database, settings, assumed(settings), kinds, clock(), batch)

    return run
