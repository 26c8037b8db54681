"""This file gives tasks back after the database went away, so that nobody waits for a lease to run out.

Three kinds of tasks are left leased by nobody: those in hand when the connection broke; those whose claim was
committed while its answer was lost; and those that were done in a commit a crash took back.
"""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

from shared import tasks
from shared.db import DATABASE_ERRORS, Database
from shared.tasks import Task

REMEMBERED = 256
"""Batches lately held. A crash takes back less than a second of commits that did not wait for the disk."""


class HandBack:
    """What one drainer has to give back. Threads may use it at the same time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._owed: deque[tuple[Sequence[Task], timedelta | None]] = deque()
        self._held: deque[UUID] = deque(maxlen=REMEMBERED)
        self._breaks = database.breaks
        self._running = threading.Lock()

    def owe(self, batch: Sequence[Task], *, suspect_for: timedelta | None = None) -> None:
        """Note a batch that was not finished; a suspect one, alone, waits so long for its next try."""
        self._owed.append((batch, suspect_for))

    def through_with(self, token: UUID) -> None:
        """Note that what was claimed under this token is no longer in hand."""
        self._held.append(token)

    @contextmanager
    def noting_a_lost_answer(self, token: UUID) -> Iterator[None]:
        """Note a claim whose answer was lost: it may be committed."""
        try:
            yield
        except DATABASE_ERRORS:
            self.through_with(token)
            raise

    def run(self) -> None:
        """Give back what is owed, and after a break what the database still takes for ours."""
        with self._running:
            while self._owed:
                batch, delay = self._owed[0]
                with self._database.autocommit() as connection:
                    if delay is None:
                        tasks.release(connection, batch)
                    else:
                        tasks.isolate(connection, batch, delay)
                self._owed.popleft()
            breaks = self._database.breaks
            if breaks != self._breaks:
                with self._database.autocommit() as connection:
                    tasks.release_tokens(connection, list(self._held))
                self._breaks = breaks
