"""Scoring's tasks: what puts them by the clock, and how each kind is done.

Orders are scored in batches; models fitted and day kinds evaluated every night, and by the hour for those whose orders
changed; what was said is judged once it is over; derived state rebuilt after imports.
"""

import logging
from collections.abc import Callable, Sequence
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from services.scoring import signals
from services.scoring.detect import Kinds
from services.scoring.facts import Assumptions, OrderFacts
from services.scoring.fit import models as fitted_models
from services.scoring.scorer import Notify, Scorer, Shard
from services.scoring.store import items
from services.scoring.store.catalogue import Catalogue
from shared import tasks
from shared.clock import Clock, start_of_day
from shared.db import Database
from shared.domain.signal import DaySignalKind, SignalKind
from shared.metrics import Metrics
from shared.plugins import discover, module_names
from shared.settings import Settings
from shared.tasks import Handler, Tally, Task
from shared.worker import Periodic

log = logging.getLogger(__name__)

QUEUE = "scoring"
BATCH = 400
"""Orders scored together, half of them a transaction: enough that statements cost little, few enough to hold locks."""

Run = Callable[[Sequence[Task]], Tally]

# Once a night, and at once where a model has no run yet and there is history to learn from. Looked for first: the
# sweeper asks twice a second, and an insert that conflicts is not free.
_FITS_DUE = text("""
    WITH clock AS (SELECT CAST(:now AS timestamptz) AT TIME ZONE 'UTC' AS at), wanted AS (
        SELECT to_char(at, 'YYYY-MM-DD') || ':' || model AS key
        FROM clock, unnest(CAST(:models AS text[])) AS asked (model)
        WHERE at::time >= time '02:00' AND EXISTS (SELECT FROM sales_order)
        UNION ALL
        SELECT to_char(now() AT TIME ZONE 'UTC', '"first "YYYY-MM-DD HH24"h"') || ':' || model
        FROM unnest(CAST(:models AS text[])) AS asked (model)
        WHERE NOT EXISTS (SELECT FROM model_run WHERE state = 'current' AND model_run.model = asked.model)
          AND EXISTS (SELECT FROM import_run WHERE entity = 'orders' AND finished_at IS NOT NULL)
          AND NOT EXISTS (SELECT FROM import_run WHERE finished_at IS NULL AND started_at > now() - interval '1 hour')
    )
    SELECT key FROM wanted WHERE NOT EXISTS (SELECT FROM task WHERE task.kind = 'fit' AND task.key = wanted.key)
""")

# After the night's fit, when there is one: kinds read what it wrote.
_DAYS_DUE = text("""
    SELECT today.day || ':' || kind AS key
    FROM to_char(CAST(:now AS timestamptz) AT TIME ZONE :zone, 'YYYY-MM-DD') AS today (day),
         unnest(CAST(:kinds AS text[])) AS kind
    WHERE (CAST(:now AS timestamptz) AT TIME ZONE :zone)::time >= time '03:00'
      AND EXISTS (SELECT FROM sales_order)
      AND NOT EXISTS (SELECT FROM task WHERE kind = 'fit' AND state IN ('ready', 'leased'))
      AND NOT EXISTS (SELECT FROM task WHERE task.kind = 'evaluate' AND key = today.day || ':' || kind)
""")


# Once an hour, after the night; whether anybody's orders changed is looked up by the task.
_HOUR_DUE = text("""
    WITH clock AS (SELECT CAST(:now AS timestamptz) AT TIME ZONE :zone AS at)
    SELECT to_char(at, 'YYYY-MM-DD HH24"h"') AS key FROM clock
    WHERE EXISTS (SELECT FROM task WHERE kind = 'evaluate' AND starts_with(key, to_char(at, 'YYYY-MM-DD:')))
      AND NOT EXISTS (SELECT FROM task WHERE kind IN ('fit', 'evaluate', 'evaluate_changed')
                      AND state IN ('ready', 'leased'))
      AND NOT EXISTS (SELECT FROM task WHERE kind = 'evaluate_changed' AND key = to_char(at, 'YYYY-MM-DD HH24"h"'))
""")

# After the day kinds of the night.
_JUDGING_DUE = text("""
    SELECT today.day || ':' || kind AS key
    FROM to_char(CAST(:now AS timestamptz) AT TIME ZONE :zone, 'YYYY-MM-DD') AS today (day),
         unnest(CAST(:kinds AS text[])) AS kind
    WHERE EXISTS (SELECT FROM task WHERE kind = 'evaluate' AND starts_with(key, today.day || ':'))
      AND NOT EXISTS (SELECT FROM task WHERE kind IN ('fit', 'evaluate') AND state IN ('ready', 'leased'))
      AND NOT EXISTS (SELECT FROM task WHERE task.kind = 'judge' AND key = today.day || ':' || kind)
""")


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
        Handler("judge", QUEUE, judger(database, settings, kinds, clock), batch=100, hung_after=None),
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


def periodic(settings: Settings, clock: Clock) -> tuple[Periodic, ...]:
    """Return what puts tasks by the business clock: the nightly fit, the first one, the day kinds, outcomes, and hours.

    Any number of workers may run it.
    """
    kinds: Kinds = discover(signals, "KIND", SignalKind)
    day_kinds = [kind.name for kind in _day_kinds(kinds)]
    judged_kinds = [name for name, kind in kinds.items() if kind.outcome is not None]
    models = module_names(fitted_models)

    def put_fits(connection: Connection) -> None:
        due = connection.scalars(_FITS_DUE, {"models": models, "now": clock()}).all()
        if due:
            tasks.put(connection, QUEUE, "fit", due)

    def put_days(connection: Connection) -> None:
        asked = {"kinds": day_kinds, "zone": settings.time_zone, "now": clock()}
        due = connection.scalars(_DAYS_DUE, asked).all()
        if due:
            tasks.put(connection, QUEUE, "evaluate", due)

    def put_judging(connection: Connection) -> None:
        asked = {"kinds": judged_kinds, "zone": settings.time_zone, "now": clock()}
        due = connection.scalars(_JUDGING_DUE, asked).all()
        if due:
            tasks.put(connection, QUEUE, "judge", due)

    def put_hour(connection: Connection) -> None:
        due = connection.scalars(_HOUR_DUE, {"zone": settings.time_zone, "now": clock()}).all()
        if due:
            tasks.put(connection, QUEUE, "evaluate_changed", due)

    return (put_fits, put_days, put_judging, put_hour)


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


def judger(database: Database, settings: Settings, kinds: Kinds, clock: Clock) -> Run:
    """Return how what was said is judged once its horizon is over: a task for each kind."""

    def run(batch: Sequence[Task]) -> Tally:
        from services.scoring import judge  # noqa: PLC0415 - DuckDB and Ibis, as for fits

        items.refresh_if_needed(database, settings.base_currency, ZoneInfo(settings.time_zone))
        return judge.judge(database, settings, assumed(settings), kinds, clock(), batch)

    return run
