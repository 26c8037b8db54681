"""Notifications: the RQ job that tells the workers of a queue to look into the task table, put and taken.

A notification may be lost, doubled or late without harm: the worker's sweeper finds what is due without it. Nothing
else is read from Redis, so whoever can write to it can make workers look into the task table, and nothing more.
"""

import json
import logging
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from queue import SimpleQueue

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq import Queue, SimpleWorker
from rq.exceptions import DequeueTimeout, NoSuchJobError
from rq.job import Job, JobStatus

log = logging.getLogger(__name__)

JOB = "shared.notify.drain"
"""The only job there is, by name: it takes no arguments."""

JOB_SECONDS = 3600
REDIS_SECONDS = 5.0
WAIT_SECONDS = 1
LARGEST_CALL = 1000

MAX_WAITING = 4
"""More jobs than this in a queue tell the workers nothing new."""

PAUSE_SECONDS = 0.02


def connect(url: str, *, answer_seconds: float = 0.3) -> redis.Redis:
    """Return a connection that gives up quickly and never repeats: whoever notifies must not be held up."""
    return redis.Redis.from_url(
        url,
        socket_timeout=answer_seconds,
        socket_connect_timeout=min(answer_seconds, 1.0),
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
    )


def wake_up(connection: redis.Redis, queue_name: str) -> bool:
    """Put one job into an RQ queue unless enough wait in it. False when Redis could not be reached."""
    queue = Queue(queue_name, connection=connection, serializer="json")
    try:
        if queue.count < MAX_WAITING:
            queue.enqueue(JOB, job_timeout=JOB_SECONDS, result_ttl=0, failure_ttl=60, ttl=60)
    except (redis.RedisError, OSError):
        return False
    return True


class Notifier:
    """Notifies from a thread of its own, so that a request only leaves a name. Without Redis it does nothing."""

    def __init__(self, redis_url: str | None) -> None:
        self._asked: SimpleQueue[str | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        if redis_url:
            connection = connect(redis_url)
            self._thread = threading.Thread(
                target=self._serve, args=(connection,), name="notifier", daemon=True
            )
            self._thread.start()

    def notify(self, *queues: str) -> None:
        """Ask that workers of these queues be woken up. Returns at once, never raises; calls within 20 ms are one."""
        if self._thread is not None:
            for queue in queues:
                self._asked.put(queue)

    def close(self) -> None:
        """Notify what was asked for and stop."""
        self._asked.put(None)
        if self._thread is not None:
            self._thread.join(timeout=2)

    def _serve(self, connection: redis.Redis) -> None:
        queues: set[str | None] = set()
        while None not in queues:
            queues = {self._asked.get()}
            while not self._asked.empty():
                queues.add(self._asked.get())
            for queue in queues - {None}:
                wake_up(connection, str(queue))
            time.sleep(PAUSE_SECONDS)
        connection.close()


class ForbiddenJob(RuntimeError):
    """Somebody put a job on the queue that is not the drain."""


class SafeJob(Job):
    """An RQ job that can only be the drain. Callbacks, webhooks, retries and timeouts found in Redis are not read."""

    is_forged = False

    def restore(self, raw_data: Mapping[bytes, bytes]) -> None:
        """Read what is to be called; anything but the drain is marked as forged and not kept."""
        if b"data" not in raw_data:
            raise NoSuchJobError(self.id)
        try:  # never unpack more than such a call takes
            call = json.loads(zlib.decompressobj().decompress(raw_data[b"data"], LARGEST_CALL))
        except (zlib.error, ValueError, RecursionError):
            call = None
        self.is_forged = call != [JOB, None, [], {}]
        self.data = self.serializer.dumps((JOB, None, (), {}))
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
    """Call `on_notified` at each notification, until asked to stop or Redis fails. False when Redis is away.

    RQ's worker takes the jobs, but not in RQ's own loop: that waits up to a minute for Redis to return, takes commands
    and a suspension from whoever reaches Redis, and misses a signal that comes while it starts.
    """
    global _on_notified  # noqa: PLW0603 - RQ calls its job by name: this is how the job finds its worker
    _on_notified = on_notified
    for name in (
        "rq",
        "rq.worker",
    ):  # what a job raises is logged here, a Redis that is away by the worker process
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with connect(url, answer_seconds=REDIS_SECONDS) as connection:
            worker = SimpleWorker(
                [Queue(queue_name, connection=connection, serializer="json", job_class=SafeJob)],
                connection=connection,
                serializer="json",
                job_class=SafeJob,
                worker_ttl=60,
                maintenance_interval=60,
                job_monitoring_interval=5,
                disable_default_exception_handler=True,
                log_job_description=False,
            )
            worker.register_birth()  # type: ignore[no-untyped-call]
            on_notified()
            while not is_stopping():
                worker.heartbeat()
                if worker.should_run_maintenance_tasks:
                    worker.run_maintenance_tasks()  # type: ignore[no-untyped-call]
                with suppress(DequeueTimeout):
                    if found := worker.queue_class.dequeue_any(
                        worker.queues, WAIT_SECONDS, connection, SafeJob, "json", worker.death_penalty_class
                    ):
                        worker.execute_job(*found)
            worker.register_death()  # type: ignore[no-untyped-call]
    except (redis.RedisError, OSError):
        return False
    return True
