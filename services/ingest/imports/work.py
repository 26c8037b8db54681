"""This file does the work of an import on one batch of orders: read, normalise, decide, copy, and book.

Big files are worked on by a few processes, small ones by a thread beside the reader; both do exactly this.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context

from services.ingest.imports.account import Account
from services.ingest.imports.file_orders import FileOrder, Incoming, Refused, read_order
from services.ingest.imports.garbage import rare_collections
from services.ingest.imports.identities import Names
from services.ingest.imports.load import Run, judge_only, load
from services.ingest.imports.rates import load_rates
from services.ingest.normalise import Receipt
from services.ingest.receive import Verdict
from shared.db import UNHURRIED, Database

ROWS_WORTH_PROCESSES = 150_000
"""Below, starting processes costs more than they save."""

MOST_PROCESSES = 4


@dataclass(frozen=True, slots=True)
class Job:
    """What every batch of an import needs to know; a process gets it once."""

    run_id: int
    base_currency: str
    receipt: Receipt
    is_dry_run: bool
    database_url: str
    prepare: bool


@dataclass(slots=True)
class Done:
    """What became of a batch."""

    rows: int
    account: Account = field(default_factory=Account)
    refused: list[tuple[list[int], str]] = field(default_factory=list)

    def refuse(self, refused: Refused) -> None:
        """Note an order that does not come in."""
        self.account.reject(refused.told, refused.reason)
        self.refused.append((refused.told.rows, refused.reason))


Work = Callable[[Sequence[FileOrder]], Done]


class Worker:
    """Does batches, one after another, on connections of its own."""

    def __init__(self, job: Job) -> None:
        self._job = job
        database = Database(job.database_url, UNHURRIED, pool_size=1, prepare=job.prepare)
        with database.transaction() as connection:
            rates = load_rates(connection, job.base_currency)
        self._run = Run(job.run_id, job.receipt.source, database, Names(job.receipt.source), rates)

    def do(self, batch: Sequence[FileOrder]) -> Done:
        """Bring a batch in; committed when this returns."""
        done = Done(sum(len(told.rows) for told in batch))
        incoming: list[Incoming] = []
        for told in batch:
            read = read_order(told, self._job.receipt)
            if isinstance(read, Refused):
                done.refuse(read)
            else:
                incoming.append(read)
        verdicts = judge_only(self._run, incoming) if self._job.is_dry_run else load(self._run, incoming)
        for each, verdict in zip(incoming, verdicts, strict=True):
            if verdict is Verdict.CONFLICT:
                done.refuse(Refused(each.told, f"version {each.order.version} is held with other content"))
            else:
                done.account.book(each, verdict)
        return done

    def close(self) -> None:
        """Close the connections."""
        self._run.database.close()


@contextmanager
def workforce(job: Job, rows: int) -> Iterator[tuple[Executor, Work, int]]:
    """Yield who works, what they do, and how many batches may be under way."""
    if rows < ROWS_WORTH_PROCESSES:
        worker = Worker(job)
        with ThreadPoolExecutor(1) as thread:
            yield thread, worker.do, 2
        worker.close()
        return
    number = max(2, min(MOST_PROCESSES, os.cpu_count() or 1))
    processes = ProcessPoolExecutor(
        number, mp_context=get_context("spawn"), initializer=_begin, initargs=(job,)
    )
    with processes:
        yield processes, _do, number + 1


_workers: list[Worker] = []
"""The worker of this process, made when the process starts."""


def _begin(job: Job) -> None:
    rare_collections().__enter__()
    _workers.append(Worker(job))


def _do(batch: Sequence[FileOrder]) -> Done:
    return _workers[0].do(batch)
