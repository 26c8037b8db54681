"""Notifications: an RQ job that tells the workers of a queue to look into the task table.

A notification may be lost, doubled or late without harm: the worker's sweeper finds what is due without it.
"""

import threading

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq import Queue

JOB = "shared.listener.drain"
"""The only job there is, by name: it takes no arguments (see shared.listener)."""

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
            queue.enqueue(JOB, job_timeout=3600, result_ttl=0, failure_ttl=60, ttl=60)
    except (redis.RedisError, OSError):
        return False
    return True


class Notifier:
    """Notifies from a thread of its own, so that a request only sets a flag. Without Redis it does nothing."""

    def __init__(self, redis_url: str | None) -> None:
        self._wanted: set[str] = set()
        self._is_wanted = threading.Event()
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._connection = connect(redis_url) if redis_url else None
        self._thread: threading.Thread | None = None

    def notify(self, *queues: str) -> None:
        """Ask that workers of these queues be woken up. Returns at once, never raises; calls within 20 ms are one."""
        if self._connection is None or self._closing.is_set():
            return
        if self._is_wanted.is_set() and self._wanted.issuperset(queues):
            return  # the thread has yet to take what is wanted, and these queues are part of it
        with self._lock:
            self._wanted.update(queues)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._serve, args=(self._connection,), name="notifier", daemon=True
                )
                self._thread.start()
        self._is_wanted.set()

    def close(self) -> None:
        """Notify what was asked for and stop."""
        self._closing.set()
        self._is_wanted.set()
        if self._thread is not None:
            self._thread.join(timeout=2)
        if self._connection is not None:
            self._connection.close()

    def _serve(self, connection: redis.Redis) -> None:
        is_last = False
        while not is_last:
            self._is_wanted.wait()
            self._is_wanted.clear()
            is_last = self._closing.is_set()
            with self._lock:
                queues, self._wanted = self._wanted, set()
            for queue in queues:
                wake_up(connection, queue)
            self._closing.wait(PAUSE_SECONDS)
