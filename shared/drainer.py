"""Doing the tasks of one queue: claim batches, run their handlers, split a batch that fails, recover leases.

One bad task costs the others of its batch nothing: neither an attempt nor time. Several threads may drain at once;
tasks of one kind are done by one thread at a time.
"""

import logging
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
"""More batches than a process completes in the second of commits that a crash of PostgreSQL may take back."""


class WorkerDied(RuntimeError):
    """A task was alone, and its worker or its connection ended with it, each time."""


@dataclass(slots=True)
class _Running:
    """A batch that is claimed and done under one token: since when, and when its lease was last renewed."""

    handler: Handler
    token: UUID = field(default_factory=uuid4)
    since: float = field(default_factory=time.monotonic)
    leased_at: float = field(default_factory=time.monotonic)

    @property
    def is_hung(self) -> bool:
        """Does it run for longer than such a batch may take?"""
        limit = self.handler.hung_after
        return limit is not None and time.monotonic() - self.since > limit.total_seconds()


class Drainer:
    """Does what is due in one queue."""

    def __init__(
        self, database: Database, handlers: Sequence[Handler], count: Callable[[Tally], None]
    ) -> None:
        self._database = database
        self._handlers = handlers
        self._add = count
        self._running: dict[str, _Running] = {}
        self._recent: deque[UUID] = deque(maxlen=RECENT_TOKENS)
        self._broken: set[UUID] = set()
        self._at_most: dict[str, int] = {}
        self._breaks_seen = database.breaks
        self._looked_for_expired_at = float("-inf")
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

    def drain(self, seconds: float = DRAIN_SECONDS) -> int:
        """Work until nothing is due, the time is over or a stop is asked for. Returns how many tasks were claimed."""
        until = time.monotonic() + seconds
        claimed = 0
        try:
            while not self.is_stopping and time.monotonic() < until:
                self.recover_leases()
                number = sum(self._work(handler, tasks.claim) for handler in self._handlers)
                if time.monotonic() - self._looked_for_expired_at > EXPIRED_SECONDS:
                    self._looked_for_expired_at = time.monotonic()
                    if expired := sum(self._work(handler, tasks.claim_expired) for handler in self._handlers):
                        self._looked_for_expired_at = float("-inf")  # there may be more
                        number += expired
                claimed += number
                if not number:
                    break
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
        """After a connection broke, make due again what this process left leased: nobody waits until a lease expires.

        A batch broke, or the answer to a claim was lost, or a crash of PostgreSQL took a commit back.
        """
        broken, breaks = list(self._broken), self._database.breaks
        if broken or breaks != self._breaks_seen:
            # In this order: a batch that another thread claims is running before it is recent.
            recent = list(self._recent) if breaks != self._breaks_seen else []
            running = {each.token for each in list(self._running.values())}
            with self._database.autocommit() as connection:
                tasks.recover(connection, [*broken, *(each for each in recent if each not in running)])
            self._broken.difference_update(broken)
            self._breaks_seen = breaks

    def renew_leases(self) -> None:
        """Renew the leases of running batches, but of those that hang; to be called several times per lease."""
        for running in list(self._running.values()):
            lease = running.handler.lease
            if not running.is_hung and time.monotonic() - running.leased_at > lease.total_seconds() / 3:
                with self._database.autocommit() as connection:
                    tasks.renew_lease(connection, running.token, lease)
                running.leased_at = time.monotonic()
        for handler in self._handlers:
            for token in handler.also_leased():
                with self._database.autocommit() as connection:
                    tasks.renew_lease(connection, token, handler.lease)

    def release_running(self) -> None:
        """Make running batches due again: this process is about to end in the middle of them."""
        with self._database.autocommit() as connection:
            tasks.release(connection, [running.token for running in list(self._running.values())])

    def _work(self, handler: Handler, claim: Callable[[Connection, Handler, UUID], list[Task]]) -> int:
        """Do one batch of what `claim` finds: due tasks together, or one whose lease expired."""
        running = _Running(handler)
        if self.is_stopping or self._running.setdefault(handler.kind, running) is not running:
            return 0  # another thread does this kind
        try:
            claimed = self._claim(handler, claim, running.token)
            for task in claimed:
                if task.attempts > handler.max_attempts:
                    died = WorkerDied(f"each of {handler.max_attempts} times")
                    self._fail(handler, replace(task, attempts=handler.max_attempts), died)
            if batch := [task for task in claimed if task.attempts <= handler.max_attempts]:
                self._run_batch(handler, batch)
            return len(claimed)
        finally:
            del self._running[handler.kind]

    def _claim(
        self, handler: Handler, claim: Callable[[Connection, Handler, UUID], list[Task]], token: UUID
    ) -> list[Task]:
        at_most = self._at_most.get(handler.kind, handler.batch)
        try:
            with self._database.autocommit() as connection:
                claimed = claim(connection, replace(handler, batch=at_most), token)
        except DATABASE_ERRORS:  # the claim may be committed, and only its answer be lost
            self._broken.add(token)
            raise
        if claimed:
            self._recent.append(token)
        return claimed

    def _run_batch(self, handler: Handler, batch: Sequence[Task]) -> None:
        try:
            self._run(handler, batch)
        except LeaseLost as lost:
            log.warning("%s", lost)
            self._count(handler, "lease_lost", len(batch))
        except DATABASE_ERRORS:
            # The batch may itself be what breaks its connection: the next is half as large, until a task is alone.
            self._at_most[handler.kind] = max(len(batch) // 2, 1)
            self._broken.add(batch[0].token)
            raise
        else:
            self._at_most.pop(handler.kind, None)

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
                delay = handler.retry[min(task.attempts, len(handler.retry)) - 1]
                tasks.retry(connection, task, delay, reason)
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
