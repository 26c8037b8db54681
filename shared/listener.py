"""Listening for notifications: an RQ worker that knows one job, named `drain`, and reads nothing else from Redis.

Whoever can write to Redis can make workers look into the task table, and nothing more.
"""

import json
import logging
import zlib
from collections.abc import Callable, Mapping

import redis
from rq import Queue, SimpleWorker
from rq.exceptions import DequeueTimeout, NoSuchJobError, StopRequested
from rq.job import Job, JobStatus
from rq.worker import WorkerStatus

from shared import notify

log = logging.getLogger(__name__)

MAX_DATA_BYTES = 1000
JOB_SECONDS = 3600
REDIS_SECONDS = 5.0
WAIT_SECONDS = 1


class ForbiddenJob(RuntimeError):
    """Somebody put a job on the queue that is not the drain."""


class SafeJob(Job):
    """An RQ job that can only be the drain. Callbacks, webhooks, retries and timeouts found in Redis are not read."""

    is_forged = False

    def restore(self, raw_data: Mapping[bytes, bytes]) -> None:
        """Read what is to be called; anything but the drain is marked as forged and not kept."""
        if b"data" not in raw_data:
            raise NoSuchJobError(self.id)
        self.is_forged = not _is_drain(raw_data[b"data"])
        self.data = self.serializer.dumps((notify.JOB, None, (), {}))
        self.origin = raw_data.get(b"origin", b"").decode(errors="replace")
        self.timeout, self.result_ttl, self.failure_ttl = JOB_SECONDS, 0, 60
        self._status = JobStatus.QUEUED

    @property
    def func(self) -> Callable[[], None]:
        """Return the drain or refuse."""
        if self.is_forged:
            log.warning("refused a job that is not ours", extra={"queue": self.origin})
            raise ForbiddenJob
        return drain


def _is_drain(data: bytes) -> bool:
    """Does a job's stored data call the drain, without arguments? Never unpacks more than such a call takes."""
    try:
        call = json.loads(zlib.decompressobj().decompress(data, MAX_DATA_BYTES))
    except (zlib.error, ValueError, RecursionError):
        return False
    return bool(call == [notify.JOB, None, [], {}])


_on_notified: Callable[[], object] | None = None


def drain() -> None:
    """Do what is due. The only RQ job; it takes no arguments and has no result: the tasks are in PostgreSQL."""
    if _on_notified is None:
        return
    try:
        _on_notified()
    except Exception:
        log.exception("the drain failed")
        raise


def listen(
    queue_name: str, url: str, on_notified: Callable[[], object], is_stopping: Callable[[], bool]
) -> bool:
    """Call `on_notified` at each notification, until asked to stop or Redis fails. False when Redis is away."""
    global _on_notified  # noqa: PLW0603 - RQ calls its job by name: this is how the job finds its worker
    _on_notified = on_notified
    logging.getLogger("rq").setLevel(logging.ERROR)
    logging.getLogger("rq.worker").addFilter(_is_news)
    try:
        with notify.connect(url, answer_seconds=REDIS_SECONDS) as connection:
            connection.ping()
            on_notified()
            _NotifiedWorker(queue_name, connection, is_stopping).work(logging_level="ERROR")
    except (redis.RedisError, OSError):
        return False
    return True


def _is_news(record: logging.LogRecord) -> bool:
    """Keep what RQ logs, but for a Redis that is away and refused jobs, which are logged elsewhere, once."""
    error = record.exc_info[1] if record.exc_info else None
    return error is not None and not isinstance(error, redis.RedisError | OSError)


class _NotifiedWorker(SimpleWorker):
    """An RQ worker that ends when Redis is away, obeys no command found in Redis, and leaves signals alone.

    RQ's own worker waits up to a minute for Redis to return, misses a signal that comes while it starts, and stops in
    the middle of a batch when a signal comes while Redis is away.
    """

    def __init__(self, queue_name: str, connection: redis.Redis, is_stopping: Callable[[], bool]) -> None:
        queue = Queue(queue_name, connection=connection, serializer="json", job_class=SafeJob)
        super().__init__(
            [queue],
            connection=connection,
            serializer="json",
            job_class=SafeJob,
            worker_ttl=60,
            maintenance_interval=60,
            job_monitoring_interval=5,
            disable_default_exception_handler=True,
            log_job_description=False,
        )
        self._is_stopping = is_stopping

    @property
    def connection_timeout(self) -> int:
        """Seconds after which a Redis that does not answer is given up."""
        return int(REDIS_SECONDS)

    def dequeue_job_and_maintain_ttl(
        self,
        timeout: int | None,  # noqa: ARG002 - RQ's signature
        max_idle_time: int | None = None,  # noqa: ARG002
    ) -> tuple[Job, Queue]:
        """Wait for a job, a second at a time so that a stop is noticed. Raises when Redis fails."""
        self.set_state(WorkerStatus.IDLE)
        while not self._is_stopping():
            self.heartbeat()
            if self.should_run_maintenance_tasks:
                self.run_maintenance_tasks()  # type: ignore[no-untyped-call]
            try:
                found = self.queue_class.dequeue_any(
                    self._ordered_queues,
                    WAIT_SECONDS,
                    connection=self.connection,
                    job_class=self.job_class,
                    serializer=self.serializer,
                    death_penalty_class=self.death_penalty_class,
                )
            except DequeueTimeout:
                continue
            if found is not None:
                return found
        raise StopRequested

    def subscribe(self) -> None:
        """Take no remote commands: whoever reaches Redis could stop the workers."""

    def check_for_suspension(self, burst: bool) -> None:  # noqa: FBT001 - RQ's signature
        """Ignore a suspension: sending has a switch of its own, and work must not stop silently."""

    def _install_signal_handlers(self) -> None:
        """Leave signals to the worker process."""
