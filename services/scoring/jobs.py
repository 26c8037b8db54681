"""This file says how scoring's tasks are done: score orders in batches, fit the models, rebuild derived state."""

import logging
from collections.abc import Callable, Sequence

from sqlalchemy import Connection

from services.scoring import signals
from services.scoring.detect import Kinds
from services.scoring.facts import Assumptions
from services.scoring.scorer import Lane, Notify, Scorer
from services.scoring.store import refresh, schedule
from services.scoring.store.catalogue import Catalogue
from shared import tasks
from shared.clock import Clock
from shared.db import Database
from shared.domain.signal import SignalKind
from shared.metrics import Metrics
from shared.plugins import discover
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
            settle=settings.settle,
            clock=clock,
            notify=notify,
        )

    scorer = Scorer(database, lane)
    return (
        Handler("score", QUEUE, scorer.score, batch=BATCH),
        Handler("refresh", QUEUE, refresher(database, settings.base_currency)),
        Handler("fit", QUEUE, fitter(database, settings, clock)),
    )


def periodic(_settings: Settings) -> tuple[Periodic, ...]:
    """Return what puts tasks by the clock: the nightly fit, and the first one."""

    def fits(connection: Connection) -> None:
        due = schedule.fits_due(connection)
        if due:
            tasks.put(connection, QUEUE, "fit", due)

    return (fits,)


def fitter(database: Database, settings: Settings, clock: Clock) -> Callable[[Sequence[Task]], Tally]:
    """Return how the models are built: from facts before the business now, swapped in at once."""

    def run(batch: Sequence[Task]) -> Tally:
        from services.scoring.fit.run import NothingToFit, fit  # noqa: PLC0415 - DuckDB and Ibis: a second and 100 MB, once a night

        refresh.what_waits(database, settings.base_currency)
        try:
            report = fit(settings.database_url.get_secret_value(), clock())
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
