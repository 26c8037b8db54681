"""The doorbell: tells an RQ queue that there may be work. It may be lost, doubled or late without harm."""

import threading
from collections.abc import Iterable

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq import Queue

DRAIN = "shared.listener.drain"
"""The only job there is, by name: it takes no arguments (see shared.listener)."""

WAITING_RINGS = 4
"""More rings than this in a queue tell the workers nothing new."""

PAUSE_SECONDS = 0.02


def connect(url: str, *, answer_seconds: float = 0.3) -> redis.Redis:
    """A connection that gives up quickly and never repeats: ringing must not hold up the one who rings."""
    return redis.Redis.from_url(
        url,
        socket_timeout=answer_seconds,
        socket_connect_timeout=min(answer_seconds, 1.0),
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
    )


def ring_now(connection: redis.Redis, queue_name: str) -> bool:
    """Ring once unless enough rings wait already. False when Redis could not be reached."""
    queue = Queue(queue_name, connection=connection, serializer="json")
    try:
        if queue.count < WAITING_RINGS:
            queue.enqueue(DRAIN, job_timeout=3600, result_ttl=0, failure_ttl=60, ttl=60)
    except (redis.RedisError, OSError):
        return False
    return True


class Doorbell:
    """Rings from a thread of its own, so that a request only sets a flag. Without Redis it does nothing."""

    def __init__(self, redis_url: str | None) -> None:
        self._wanted: set[str] = set()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._connection = connect(redis_url) if redis_url else None
        self._thread: threading.Thread | None = None

    def ring(self, *queues: str) -> None:
        """Ask for a ring; returns at once and never raises. Rings within 20 ms are one."""
        if self._connection is None or self._closing.is_set():
            return
        if self._wake.is_set() and self._wanted.issuperset(queues):
            return  # whoever takes what is wanted does it after this
        with self._lock:
            self._wanted.update(queues)
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="doorbell", daemon=True)
                self._thread.start()
        self._wake.set()

    def close(self) -> None:
        """Ring what was asked for and stop."""
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=2)
        if self._connection is not None:
            self._connection.close()

    def _serve(self) -> None:
        while not self._closing.is_set():
            self._wake.wait()
            self._wake.clear()
            self._ring_all(self._take())
            self._closing.wait(PAUSE_SECONDS)
        self._ring_all(self._take())

    def _take(self) -> Iterable[str]:
        with self._lock:
            wanted, self._wanted = self._wanted, set()
        return wanted

    def _ring_all(self, queues: Iterable[str]) -> None:
        assert self._connection is not None  # noqa: S101 - the thread starts only with a connection
        for queue in queues:
            ring_now(self._connection, queue)
