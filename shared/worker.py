"""A worker process: does the tasks of one queue when RQ wakes it up, and polls PostgreSQL when Redis is away.

The main thread waits for notifications, or polls. A second thread sweeps: it puts periodic tasks and does what nobody
was notified of. A third does slow tasks, which nobody waits for. A fourth renews the leases of running batches.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial

from sqlalchemy import Connection

from shared import notify, tasks
from shared.db import DATABASE_ERRORS, Database, is_away
from shared.drainer import Drainer
from shared.tasks import Handler, Tally

log = logging.getLogger(__name__)

SWEEP_SECONDS = 0.5
PERIODIC_SECONDS = 5.0
POLL_SECONDS = 0.1
REDIS_AWAY_SECONDS = 2.0
STOP_SECONDS = 10.0
"""How long a running batch may take after a stop was asked for; then it is released, and the process ends."""

KEEP_DONE = timedelta(days=30)

Periodic = Callable[[Connection], object]
"""Puts the tasks whose time has come, by unique keys: any number of workers may call it."""


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
        self._periodic: tuple[Periodic, ...] = (*periodic, partial(tasks.prune, older_than=KEEP_DONE))
        self._tick = min([1.0, *(handler.lease.total_seconds() / 4 for handler in handlers)])
        self.drainer = Drainer(database, [each for each in handlers if not each.is_slow], count)
        self._slow = Drainer(database, [each for each in handlers if each.is_slow], count)

    def run(self) -> None:
        """Work until SIGTERM or SIGINT; a running batch is completed first, or released after ten seconds."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop())
        others = [threading.Thread(target=each, daemon=True) for each in (self._sweep, self._work_slowly)]
        for each in others:
            each.start()
        threading.Thread(target=self._keep_leases, daemon=True).start()
        self._serve()
        for each in others:
            each.join()

    def _stop(self) -> None:
        self.drainer.stop()
        self._slow.stop()

    def _serve(self) -> None:
        """Drain at each notification. While Redis is away, poll PostgreSQL and try Redis again now and then."""
        was_reached = True
        while not self.drainer.is_stopping:
            is_reached = self._redis_url is not None and notify.listen(
                self._queue, self._redis_url, self.drainer.drain, lambda: self.drainer.is_stopping
            )
            if was_reached and not is_reached:
                log.warning("no Redis: polling PostgreSQL", extra={"queue": self._queue})
            was_reached = is_reached
            until = time.monotonic() + (POLL_SECONDS if is_reached else REDIS_AWAY_SECONDS)
            while not self.drainer.is_stopping and time.monotonic() < until:
                if not self.drainer.drain():
                    time.sleep(POLL_SECONDS)

    def _keep_leases(self) -> None:
        """Renew the leases of running batches, and end the process when a stop takes too long."""
        while self.drainer.stopping_for < STOP_SECONDS:
            time.sleep(self._tick)
            try:
                self.drainer.renew_leases()
                self._slow.renew_leases()
            except DATABASE_ERRORS as error:
                self.drainer.note_database(error)
        log.warning("released what was running: it took too long to complete")
        try:
            self.drainer.release_running()
            self._slow.release_running()
        finally:
            os._exit(0)

    def _sweep(self) -> None:
        """Put periodic tasks, and do what is due: a notification may have been lost, or its time have come."""
        periodic_at = float("-inf")
        while not self.drainer.is_stopping:
            time.sleep(SWEEP_SECONDS)
            if time.monotonic() - periodic_at > PERIODIC_SECONDS:
                periodic_at = time.monotonic()
                self._put_periodic()
            self.drainer.drain(PERIODIC_SECONDS)

    def _work_slowly(self) -> None:
        """Do slow tasks."""
        while not self._slow.is_stopping:
            time.sleep(SWEEP_SECONDS)
            self._slow.drain()

    def _put_periodic(self) -> None:
        for put_due in self._periodic:
            try:
                with self._database.transaction() as connection:
                    put_due(connection)
            except Exception as error:  # the boundary: one must stop neither the others nor the sweeper
                if is_away(error):
                    self.drainer.note_database(error)
                    return
                log.exception("a periodic task could not be put")
