"""The work of an import on one batch of orders: read, normalise, compare, copy, and enter in the account.

Big files are worked on by a few processes, small ones by a thread beside the reader; both run exactly this.
"""

import gc
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

from services.ingest.imports.account import Account
from services.ingest.imports.file_orders import FileOrder, Incoming, Refused, read_order
from services.ingest.imports.load import Run, compare_only, load
from services.ingest.imports.rows import Names, load_rates
from services.ingest.imports.table import is_parquet
from services.ingest.source import ReadContext
from services.ingest.store import Comparison
from shared.db import UNHURRIED, Database

VALUES_BETWEEN_COLLECTIONS = 500_000


@contextmanager
def rare_collections() -> Iterator[None]:
    """Look rarely for garbage in circles: rows, lines and orders never form any."""
    usual = gc.get_threshold()
    gc.set_threshold(VALUES_BETWEEN_COLLECTIONS, 10, 10)
    yield
    gc.set_threshold(*usual)


BYTES_WORTH_PROCESSES = 20_000_000
"""Of smaller files, as text, the rest takes longer than more processes save."""

PARQUET_SAVES = 15
"""Text in Parquet takes about a fifteenth of its room in CSV."""

MOST_PROCESSES = 4


@dataclass(frozen=True, slots=True)
class Job:
    """What every batch of an import needs to know; a process gets it once."""

    run_id: int
    base_currency: str
    context: ReadContext
    is_dry_run: bool
    database_url: str
    prepare: bool


@dataclass(slots=True)
class BatchResult:
    """What became of a batch."""

    rows: int
    account: Account = field(default_factory=Account)
    refused: list[tuple[list[int], str]] = field(default_factory=list)

    def refuse(self, refused: Refused) -> None:
        """Note an order that does not come in."""
        self.account.reject(refused.file_order, refused.reason)
        self.refused.append((refused.file_order.rows, refused.reason))


class Worker:
    """Does batches, one after another, on connections of its own."""

    def __init__(self, job: Job) -> None:
        self._job = job
        database = Database(job.database_url, UNHURRIED, pool_size=1, prepare=job.prepare)
        with database.transaction() as connection:
            rates = load_rates(connection, job.base_currency)
        self._run = Run(job.run_id, job.context.source, database, Names(job.context.source), rates)

    def do(self, batch: Sequence[FileOrder]) -> BatchResult:
        """Bring a batch in; committed when this returns."""
        done = BatchResult(sum(len(file_order.rows) for file_order in batch))
        incoming: list[Incoming] = []
        for file_order in batch:
            read = read_order(file_order, self._job.context)
            if isinstance(read, Refused):
                done.refuse(read)
            else:
                incoming.append(read)
        comparisons = compare_only(self._run, incoming) if self._job.is_dry_run else load(self._run, incoming)
        for each, comparison in zip(incoming, comparisons, strict=True):
            if comparison is Comparison.CONFLICT:
                done.refuse(
                    Refused(each.file_order, f"version {each.order.version} is held with other content")
                )
            else:
                done.account.book(each, comparison)
        return done

    def close(self) -> None:
        """Close the connections."""
        self._run.database.close()


@dataclass(frozen=True, slots=True)
class Workers:
    """Who does batches, and how many may be under way."""

    executor: Executor
    most_under_way: int

    def submit(self, job: Job, batch: Sequence[FileOrder]) -> Future[BatchResult]:
        """Have a batch done."""
        return self.executor.submit(_do, job, batch)


@contextmanager
def open_workers(file: Path) -> Iterator[Workers]:
    """Yield who works on a file of this size. Call it before anything that starts threads."""
    size = file.stat().st_size * (PARQUET_SAVES if is_parquet(file) else 1)
    if size < BYTES_WORTH_PROCESSES:
        with ThreadPoolExecutor(1) as thread:
            yield Workers(thread, 2)
        while _workers:
            _workers.popitem()[1].close()
        return
    number = max(2, min(MOST_PROCESSES, os.cpu_count() or 1))
    # A fork knows all modules already; it is safe only while there is one thread.
    can_fork = sys.platform == "linux" and threading.active_count() == 1
    context = get_context("fork" if can_fork else "spawn")
    with ProcessPoolExecutor(number, mp_context=context) as processes:
        for _ in range(number):
            processes.submit(_begin)
        yield Workers(processes, number + 1)


_workers: dict[Job, Worker] = {}
"""The workers of this process: one, but where imports run one after another in the same."""


def _begin() -> None:
    """Get ready, in a process of its own."""
    rare_collections().__enter__()


def _do(job: Job, batch: Sequence[FileOrder]) -> BatchResult:
    if job not in _workers:
        _workers[job] = Worker(job)
    return _workers[job].do(batch)
