"""Scoring's tasks: how each kind is done.

Orders are scored in batches; models fitted and day kinds evaluated every night, and by the hour for those whose orders
changed; what came of what was said is observed once it is over; derived state rebuilt after imports.
"""

import logging
from collections.abc import Callable, Sequence
from zoneinfo import ZoneInfo

from services.scoring import signals
from services.scoring.detect import Kinds
from services.scoring.facts import Assumptions, OrderFacts
from services.scoring.schedule import periodic
from services.scoring.scorer import Notify, Scorer, Shard
from services.scoring.store import items
from services.scoring.store.catalogue import Catalogue
from shared import tasks
from shared.clock import Clock, start_of_day
from shared.db import Database
from shared.domain.signal import DaySignalKind, SignalKind
from shared.metrics import Metrics
from shared.plugins import discover
from shared.settings import Settings
from shared.tasks import Handler, Tally, Task

__all__ = ["QUEUE", "assumed", "handlers", "periodic", "refresher"]

log = logging.getLogger(__name__)

QUEUE = "scoring"
BATCH = 400
"""Orders scored together, half of them a transaction: enough that statements cost little, few enough to hold locks."""

Run = Callable[[Sequence[Task]], Tally]


def handlers(
    database: Database, settings: Settings, clock: Clock, metrics: Metrics, notify: Notify
) -> tuple[Handler, ...]:
    """Return how each kind of scoring's tasks is done."""
    kinds: Kinds = discover(signals, "KIND", SignalKind)
    for name in kinds:  # a counter that is born above zero shows no rise
        metrics.signals.labels(name)
        metrics.signals_dropped.labels(name)
        metrics.outcomes.labels(name)

    def shard() -> Shard:
        return Shard(
            database=database,
            kinds=kinds,
            catalogue=Catalogue(settings.base_currency),
            assumptions=assumed(settings),
            zone=ZoneInfo(settings.time_zone),
            group_wait=settings.group_wait,
            clock=clock,
            notify=notify,
        )

    scorer = Scorer(database, shard)
    return (
        Handler("score", QUEUE, scorer.score, batch=BATCH),
        Handler("refresh", QUEUE, refresher(database, settings), hung_after=None),
        Handler("fit", QUEUE, fitter(database, settings, clock), batch=100, hung_after=None),
        Handler(
            "evaluate", QUEUE, evaluator(database, settings, kinds, clock, notify), batch=100, hung_after=None
        ),
        Handler(
            "evaluate_changed",
            QUEUE,
            changes_evaluator(database, settings, kinds, clock, notify),
            hung_after=None,
        ),
        Handler("observe", QUEUE, observer(database, settings, kinds, clock), batch=100, hung_after=None),
    )


def assumed(settings: Settings) -> Assumptions:
    """Return what the settings say of what is not known."""
    return Assumptions(
        base_currency=settings.base_currency,
        margin=settings.assumed_margin,
        floor_margin=settings.floor_margin,
        effects=settings.effects,
        call_cost=settings.call_cost,
        correction_cost=settings.correction_cost,
        mention_cost=settings.mention_cost,
    )


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
