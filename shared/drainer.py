"""Doing the tasks of one queue: claim batches, run their handlers, split a batch that fails, recover leases.

One bad task costs the others of its batch nothing: neither an attempt nor time. Several threads may drain at once;
tasks of one kind are done by one thread at a time.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from uuid import UUID, uuid4

from sqlalchemy import Connection

from shared import tasks
from shared.db import DATABASE_ERRORS, Database, is_away, is_contended
from shared.tasks import Handler, LeaseLost, Tally, Task

log = logging.getLogger(__name__)

DRAIN_SECONDS = 10.0
EXPIRED_SECONDS = 1.0
"""How often to look for tasks whose lease expired."""

CONTENDED_DELAY = timedelta(seconds=1)
"""How long a batch waits that met somebody else's lock."""

RECENT_TOKENS = 256
"""More than a process uses in the second of commits that a crash of PostgreSQL may take back."""


@dataclass(slots=True)
class _Running:
    """A batch that is being done: since when, and when its lease was last renewed."""

    handler: Handler
    batch: Sequence[Task]
    since: float = field(default_factory=time.monotonic)
    leased_at: float = field(default_factory=time.monotonic)


class Drainer:
    """Does what is due in one queue."""

    def __init__(
        self, database: Database, handlers: Sequence[Handler], count: Callable[[Tally], None]
    ) -> None:
        self.kinds = [handler.kind for handler in handlers]
        self._database = database
        self._handlers = handlers
        self._add = count
        self._kind_locks = {kind: threading.Lock() for kind in self.kinds}
        self._running: dict[str, _Running] = {}
        self._left: deque[tuple[UUID, timedelta | None]] = deque()
        self._completed: deque[UUID] = deque(maxlen=RECENT_TOKENS)
        self._at_most: dict[str, int] = {}
        self._breaks_seen = database.breaks
        self._recovery_lock = threading.Lock()
        self._looked_for_expired_at = float("-inf")
        self._claimed_at = time.monotonic()
        self._is_database_away = False
        self._stop_asked_at: float | None = None

    def stop(self) -> None:
        """Claim no further batch. Safe to call from a signal handler: it takes no lock."""
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
        """Seconds since a batch was last claimed."""
        return time.monotonic() - self._claimed_at

    def drain(self, seconds: float = DRAIN_SECONDS) -> int:
        """Work until nothing is due, the time is over or a stop is asked for. Returns how many tasks were claimed."""
        until = time.monotonic() + seconds
        claimed = 0
        try:
            while not self.is_stopping and time.monotonic() < until:
                self.recover_leases()
                if not (number := self._work_each_kind()):
                    break
                claimed += number
        except DATABASE_ERRORS as error:
            self.note_database(error)
        else:
            self.note_database(None)
        return claimed

    def note_database(self, error: BaseException | None) -> None:
        """Log once that the database does not answer, and once that it does again."""
        if error is not None and not self._is_database_away:
            log.warning("the database does not answer: %s", first_line(error))
        if error is None and self._is_database_away:
            log.info("the database answers again")
        self._is_database_away = error is not None

    def recover_leases(self) -> None:
        """Make tasks due again that this process left leased, instead of waiting until their lease expires.

        A batch is left when its connection breaks, or when the answer to its claim is lost. After a crash, PostgreSQL
        may also have forgotten the commit that completed a batch.
        """
        with self._recovery_lock:
            while self._left:
                token, isolation_delay = self._left[0]
                with self._database.autocommit() as connection:
                    if isolation_delay is None:
                        tasks.release(connection, [token])
                    else:
                        tasks.isolate(connection, token, isolation_delay)
                        self._looked_for_expired_at = float("-inf")
                self._left.popleft()
            if (breaks := self._database.breaks) != self._breaks_seen:
                with self._database.autocommit() as connection:
                    tasks.release(connection, list(self._completed))
                self._breaks_seen = breaks

    def renew_leases(self) -> None:
        """Renew the leases of running batches, but of those that hang; to be called several times per lease."""
        for running in list(self._running.values()):
            now, handler = time.monotonic(), running.handler
            is_hung = (
                handler.hung_after is not None and now - running.since > handler.hung_after.total_seconds()
            )
            if not is_hung and now - running.leased_at > handler.lease.total_seconds() / 3:
                with self._database.autocommit() as connection:
                    tasks.renew_lease(connection, running.batch, handler.lease)
                running.leased_at = now

    def release_running(self) -> None:
        """Make running batches due again: this process is about to end in the middle of them."""
        with self._database.autocommit() as connection:
            tasks.release(connection, [running.batch[0].token for running in list(self._running.values())])

    def _work_each_kind(self) -> int:
        claimed = sum(self._work(handler, tasks.claim) for handler in self._handlers if not self.is_stopping)
        if time.monotonic() - self._looked_for_expired_at > EXPIRED_SECONDS:
            self._looked_for_expired_at = time.monotonic()
            for handler in self._handlers:
                if self.is_stopping:
                    break
                with self._database.autocommit() as connection:
                    dead = tasks.dead_letter_expired(connection, handler)
                for key in dead:
                    log.error("%s %s is dead: it ended its worker each time", handler.kind, key)
                    self._count(handler, "dead", 1)
                if expired := self._work(handler, tasks.claim_expired):
                    self._looked_for_expired_at = float("-inf")  # there may be more
                    claimed += expired
        return claimed

    def _work(self, handler: Handler, claim: Callable[[Connection, Handler, UUID], list[Task]]) -> int:
        """Do one batch of what `claim` finds: due tasks together, or one whose lease expired."""
        lock = self._kind_locks[handler.kind]
        if not lock.acquire(blocking=False):
            return 0
        token = uuid4()
        try:
            with self._database.autocommit() as connection:
                at_most = self._at_most.get(handler.kind, handler.batch)
                batch = claim(connection, replace(handler, batch=at_most), token)
        except DATABASE_ERRORS:  # the claim may be committed and only its answer be lost
            self._left.append((token, None))
            raise
        else:
            if batch:
                self._run_batch(handler, batch, token)
            return len(batch)
        finally:
            lock.release()

    def _run_batch(self, handler: Handler, batch: Sequence[Task], token: UUID) -> None:
        self._claimed_at = time.monotonic()
        self._running[handler.kind] = _Running(handler, batch)
        try:
            self._run(handler, batch)
        except LeaseLost as lost:
            log.warning("%s", lost)
            self._count(handler, "lease_lost", len(batch))
            self._left.append((token, None))
        except DATABASE_ERRORS:
            # The batch may itself be what breaks the connection: the next is half as large, until a task is alone.
            is_alone = len(batch) == 1
            self._left.append((token, handler.isolation_delay(batch[0].attempts) if is_alone else None))
            self._at_most[handler.kind] = max(len(batch) // 2, 1)
            raise
        else:
            self._at_most.pop(handler.kind, None)
            self._completed.append(token)
        finally:
            del self._running[handler.kind]

    def _run(self, handler: Handler, batch: Sequence[Task]) -> None:
        """Run a batch. When it fails, run its halves; when one task alone fails, retry it later or dead-letter it."""
        try:
            tally = handler.run(batch)
        except LeaseLost:
            raise
        except Exception as error:
            if is_away(error):
                raise
            if is_contended(error):  # nobody's fault, and the halves would wait for the same lock
                log.warning("deferred %d %s tasks: %s", len(batch), handler.kind, first_line(error))
                with self._database.transaction() as connection:
                    tasks.defer(connection, batch, CONTENDED_DELAY, first_line(error))
                self._count(handler, "deferred", len(batch))
            elif len(batch) > 1:
                middle = len(batch) // 2
                self._run(handler, batch[:middle])
                self._run(handler, batch[middle:])
            else:
                self._fail(handler, batch[0], error)
        else:
            counted = sum(number for name, number in tally.items() if name[:2] == ("tasks", handler.kind))
            self._count(handler, "done", max(0, len(batch) - counted), tally)

    def _fail(self, handler: Handler, task: Task, error: Exception) -> None:
        reason = f"{type(error).__name__}: {first_line(error)}"
        log.error("%s %s failed (attempt %d): %s", task.kind, task.key, task.attempts, reason, exc_info=error)
        is_dead = task.attempts >= handler.max_attempts
        with self._database.transaction() as connection:
            if is_dead:
                tasks.dead_letter(connection, task, reason)
            else:
                tasks.retry(connection, task, handler.delay_after(task.attempts), reason)
        self._count(handler, "dead" if is_dead else "retried", 1)

    def _count(self, handler: Handler, outcome: str, number: int, tally: Tally | None = None) -> None:
        """Count how tasks ended and what their handler did. An unlisted figure is a bug, but the work is done."""
        counted = Tally({("tasks", handler.kind, outcome): number}) + (tally or Tally())
        try:
            self._add(counted)
        except (KeyError, ValueError):
            log.exception("cannot count %s", sorted(counted))


def first_line(error: BaseException) -> str:
    """Return the beginning of what an error says."""
    return str(error).split("\n", 1)[0][:300]
