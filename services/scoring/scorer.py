"""Score a batch of orders: apply them, gather what was known, detect, store signals and the tasks they cause.

A large batch is divided into two shards: one is scored here, the other by a child process, each in a transaction of its
own. All orders of a customer go to one shard, in time order, so neither waits for the other's customers.
"""

import gc
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from zlib import crc32

from sqlalchemy import Connection

from services.scoring import apply, detect, gather
from services.scoring.apply import ResolvedOrder
from services.scoring.detect import NOTHING_FOUND, Found
from services.scoring.facts import Assumptions, OrderFacts
from services.scoring.store import orders
from services.scoring.store import signals as signal_store
from services.scoring.store.catalogue import Catalogue
from shared import tasks
from shared.child import KeptChild
from shared.clock import Clock
from shared.db import Database
from shared.domain.signal import Severity
from shared.tasks import Tally, Task

WORTH_SHARDING = 40
"""Fewer orders are done by one shard before they would be divided."""

Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Scored:
    """What scoring did, and whether there is anything for alerts to decide."""

    tally: Tally
    has_news: bool


class Scorer:
    """Scores batches. One per worker process: each of its shards keeps a catalogue in memory."""

    def __init__(
        self, database: Database, here: "Shard", there: KeptChild[Scored], clock: Clock, notify: Notify
    ) -> None:
        self._database = database
        self._here = here
        self._there = there
        self._clock = clock
        self._notify = notify

    def score(self, batch: Sequence[Task]) -> Tally:
        """Apply the orders behind these tasks, and store what was found. Safe to run twice, and in part."""
        business_now = self._clock()
        if len(batch) < WORTH_SHARDING or not self._there.is_ready():
            return self._notified(self._here.score(batch, business_now))
        ours, theirs = self._shares(batch)
        other = self._there.start(theirs, business_now)
        try:
            tally = self._notified(self._here.score(ours, business_now))
        finally:  # whoever runs the batch again must not meet the locks of this run
            other.exception()
        return tally + self._notified(other.result())

    def _shares(self, batch: Sequence[Task]) -> tuple[list[Task], list[Task]]:
        """Divide the tasks by customer; a guest's order depends on no other and goes to any shard."""
        with self._database.autocommit() as connection:
            owners = orders.owners(connection, [task.key for task in batch])
        shares: tuple[list[Task], list[Task]] = ([], [])
        for task in batch:
            shares[crc32(owners.get(task.key, task.key).encode()) % len(shares)].append(task)
        return shares

    def _notified(self, scored: Scored) -> Tally:
        if scored.has_news:
            self._notify("alerts")
        return scored.tally


@dataclass(frozen=True, slots=True)
class Shard:
    """Scores its part of a batch in one transaction."""

    database: Database
    kinds: detect.Kinds
    catalogue: Catalogue
    assumptions: Assumptions
    zone: tzinfo
    group_wait: timedelta

    def score(self, batch: Sequence[Task], business_now: datetime) -> Scored:
        """Apply, gather, detect, store and complete, all or nothing."""
        gc.disable()  # a batch makes no cycles, and looking for them walks the whole catalogue time and again
        try:
            with self.database.transaction() as connection:
                return self._score(connection, batch, business_now)
        finally:
            gc.enable()

    def _score(self, connection: Connection, batch: Sequence[Task], business_now: datetime) -> Scored:
        open_tasks = orders.not_done(connection, batch)
        orders.look_up_by_key(connection)
        current = orders.lock_current(connection, [task.key for task in open_tasks])
        self.catalogue.refresh(connection, self.database.breaks)
        resolved = apply.write_orders(
            connection, apply.resolve(connection, current, self.catalogue, self.zone)
        )
        states = gather.customer_states(connection, resolved)
        apply.write_lines(connection, resolved, states.needs_rebuild, self.zone)
        facts = gather.gather(connection, resolved, states, self.catalogue, self.assumptions, self.zone)
        found = self._detect(connection, resolved, facts, business_now)
        answered = self._close_episodes(connection, facts, found, business_now)
        has_news = self._put_decisions(connection, resolved, found, answered)
        applied = [each.revision.event_id for each in resolved]
        orders.record_outcome(connection, [task.key for task in open_tasks], applied)
        tasks.complete(connection, open_tasks)
        tally = Tally(
            Counter(("signals", each.kind) for of_order in found.values() for each in of_order.signals)
        )
        tally.update(("dropped", kind) for of_order in found.values() for kind in of_order.dropped)
        return Scored(tally, has_news)

    def _detect(
        self,
        connection: Connection,
        resolved: Sequence[ResolvedOrder],
        known: Sequence[OrderFacts],
        business_now: datetime,
    ) -> dict[int, Found]:
        """Store what the kinds find, and why orders are skipped; return what was found in each order that is not."""
        reasons = {
            each.order_id: detect.skip_reason(
                each.order,
                each.customer,
                business_now,
                is_history=each.revision.entry_point == "import",
                has_rate=each.rate is not None,
            )
            for each in resolved
        }
        found = {
            facts.order_id: detect.detect(self.kinds, facts)
            for facts in known
            if reasons[facts.order_id] is None
        }
        rows = (
            detect.rows(self.kinds, facts, found[facts.order_id].signals, business_now)
            for facts in known
            if facts.order_id in found
        )
        signal_store.save(connection, [row for of_order in rows for row in of_order])
        skipped = [
            {"order_id": each.order_id, "order_version": each.revision.version, "reason": reason}
            for each in resolved
            if (reason := reasons[each.order_id]) is not None
        ]
        signal_store.save_skip_reasons(connection, skipped)
        return found

    def _close_episodes(
        self,
        connection: Connection,
        known: Sequence[OrderFacts],
        found: Mapping[int, Found],
        business_now: datetime,
    ) -> set[int]:
        """Close the episodes these orders end; return the orders that ended one."""
        episodes = signal_store.open_episodes(connection, {facts.customer.id for facts in known})
        reasons: dict[int, str] = {}
        answered: set[int] = set()
        for facts in known:
            here = found.get(facts.order_id, NOTHING_FOUND)
            seen = (*here.signals, *here.alone)
            ended = detect.ended(self.kinds, facts, seen, episodes.get(facts.customer.id, ()))
            reasons |= ended
            if ended:
                answered.add(facts.order_id)
        signal_store.close(connection, reasons, business_now)
        return answered

    def _put_decisions(
        self,
        connection: Connection,
        resolved: Sequence[ResolvedOrder],
        found: Mapping[int, Found],
        answered: AbstractSet[int],
    ) -> bool:
        """Have alerts decide about orders with signals, ended episodes or withdrawn signals; return if there are any.

        Urgent signals do not wait for others to come, nor does the withdrawal of what may be sent any moment.
        """
        newer = [
            {
                "order_id": each.order_id,
                "version": each.revision.version,
                "reason": "the order was amended"
                if each.is_counted
                else f"the order is {each.order.status} now",
            }
            for each in resolved
            if each.held is not None
        ]
        at_once = signal_store.withdraw_older(connection, newer) | {
            order_id
            for order_id, of_order in found.items()
            if any(each.severity is Severity.URGENT for each in of_order.signals)
        }
        later = {order_id for order_id, of_order in found.items() if of_order.signals} | answered
        later -= at_once
        keys = {each.order_id: f"order:{each.order_id}@{each.revision.version}" for each in resolved}
        signal_store.put_order_decisions(
            connection, [keys[each] for each in at_once], [keys[each] for each in later], self.group_wait
        )
        return bool(at_once or later)
