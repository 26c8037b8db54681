"""How scoring's tasks are done: score orders in batches, fit models, judge every day, rebuild derived state."""

import logging
from collections.abc import Callable, Sequence

from sqlalchemy import Connection

from services.scoring import signals
from services.scoring.detect import Kinds
from services.scoring.facts import Assumptions, OrderFacts
from services.scoring.fit import models as fitted_models
from services.scoring.scorer import Lane, Notify, Scorer
from services.scoring.store import refresh, schedule
from services.scoring.store.catalogue import Catalogue
from shared import tasks
from shared.clock import Clock
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


def handlers(
    database: Database, settings: Settings, clock: Clock, metrics: Metrics, notify: Notify
) -> tuple[Handler, ...]:
    """Return how each kind of scoring's tasks is done."""
    kinds: Kinds = discover(signals, "KIND", SignalKind)

    for name in kinds:  # a counter that is born above zero shows no rise
        metrics.signals.labels(name)

    def lane() -> Lane:
        return Lane(
            database=database,
            kinds=kinds,
            catalogue=Catalogue(settings.base_currency),
            assumptions=Assumptions(settings.base_currency, settings.assumed_margin, settings.floor_margin),
            settle=settings.group_wait,
            clock=clock,
            notify=notify,
        )

    scorer = Scorer(database, lane)
    return (
        Handler("score", QUEUE, scorer.score, batch=BATCH),
        Handler("refresh", QUEUE, refresher(database, settings.base_currency), hung_after=None),
        Handler("fit", QUEUE, fitter(database, settings, clock), batch=100, hung_after=None),
        Handler("judge", QUEUE, judger(database, settings, kinds, clock, notify), batch=100, hung_after=None),
    )


def periodic(settings: Settings) -> tuple[Periodic, ...]:
    """Return what puts tasks by the clock: the nightly fit, the first one, and the judgement of the day."""
    day_kinds = [kind.name for kind in _day_kinds(discover(signals, "KIND", SignalKind))]

    models = module_names(fitted_models)

    def fits(connection: Connection) -> None:
        due = schedule.fits_due(connection, models)
        if due:
            tasks.put(connection, QUEUE, "fit", due)

    def judgements(connection: Connection) -> None:
        due = schedule.judgements_due(connection, day_kinds, settings.time_zone)
        if due:
            tasks.put(connection, QUEUE, "judge", due)

    return (fits, judgements) if day_kinds else (fits,)


def _day_kinds(kinds: Kinds) -> list[DaySignalKind[OrderFacts]]:
    return [kind for kind in kinds.values() if isinstance(kind, DaySignalKind)]


def _models_of(batch: Sequence[Task]) -> set[str]:
    """The models these tasks name (`<day>:<model>`); none when one of them names none: then all are meant."""
    named = {task.key.partition(":")[2] for task in batch}
    return set() if "" in named else named


def judger(
    database: Database, settings: Settings, kinds: Kinds, clock: Clock, notify: Notify
) -> Callable[[Sequence[Task]], Tally]:
    """Return how the day kinds are judged: a task for each kind, so that one that fails stops no other."""

    def run(batch: Sequence[Task]) -> Tally:
        from services.scoring.night import judge  # noqa: PLC0415 - DuckDB and Ibis, as for fits

        refresh.what_waits(database, settings.base_currency)
        tally = judge(database, settings, _day_kinds(kinds), clock(), batch)
        notify("alerts")
        return tally

    return run


def fitter(database: Database, settings: Settings, clock: Clock) -> Callable[[Sequence[Task]], Tally]:
    """Return how models are built, from facts before the business now: a task for each, done together."""

    def run(batch: Sequence[Task]) -> Tally:
        from services.scoring.fit.run import NothingToFit, fit  # noqa: PLC0415 - DuckDB and Ibis: a second and 100 MB, once a night

        refresh.what_waits(database, settings.base_currency)
        try:
            report = fit(settings.database_url.get_secret_value(), clock(), names=_models_of(batch))
        except NothingToFit as nothing:
            log.info("%s", nothing)
        else:
            for line in report.lines():
                log.info(line)
        with database.transaction() as connection:
            tasks.complete(connection, batch)
        return Tally()

    return run


def refresher(database: Database, base_currency: str) -> Callable[[Sequence[Task]], Tally]:
    """Return how derived state is rebuilt: customers in short transactions, the task finished in the last."""

    def run(batch: Sequence[Task]) -> Tally:
        refresh.everything(database, base_currency)
        with database.transaction() as connection:
            tasks.complete(connection, batch)
        return Tally()

    return run
