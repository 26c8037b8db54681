"""Score a batch of orders: gather what was known, detect, and store signals with the tasks they cause.

A batch is worked in two lanes, each with its own connection: while PostgreSQL works for one, Python works for the
other. All orders of a customer go down one lane, in time order, so neither waits for the other's customers.
"""

import gc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from zlib import crc32

from sqlalchemy import Connection

from services.scoring import apply, detect, gather
from services.scoring.facts import Assumptions, OrderFacts
from services.scoring.placed import PlacedOrder
from services.scoring.silence import why_silent
from services.scoring.store import events
from services.scoring.store import signals as signal_store
from services.scoring.store.catalogue import Catalogue
from services.scoring.store.events import Reading
from services.scoring.store.rows import end_of_window, settle_in
from shared import tasks
from shared.clock import Clock
from shared.db import Database
from shared.domain.signal import Severity
from shared.tasks import Tally, Task

LANES = 2
WORTH_SHARING = 40
"""Below so many orders one lane is done before a second would have started."""

Notify = Callable[[str], None]
Share = tuple[list[Task], list[Reading]]


class Scorer:
    """Scores batches. One per worker process: its lanes keep the catalogue in memory."""

    def __init__(self, database: Database, make_lane: Callable[[], "Lane"]) -> None:
        self._database = database
        self._lanes = [make_lane() for _ in range(LANES)]

    def score(self, batch: Sequence[Task]) -> Tally:
        """Apply the orders behind these tasks, and store what was found. Safe to run twice, and in part."""
        with self._database.transaction() as connection:
            open_tasks = events.not_done(connection, batch)
            readings = events.read(connection, [task.key for task in open_tasks])
        shares = [each for each in _shares(open_tasks, readings) if each[0]]
        if len(shares) == 1:
            return self._lanes[0].score(*shares[0])
        with _uncollected(), ThreadPoolExecutor(LANES) as pool:
            ended = [
                pool.submit(lane.score, *share) for lane, share in zip(self._lanes, shares, strict=False)
            ]
        return sum((each.result() for each in ended), Tally())


@contextmanager
def _uncollected() -> Iterator[None]:
    """Look for no cycles meanwhile: a batch makes none, and would have the whole catalogue walked time and again."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _shares(batch: Sequence[Task], readings: dict[str, Reading]) -> list[Share]:
    """Deal the tasks out by customer; a guest's order depends on no other and goes to any lane."""
    lanes = LANES if len(batch) >= WORTH_SHARING else 1
    shares: list[Share] = [([], []) for _ in range(lanes)]
    for task in batch:
        reading = readings.get(task.key)
        customer = reading.order.customer if reading is not None else None
        owner = f"{reading.order.source} {customer.id}" if reading is not None and customer else task.key
        mine, orders = shares[crc32(owner.encode()) % lanes]
        mine.append(task)
        if reading is not None:
            orders.append(reading)
    return shares


@dataclass(frozen=True, slots=True)
class Lane:
    """Scores orders in one transaction at a time."""

    database: Database
    kinds: detect.Kinds
    catalogue: Catalogue
    assumptions: Assumptions
    settle: timedelta
    clock: Clock
    notify: Notify

    def score(self, batch: Sequence[Task], readings: Sequence[Reading]) -> Tally:
        """Apply, gather, judge, store and finish, all or nothing."""
        business_now = self.clock()
        with self.database.transaction() as connection:
            settle_in(connection)
            placed = self._write_orders(connection, events.lock_heads(connection, readings))
            stands = gather.standing(connection, placed)
            known = gather.gather(connection, placed, stands, self.catalogue, self.assumptions)
            apply.write_lines(connection, placed, stands.in_doubt)
            tally, to_decide = self._judge(connection, placed, known, business_now)
            self._put_decisions(connection, to_decide)
            applied = [each.reading.event_id for each in placed]
            events.record_outcome(connection, [task.key for task in batch], applied)
            tasks.complete(connection, batch)
        if to_decide:
            self.notify("alerts")
        return tally

    def _write_orders(self, connection: Connection, readings: Sequence[Reading]) -> list[PlacedOrder]:
        if not readings:
            return []
        self.catalogue.refresh(connection, self.database.breaks)
        return apply.write_orders(connection, apply.place(connection, readings, self.catalogue))

    def _judge(
        self,
        connection: Connection,
        placed: Sequence[PlacedOrder],
        known: Sequence[OrderFacts],
        business_now: datetime,
    ) -> tuple[Tally, dict[str, bool]]:
        """Store signals, silences and ended episodes; return what to decide on: task key -> at once?

        Urgent finds cannot wait for the settling time, nor can the withdrawal of what may go out any moment.
        """
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
            order_id: any(each.severity is Severity.URGENT for each in found[order_id])
            for order_id in found
            if found[order_id]
        }
        to_decide = {
            f"order:{each.order_id}@{each.reading.version}": each.order_id in withdrawn
            or urgent.get(each.order_id, False)
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
            tasks.put(connection, "alerts", "decide", others, run_at=end_of_window(connection, self.settle))


def _why_silent(placed: PlacedOrder, business_now: datetime) -> str | None:
    is_history = placed.reading.entry_point == "import"
    has_rate = placed.rate is not None
    return why_silent(placed.order, placed.customer, business_now, is_history=is_history, has_rate=has_rate)


def _note(placed: PlacedOrder, silent: dict[int, str]) -> signal_store.Row:
    return {
        "order_id": placed.order_id,
        "order_version": placed.reading.version,
        "reason": silent[placed.order_id],
    }


def _newer(placed: PlacedOrder) -> signal_store.Row:
    """What older readings said is withdrawn, and this is why."""
    reason = "the order was amended" if placed.is_counted else f"the order is {placed.order.status} now"
    return {"order_id": placed.order_id, "version": placed.reading.version, "reason": reason}
