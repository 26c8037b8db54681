"""A worker process: does the tasks of one queue when RQ wakes it up, and polls PostgreSQL when Redis is away.

The main thread waits for notifications, or polls. A second thread sweeps: it puts periodic tasks, notifies when tasks
are overdue, and does them itself when no worker came. A third renews the leases of running batches. A fourth does slow
tasks, which nobody waits for.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
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
OVERDUE = timedelta(seconds=0.2)
UNHEARD_SECONDS = 2.0
POLL_SECONDS = 0.1
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
        others = [
            threading.Thread(target=self._sweep, name="sweeper", daemon=True),
            threading.Thread(target=self._work_slowly, name="slow", daemon=True),
        ]
        for each in others:
            each.start()
        threading.Thread(target=self._renew, name="leases", daemon=True).start()
        self._serve()
        for each in others:
            each.join()
        with suppress(*DATABASE_ERRORS):  # else the next worker waits until the leases expire
            self.drainer.recover_leases()
            self._slow.recover_leases()

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
            until = time.monotonic() + (POLL_SECONDS if is_reached else UNHEARD_SECONDS)
            while not self.drainer.is_stopping and time.monotonic() < until:
                if not self.drainer.drain():
                    time.sleep(POLL_SECONDS)

    def _renew(self) -> None:
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

    def _work_slowly(self) -> None:
        """Look for slow tasks now and then, and do them."""
        while self._slow.kinds and not self._slow.is_stopping:
            time.sleep(SWEEP_SECONDS)
            try:
                if self._is_overdue(self._slow, timedelta()):
                    self._slow.drain()
            except DATABASE_ERRORS as error:
                self._slow.note_database(error)

    def _sweep(self) -> None:
        """Put periodic tasks, notify of overdue ones, and do them here when no worker has for two seconds."""
        redis = notify.connect(self._redis_url) if self._redis_url else None
        quiet_since = time.monotonic()
        periodic_at = float("-inf")
        while not self.drainer.is_stopping:
            time.sleep(SWEEP_SECONDS)
            try:
                if time.monotonic() - periodic_at > PERIODIC_SECONDS:
                    periodic_at = time.monotonic()
                    self._put_periodic()
                if not self._is_overdue(self.drainer, OVERDUE):
                    quiet_since = time.monotonic()
                    continue
            except DATABASE_ERRORS as error:
                self.drainer.note_database(error)
                continue
            if redis is not None:
                notify.wake_up(redis, self._queue)
            if min(time.monotonic() - quiet_since, self.drainer.idle_for) > UNHEARD_SECONDS:
                self.drainer.drain()

    def _is_overdue(self, drainer: Drainer, by: timedelta) -> bool:
        """Is anything overdue, also of what was left leased by mistake?"""
        drainer.recover_leases()
        with self._database.autocommit() as connection:
            return tasks.overdue(connection, drainer.kinds, by)

    def _put_periodic(self) -> None:
        for put_due in self._periodic:
            try:
                with self._database.transaction() as connection:
                    put_due(connection)
            except (
                Exception
            ) as error:  # the boundary: one that raises must stop neither the others nor the sweeper
                if is_away(error):
                    self.drainer.note_database(error)
                    return
                log.exception("a periodic task could not be put")
