"""Scoring's tasks that do not wait: orders are scored in batches. The others are in services.scoring.nightly."""

from zoneinfo import ZoneInfo

from services.scoring import signals
from services.scoring.detect import Kinds
from services.scoring.facts import Assumptions
from services.scoring.scorer import Notify, Scorer, Shard
from services.scoring.store.catalogue import Catalogue
from shared.clock import Clock
from shared.db import Database
from shared.domain.signal import SignalKind
from shared.metrics import Metrics
from shared.plugins import discover
from shared.settings import Settings
from shared.tasks import Handler

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

    return (Handler("score", Scorer(database, shard).score, batch=BATCH),)


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
