"""This file does the tasks of one queue: claims batches, splits failing ones, and never lets a neighbour pay.

It keeps up the leases of what is in hand while its process lives; what it held when the database went away is handed
back (see shared.handback). Threads may drain at the same time: one kind is done by one thread.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID, uuid4

from sqlalchemy import Connection

from shared import tasks
from shared.db import DATABASE_ERRORS, Database, is_away, is_contended
from shared.handback import HandBack
from shared.tasks import Handler, LeaseLost, Tally, Task

log = logging.getLogger(__name__)

DRAIN_SECONDS = 10.0
LOST_SECONDS = 1.0
CONTENDED_DELAY = timedelta(seconds=1)
"""How long a batch waits that met somebody else's lock."""

Claim = Callable[[Connection, Handler, UUID], list[Task]]


@dataclass(slots=True)
class _InHand:
    """A batch being done: since when, and when its lease was last given."""

    handler: Handler
    batch: Sequence[Task]
    since: float = field(default_factory=time.monotonic)
    leased_at: float = field(default_factory=time.monotonic)

    def needs_lease(self, now: float) -> bool:
        """Is a third of the lease gone, and the batch not hung?"""
        is_hung = now - self.since > self.handler.longest.total_seconds()
        return not is_hung and now - self.leased_at > self.handler.lease.total_seconds() / 3


class Drainer:
    """Does what is due in one queue."""

    def __init__(
        self, database: Database, handlers: Sequence[Handler], count: Callable[[Tally], None]
    ) -> None:
        self.kinds = [handler.kind for handler in handlers]
        self.handback = HandBack(database)
        self._database = database
        self._handlers = handlers
        self._add = count
        self._kind_locks = {kind: threading.Lock() for kind in self.kinds}
        self._in_hand: dict[str, _InHand] = {}
        self._losses_in_a_row = 0
        self._looked_for_lost = float("-inf")
        self._took_at = time.monotonic()
        self._is_database_away = False
        self._stop_asked_at: float | None = None

    def stop(self) -> None:
        """Take no further batch. Safe to call from a signal handler: it takes no lock."""
        if self._stop_asked_at is None:
            self._stop_asked_at = time.monotonic()

    @property
    def is_stopping(self) -> bool:
        """Was it asked to stop?"""
        return self._stop_asked_at is not None

    @property
    def stopping_for(self) -> float:
        """Seconds since it was asked to stop, 0 when it was not."""
        return 0.0 if self._stop_asked_at is None else time.monotonic() - self._stop_asked_at

    @property
    def idle_for(self) -> float:
        """Seconds since the last batch was begun."""
        return time.monotonic() - self._took_at

    def drain(self, seconds: float = DRAIN_SECONDS) -> int:
        """Work until nothing is due, the time is over or a stop is asked for. Returns how many tasks were taken."""
        until = time.monotonic() + seconds
        done = 0
        try:
            while not self.is_stopping and time.monotonic() < until:
                self.handback.run()
                if not (taken := self._take_each()):
                    break
                done += taken
        except DATABASE_ERRORS as error:
            self.note_database(error)
        else:
            self.note_database(None)
        return done

    def note_database(self, error: BaseException | None) -> None:
        """Say once that the database does not answer, and once that it does again."""
        if error is not None and not self._is_database_away:
            log.warning("the database does not answer: %s", first_line(error))
        if error is None and self._is_database_away:
            log.info("the database answers again")
        self._is_database_away = error is not None

    def keep_leases(self) -> None:
        """Renew the leases of what is in hand; to be called several times per lease."""
        for held in list(self._in_hand.values()):
            if held.needs_lease(now := time.monotonic()):
                with self._database.autocommit() as connection:
                    tasks.renew_lease(connection, held.batch, held.handler.lease)
                held.leased_at = now

    def let_go(self) -> None:
        """Give back what is in hand: this process is about to end in the middle of it."""
        for held in list(self._in_hand.values()):
            with self._database.autocommit() as connection:
                tasks.release(connection, held.batch)

    def _take_each(self) -> int:
        taken = sum(self._take(handler, tasks.claim) for handler in self._handlers if not self.is_stopping)
        if time.monotonic() - self._looked_for_lost > LOST_SECONDS:
            self._looked_for_lost = time.monotonic()
            lost = sum(self._take_lost(handler) for handler in self._handlers if not self.is_stopping)
            if lost:
                self._looked_for_lost = float("-inf")
            taken += lost
        return taken

    def _take_lost(self, handler: Handler) -> int:
        with self._database.autocommit() as connection:
            dead = tasks.dead_letter_expired(connection, handler)
        for key in dead:
            log.error("%s %s is dead: it ended its worker each time", handler.kind, key)
        if dead:
            self._count(Tally({("tasks", handler.kind, "dead"): len(dead)}))
        return self._take(handler, tasks.claim_expired)

    def _take(self, handler: Handler, claim: Claim) -> int:
        """Do one batch of what `claim` finds: due tasks together, or one whose lease ran out."""
        lock = self._kind_locks[handler.kind]
        if not lock.acquire(blocking=False):
            return 0
        try:
            token = uuid4()
            with self.handback.noting_a_lost_answer(token), self._database.autocommit() as connection:
                batch = claim(connection, handler, token)
            if batch:
                self._hold(handler, batch)
                self.handback.through_with(token)
            return len(batch)
        finally:
            lock.release()

    def _hold(self, handler: Handler, batch: Sequence[Task]) -> None:
        self._took_at = time.monotonic()
        self._in_hand[handler.kind] = _InHand(handler, batch)
        try:
            self._do(handler, batch)
        except DATABASE_ERRORS:
            # Once is an accident; alone, or twice in a row, the batch may itself be what breaks the connection.
            self._losses_in_a_row += 1
            is_suspect = len(batch) == 1 or self._losses_in_a_row > 1
            delay = handler.isolation_delay(batch[0].attempts) if is_suspect else None
            self.handback.owe(batch, suspect_for=delay)
            raise
        else:
            self._losses_in_a_row = 0
        finally:
            del self._in_hand[handler.kind]

    def _do(self, handler: Handler, batch: Sequence[Task]) -> None:
        """Run a batch; when it raises, run its halves; when one task alone raises, put it off or bury it."""
        try:
            tally = handler.run(batch)
        except LeaseLost as lost:
            log.warning("%s", lost)
            self._count(Tally({("tasks", handler.kind, "lease_lost"): len(batch)}))
            self.handback.owe(batch)
        except Exception as error:
            if is_away(error):
                raise
            if is_contended(error):
                self._defer(handler, batch, error)
            else:
                self._split(handler, batch, error)
        else:
            self._count_done(handler, batch, tally)

    def _defer(self, handler: Handler, batch: Sequence[Task], error: Exception) -> None:
        """Somebody else's lock was in the way of the batch: not its fault, and its halves would wait for it as well."""
        log.warning("%d %s tasks stand back: %s", len(batch), handler.kind, first_line(error))
        try:
            with self._database.transaction() as connection:
                tasks.defer(connection, batch, CONTENDED_DELAY, first_line(error))
        except LeaseLost as lost:
            log.warning("%s", lost)
            self.handback.owe(batch)
        self._count(Tally({("tasks", handler.kind, "retried"): len(batch)}))

    def _split(self, handler: Handler, batch: Sequence[Task], error: Exception) -> None:
        if len(batch) > 1:
            middle = len(batch) // 2
            self._do(handler, batch[:middle])
            self._do(handler, batch[middle:])
            return
        (task,) = batch
        reason = f"{type(error).__name__}: {first_line(error)}"
        is_dead = task.attempts >= handler.max_attempts
        log.error("%s %s failed (attempt %d): %s", task.kind, task.key, task.attempts, reason, exc_info=error)
        try:
            with self._database.transaction() as connection:
                if is_dead:
                    tasks.dead_letter(connection, task, reason)
                else:
                    tasks.retry(connection, task, handler.delay_after(task.attempts), reason)
        except LeaseLost as lost:
            log.warning("%s", lost)
        self._count(Tally({("tasks", handler.kind, "dead" if is_dead else "retried"): 1}))

    def _count_done(self, handler: Handler, batch: Sequence[Task], tally: Tally) -> None:
        """Count what the handler did; tasks it did not count itself are done."""
        counted = sum(number for name, number in tally.items() if name[:2] == ("tasks", handler.kind))
        self._count(tally + Tally({("tasks", handler.kind, "done"): max(0, len(batch) - counted)}))

    def _count(self, tally: Tally) -> None:
        """A figure nobody listed is a bug, but no reason to do the work again."""
        try:
            self._add(tally)
        except (KeyError, ValueError):
            log.exception("cannot count %s", sorted(tally))


def first_line(error: BaseException) -> str:
    """Return the beginning of what an error says."""
    return str(error).split("\n", 1)[0][:300]
