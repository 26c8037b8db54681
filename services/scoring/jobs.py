"""This file says how scoring's tasks are done: score orders in batches, fit the models, rebuild derived state."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from services.scoring import apply, detect, gather, signals
from services.scoring.apply import PlacedOrder
from services.scoring.facts import Assumptions, OrderFacts
from services.scoring.silence import why_silent
from services.scoring.store import events, refresh, schedule
from services.scoring.store import signals as signal_store
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
BATCH = 200
"""Orders scored in one transaction: large enough that statements cost little, short enough to hold locks."""

Ring = Callable[[str], None]


def handlers(
    database: Database, settings: Settings, clock: Clock, _metrics: Metrics, ring: Ring
) -> tuple[Handler, ...]:
    """Return how each kind of scoring's tasks is done."""
    scorer = Scorer(
        database=database,
        kinds=discover(signals, "KIND", SignalKind),
        catalogue=Catalogue(settings.base_currency),
        assumptions=Assumptions(settings.base_currency, settings.assumed_margin, settings.floor_margin),
        settle=settings.settle,
        clock=clock,
        ring=ring,
    )
    return (
        Handler("score", QUEUE, scorer.score, batch=BATCH),
        Handler("refresh", QUEUE, refresher(database, settings.base_currency)),
        Handler("fit", QUEUE, fitter(database, settings, clock), max_attempts=3),
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
        from services.scoring.fit.run import fit  # noqa: PLC0415 - DuckDB and Ibis: a second and 100 MB, once a night

        report = fit(settings.database_url.get_secret_value(), clock())
        for line in report.lines():
            log.info(line)
        with database.transaction() as connection:
            tasks.finish(connection, batch)
        return Tally()

    return run


def refresher(database: Database, base_currency: str) -> Callable[[Sequence[Task]], Tally]:
    """Return how derived state is rebuilt: customers in short transactions, the task finished in the last."""

    def run(batch: Sequence[Task]) -> Tally:
        refresh.everything(database, base_currency)
        with database.transaction() as connection:
            tasks.finish(connection, batch)
        return Tally()

    return run


@dataclass(frozen=True, slots=True)
class Scorer:
    """Scores batches of orders. One per worker process: it keeps the catalogue in memory."""

    database: Database
    kinds: detect.Kinds
    catalogue: Catalogue
    assumptions: Assumptions
    settle: timedelta
    clock: Clock
    ring: Ring

    def score(self, batch: Sequence[Task]) -> Tally:
        """Apply the orders behind these tasks, and store what was found. Safe to run twice."""
        business_now = self.clock()
        event_ids = [task.key for task in batch]
        with self.database.transaction() as connection:
            readings = events.lock_heads(connection, event_ids)
            placed = self._write_orders(connection, readings)
            known = gather.gather(connection, placed, self.catalogue, self.assumptions)
            apply.write_lines(connection, placed)
            tally, to_decide = self._judge(connection, placed, known, business_now)
            self._put_decisions(connection, to_decide)
            events.record_outcome(connection, event_ids, [each.reading.event_id for each in placed])
            tasks.finish(connection, batch)
        if to_decide:
            self.ring("alerts")
        return tally

    def _write_orders(self, connection: Connection, readings: Sequence[events.Reading]) -> list[PlacedOrder]:
        if not readings:
            return []
        self.catalogue.refresh(connection)
        return apply.write_orders(connection, apply.place(connection, readings, self.catalogue))

    def _judge(
        self,
        connection: Connection,
        placed: Sequence[PlacedOrder],
        known: Sequence[OrderFacts],
        business_now: datetime,
    ) -> tuple[Tally, dict[str, bool]]:
        """Store signals, silences and ended episodes; return what to decide on: task key -> is it urgent?"""
        silent = {
            each.order_id: reason
            for each in placed
            if (reason := _why_silent(each, business_now)) is not None
        }
        found = {
            facts.order_id: detect.detect(self.kinds, facts)
            for facts in known
            if facts.order_id not in silent
        }
        stored = [
            row
            for facts in known
            for row in detect.rows(self.kinds, facts, found.get(facts.order_id, []), business_now)
        ]
        signal_store.save(connection, stored)
        signal_store.note_silence(
            connection, [_note(each, silent) for each in placed if each.order_id in silent]
        )
        answered = self._close_episodes(connection, known, business_now)
        withdrawn = signal_store.withdraw_older(
            connection, [_newer(each) for each in placed if each.was_held]
        )
        urgent = {
            order_id: any(each.is_urgent for each in found[order_id]) for order_id in found if found[order_id]
        }
        to_decide = {
            f"{each.order_id}:{each.reading.version}": urgent.get(each.order_id, False)
            for each in placed
            if each.order_id in urgent or each.order_id in withdrawn or each.order_id in answered
        }
        return Tally(Counter(("signals", str(row["kind"])) for row in stored)), to_decide

    def _close_episodes(
        self, connection: Connection, known: Sequence[OrderFacts], business_now: datetime
    ) -> set[int]:
        """Close the questions these orders answer; return the orders that answered one."""
        episodes = signal_store.open_episodes(connection, {facts.customer.id for facts in known})
        reasons: dict[int, str] = {}
        answered: set[int] = set()
        for facts in known:
            mine = [(each.id, each.episode) for each in episodes.get(facts.customer.id, ())]
            ended = detect.ended(self.kinds, facts, mine)
            reasons |= ended
            if ended:
                answered.add(facts.order_id)
        signal_store.close(connection, reasons, business_now)
        return answered

    def _put_decisions(self, connection: Connection, to_decide: dict[str, bool]) -> None:
        """Urgent orders at once, the others together at the end of the settling time."""
        urgent = [key for key, is_urgent in to_decide.items() if is_urgent]
        others = [key for key, is_urgent in to_decide.items() if not is_urgent]
        if urgent:
            tasks.put(connection, "alerts", "decide", urgent)
        if others:
            tasks.put_aligned(connection, "alerts", "decide", others, self.settle)


def _why_silent(placed: PlacedOrder, business_now: datetime) -> str | None:
    is_history = placed.reading.door == "import"
    return why_silent(placed.order, placed.customer, business_now, is_history=is_history)


def _note(placed: PlacedOrder, silent: dict[int, str]) -> signal_store.Row:
    return {
        "order_id": placed.order_id,
        "order_version": placed.reading.version,
        "reason": silent[placed.order_id],
    }


def _newer(placed: PlacedOrder) -> signal_store.Row:
    """What older readings said is withdrawn, and this is why."""
    reason = "the order was amended" if placed.counts else f"the order is {placed.order.status} now"
    return {"order_id": placed.order_id, "version": placed.reading.version, "reason": reason}
