"""A worker process: drains one queue of the task table when the doorbell rings, and without it when Redis is away.

The main thread answers the bell while Redis does and polls while it does not. A second thread sweeps: it puts
periodic work, rings for what is overdue, and drains itself when nobody comes. A third keeps up leases.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta

from sqlalchemy import Connection

from shared import listener, notify, tasks
from shared.db import DATABASE_ERRORS, Database
from shared.drainer import Drainer
from shared.tasks import Handler, Tally

log = logging.getLogger(__name__)

SWEEP_SECONDS = 0.5
PERIODIC_SECONDS = 5.0
OVERDUE = timedelta(seconds=0.2)
UNANSWERED_SECONDS = 2.0
POLL_SECONDS = 0.1
STOP_SECONDS = 10.0
"""How long a batch in hand may take after a stop was asked for; then it is given back, and the process ends."""

KEEP_DONE = timedelta(days=30)

Periodic = Callable[[Connection], None]
"""Puts the tasks whose time has come, by unique keys: any number of schedulers may call it."""


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
        self._periodic = (*periodic, _forget_done)
        self._tick = min([1.0, *(handler.lease.total_seconds() / 4 for handler in handlers)])
        self.drainer = Drainer(database, handlers, count)

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; the batch in hand is finished first, or given back after ten seconds."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.drainer.stop())
        sweeper = threading.Thread(target=self._sweep, name="sweeper", daemon=True)
        sweeper.start()
        threading.Thread(target=self._keep, name="keeper", daemon=True).start()
        self._serve()
        sweeper.join()
        with suppress(*DATABASE_ERRORS):  # else whoever comes next waits for the leases
            self.drainer.handback.run()

    def _serve(self) -> None:
        is_listening = True
        while not self.drainer.is_stopping:
            was_listening, is_listening = is_listening, self._listen()
            if was_listening and not is_listening:
                log.warning("no Redis: polling PostgreSQL", extra={"queue": self._queue})
            if not is_listening:
                self._poll()

    def _listen(self) -> bool:
        """Answer the bell until asked to stop or Redis fails. False when there is no Redis."""
        if self._redis_url is None:
            return False
        is_reached = listener.listen(
            self._queue, self._redis_url, self.drainer.drain, lambda: self.drainer.is_stopping
        )
        if is_reached and not self.drainer.is_stopping:
            time.sleep(POLL_SECONDS)
        return is_reached

    def _poll(self) -> None:
        """Drain from PostgreSQL for a while, then let the caller try Redis again."""
        until = time.monotonic() + UNANSWERED_SECONDS
        while not self.drainer.is_stopping and time.monotonic() < until:
            if not self.drainer.drain():
                time.sleep(POLL_SECONDS)

    def _keep(self) -> None:
        """Keep up the leases of what is in hand, and end the process when a stop takes too long."""
        while self.drainer.stopping_for < STOP_SECONDS:
            time.sleep(self._tick)
            try:
                self.drainer.keep_leases()
            except DATABASE_ERRORS as error:
                self.drainer.note_database(error)
        log.warning("gave back what was in hand: it took too long to finish")
        try:
            self.drainer.let_go()
        finally:
            os._exit(0)

    def _sweep(self) -> None:
        """Put periodic work, ring for what is overdue, drain here when nobody answered for two seconds."""
        bell = notify.connect(self._redis_url) if self._redis_url else None
        quiet_since = time.monotonic()
        periodic_at = float("-inf")
        while not self.drainer.is_stopping:
            time.sleep(SWEEP_SECONDS)
            try:
                if time.monotonic() - periodic_at > PERIODIC_SECONDS:
                    periodic_at = time.monotonic()
                    self._put_periodic()
                self.drainer.handback.run()
                if not self._is_overdue():
                    quiet_since = time.monotonic()
                    continue
            except DATABASE_ERRORS as error:
                self.drainer.note_database(error)
                continue
            if bell is not None:
                notify.wake_up(bell, self._queue)
            if min(time.monotonic() - quiet_since, self.drainer.idle_for) > UNANSWERED_SECONDS:
                self.drainer.drain()

    def _put_periodic(self) -> None:
        for put_due in self._periodic:
            try:
                with self._database.transaction() as connection:
                    put_due(connection)
            except (
                Exception
            ):  # the boundary: one timer that raises must not stop the others, nor the sweeping
                log.exception("a periodic task could not be put")

    def _is_overdue(self) -> bool:
        with self._database.autocommit() as connection:
            return tasks.overdue(connection, self.drainer.kinds, OVERDUE)


def _forget_done(connection: Connection) -> None:
    tasks.prune(connection, KEEP_DONE)


__all__ = ["Drainer", "Periodic", "Worker"]
