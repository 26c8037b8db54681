"""A worker process: drains one queue of the task table when the doorbell rings, and without it when Redis is away.

The main thread is an RQ SimpleWorker while Redis answers and a poller while it does not. A second thread sweeps:
it puts periodic work, rings for what is overdue, and drains itself when nobody answers the bell.
"""

import logging
import signal
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from types import FrameType
from typing import Any

import redis
from rq import Queue, SimpleWorker
from rq.job import Job
from sqlalchemy import Connection
from sqlalchemy.exc import InterfaceError, OperationalError

from shared import doorbell, tasks
from shared.db import Database
from shared.tasks import Handler, LeaseLost, Tally, Task

log = logging.getLogger(__name__)

DRAIN_SECONDS = 10.0
SWEEP_SECONDS = 0.5
OVERDUE = timedelta(seconds=0.2)
UNANSWERED_SECONDS = 2.0
POLL_SECONDS = 0.1
LOST_SECONDS = 1.0

Periodic = Callable[[Connection], None]
"""Puts the tasks whose time has come, by unique keys: any number of schedulers may call it."""


class ForbiddenJob(RuntimeError):
    """Somebody put a job on the queue that is not the drain."""


class SafeJob(Job):
    """An RQ job that can only be the drain: no other function, no instance, no callbacks."""

    @property
    def func(self) -> Callable[..., Any]:
        """Return the drain or refuse."""
        if self.func_name != doorbell.DRAIN or self.instance or self.args or self.kwargs:
            raise ForbiddenJob(f"refused a job named {self.func_name!r}")
        return drain

    @property
    def success_callback(self) -> None:
        """No callbacks: their names would be imported."""
        return

    failure_callback = success_callback
    stopped_callback = success_callback


class Drainer:
    """Does what is due in one queue: claims batches, splits failing ones, and never lets a neighbour pay."""

    def __init__(
        self, database: Database, handlers: Sequence[Handler], count: Callable[[Tally], None]
    ) -> None:
        self._database = database
        self._handlers = handlers
        self._count = count
        self._unreleased: list[Task] = []
        self._looked_for_lost = float("-inf")
        self._busy = threading.Lock()
        self.stopping = threading.Event()

    def drain(self, seconds: float = DRAIN_SECONDS) -> int:
        """Work until nothing is due or the time is over. Returns how many tasks were taken; 0 when busy already."""
        if not self._busy.acquire(blocking=False):
            return 0
        try:
            return self._drain(time.monotonic() + seconds)
        except (OperationalError, InterfaceError) as error:
            log.warning("the database is away: %s", _first_line(error))
            return 0
        finally:
            self._busy.release()

    def _drain(self, until: float) -> int:
        self._release()
        done = 0
        while not self.stopping.is_set() and time.monotonic() < until:
            taken = sum(self._take(handler, tasks.claim) for handler in self._handlers)
            if time.monotonic() - self._looked_for_lost > LOST_SECONDS:
                lost = sum(self._take(handler, tasks.claim_lost) for handler in self._handlers)
                self._looked_for_lost = float("-inf") if lost else time.monotonic()
                taken += lost
            if not taken:
                break
            done += taken
        return done

    def _take(self, handler: Handler, claim: Callable[[Connection, Handler], list[Task]]) -> int:
        """Do one batch of what `claim` finds: due tasks together, or one whose lease ran out."""
        with self._database.transaction() as connection:
            batch = claim(connection, handler)
        if batch:
            self._do(handler, batch)
        return len(batch)

    def _do(self, handler: Handler, batch: Sequence[Task]) -> None:
        """Run a batch; when it raises, run its halves; when one task alone raises, put it off or bury it."""
        try:
            tally = handler.run(batch)
        except LeaseLost as lost:
            log.warning("%s", lost)
            self._count(Tally({("tasks", handler.kind, "lease_lost"): len(batch)}))
        except (OperationalError, InterfaceError) as error:
            if not _is_away(error):
                self._split(handler, batch, error)
                return
            self._unreleased.extend(batch)
            raise
        except Exception as error:  # noqa: BLE001 - the boundary: whatever one task raises must not stop others
            self._split(handler, batch, error)
        else:
            tally[("tasks", handler.kind, "done")] += len(batch)
            self._count(tally)

    def _split(self, handler: Handler, batch: Sequence[Task], error: Exception) -> None:
        if len(batch) > 1:
            middle = len(batch) // 2
            self._do(handler, batch[:middle])
            self._do(handler, batch[middle:])
            return
        (task,) = batch
        reason = f"{type(error).__name__}: {_first_line(error)}"
        is_dead = task.attempts >= handler.max_attempts
        log.error("%s %s failed (attempt %d): %s", task.kind, task.key, task.attempts, reason, exc_info=error)
        try:
            with self._database.transaction() as connection:
                if is_dead:
                    tasks.bury(connection, task, reason)
                else:
                    tasks.later(connection, task, handler.delay_after(task.attempts), reason)
        except LeaseLost as lost:
            log.warning("%s", lost)
        self._count(Tally({("tasks", handler.kind, "dead" if is_dead else "retried"): 1}))

    def _release(self) -> None:
        """Give back what was held when the database went away, so that nobody waits for the lease to run out."""
        if self._unreleased:
            with self._database.transaction() as connection:
                tasks.release(connection, self._unreleased)
            self._unreleased = []


_drainer: Drainer | None = None


def drain() -> None:
    """The only RQ job. Takes no arguments and gives no result: what is due stands in PostgreSQL."""
    if _drainer is not None:
        _drainer.drain()


class _BellWorker(SimpleWorker):
    """An RQ worker that tells our loop when it was asked to stop, and keeps RQ's own log to warnings."""

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """Stop after the batch in hand."""
        if _drainer is not None:
            _drainer.stopping.set()
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call]


class Worker:
    """One process, one queue. `run` returns when the process is asked to stop."""

    def __init__(
        self,
        queue: str,
        database: Database,
        handlers: Sequence[Handler],
        redis_url: str | None,
        count: Callable[[Tally], None],
        periodic: Sequence[Periodic] = (),
    ) -> None:
        self._queue = queue
        self._database = database
        self._redis_url = redis_url
        self._periodic = periodic
        self.drainer = Drainer(database, handlers, count)

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; the batch in hand is finished first."""
        global _drainer  # noqa: PLW0603 - RQ calls its job by name: this is how the job finds its worker
        _drainer = self.drainer
        self._catch_signals()
        sweeper = threading.Thread(target=self._sweep, name="sweeper", daemon=True)
        sweeper.start()
        said_away = False
        while not self.drainer.stopping.is_set():
            if self._redis_url and self._listen(self._redis_url):
                said_away = False
                self.drainer.stopping.wait(POLL_SECONDS)
                continue
            if not said_away:
                log.warning("no Redis: polling PostgreSQL")
                said_away = True
            self._poll()
        sweeper.join(timeout=DRAIN_SECONDS)

    def _listen(self, url: str) -> bool:
        """Work for RQ until asked to stop or Redis fails. False when Redis cannot be reached at all."""
        try:
            connection = redis.Redis.from_url(url, socket_connect_timeout=1)
            connection.ping()
            queue = Queue(self._queue, connection=connection, serializer="json", job_class=SafeJob)
            worker = _BellWorker(
                [queue],
                connection=connection,
                serializer="json",
                job_class=SafeJob,
                worker_ttl=60,
                maintenance_interval=60,
                job_monitoring_interval=5,
                disable_default_exception_handler=True,
            )
            self.drainer.drain()
            worker.work(logging_level="WARNING")
        except redis.RedisError as error:
            log.warning("Redis failed: %s", _first_line(error))
            return False
        return True

    def _poll(self) -> None:
        """Drain from PostgreSQL for a while, then let the caller try Redis again."""
        until = time.monotonic() + UNANSWERED_SECONDS
        while not self.drainer.stopping.is_set() and time.monotonic() < until:
            if not self.drainer.drain():
                self.drainer.stopping.wait(POLL_SECONDS)

    def _catch_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.drainer.stopping.set())

    def _sweep(self) -> None:
        """Ring for what is overdue; drain here when nobody answered for two seconds."""
        bell = doorbell.connect(self._redis_url) if self._redis_url else None
        waiting_since: float | None = None
        while not self.drainer.stopping.wait(SWEEP_SECONDS):
            try:
                is_overdue = self._look()
            except (OperationalError, InterfaceError) as error:
                log.warning("the database is away: %s", _first_line(error))
                continue
            if not is_overdue or bell is None:
                waiting_since = None
                continue
            waiting_since = waiting_since or time.monotonic()
            has_rung = doorbell.ring_now(bell, self._queue)
            if not has_rung and time.monotonic() - waiting_since > UNANSWERED_SECONDS:
                self.drainer.drain()

    def _look(self) -> bool:
        with self._database.transaction() as connection:
            for put_due in self._periodic:
                put_due(connection)
            return tasks.overdue(connection, self._queue, OVERDUE)


def _is_away(error: OperationalError | InterfaceError) -> bool:
    """Did the connection break (not the statement)?"""
    state = getattr(error.orig, "sqlstate", None) or ""
    return error.connection_invalidated or state == "" or state.startswith(("08", "57P"))


def _first_line(error: BaseException) -> str:
    return str(error).split("\n", 1)[0][:300]
