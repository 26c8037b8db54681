"""Scoring's tasks that do not wait: orders are scored in batches. The others are in services.scoring.nightly."""

from collections.abc import Callable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from services.scoring import signals
from services.scoring.facts import Assumptions
from services.scoring.scorer import Notify, Scored, Scorer, Shard
from services.scoring.store.catalogue import Catalogue
from shared import logs
from shared.child import KeptChild
from shared.clock import Clock
from shared.db import DRAIN, Database
from shared.domain.signal import SignalKind
from shared.metrics import Metrics
from shared.plugins import discover
from shared.settings import Settings
from shared.tasks import Handler, Task

BATCH = 400
"""Orders scored together, half of them a transaction: enough that statements cost little, few enough to hold locks."""


def handlers(
    database: Database, settings: Settings, clock: Clock, metrics: Metrics, notify: Notify
) -> tuple[Handler, ...]:
    """Return how each kind of scoring's tasks is done."""
    for name in discover(signals, "KIND", SignalKind):  # a counter that is born above zero shows no rise
        metrics.signals.labels(name)
        metrics.signals_dropped.labels(name)
        metrics.outcomes.labels(name)

    here, there = _shard(database, settings), KeptChild(_in_child, database.url, settings)
    return (Handler("score", Scorer(database, here, there, clock, notify).score, batch=BATCH),)


def _in_child(url: str, settings: Settings) -> Callable[[Sequence[Task], datetime], Scored]:
    logs.configure("scoring-worker", json=settings.json_logs)
    return _shard(Database(url, DRAIN, prepare=settings.prepare_statements), settings).score


def _shard(database: Database, settings: Settings) -> Shard:
    return Shard(
        database=database,
        kinds=discover(signals, "KIND", SignalKind),
        catalogue=Catalogue(settings.base_currency),
        assumptions=assumed(settings),
        zone=ZoneInfo(settings.time_zone),
        group_wait=settings.group_wait,
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
