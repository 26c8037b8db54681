"""This file imports the history of orders from a file: read, normalise, decide, copy, and settle the account."""

import gc
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import text

from services.ingest.imports.account import Account
from services.ingest.imports.columns import ColumnMap
from services.ingest.imports.file_orders import Incoming, Outdated, Read, Refused, file_orders, read_orders
from services.ingest.imports.identities import Names
from services.ingest.imports.load import Run, judge_only, load
from services.ingest.imports.progress import Advance, progress
from services.ingest.imports.query import Window, create_views, months, turned_away, wanted, whole_file
from services.ingest.imports.rates import load_rates
from services.ingest.imports.rejects import Rejects
from services.ingest.imports.runs import begin_run, finish_run, take_statistics
from services.ingest.imports.table import ROWS_AT_ONCE, FileTable, open_table
from services.ingest.normalise import Receipt
from services.ingest.receive import Verdict
from shared.clock import real_now
from shared.db import Database
from shared.partitions import ensure_months

BATCH_ORDERS = 1000
BATCHES_AHEAD = 2
ROWS_THAT_CHANGE_PLANS = 10_000
VALUES_BETWEEN_COLLECTIONS = 500_000


@dataclass(frozen=True, slots=True)
class Wish:
    """What to import, and how to read it."""

    file: Path
    source: str
    columns: ColumnMap
    window: Window
    zone: ZoneInfo
    base_currency: str
    rejects: Path
    is_dry_run: bool


@dataclass(frozen=True, slots=True)
class Report:
    """What came of an import. `in_database` is the net of this run's lines as they stand there."""

    run_id: int | None
    account: Account
    file_rows: int
    file_value: int
    outside_rows: int
    rejected_rows: int
    in_database: Decimal | None

    @property
    def is_settled(self) -> bool:
        """Is every row and every penny accounted for?"""
        stands = self.in_database is None or self.in_database == self.account.stored.net
        return stands and self.account.rows == self.file_rows and self.account.value == self.file_value


def import_orders(database: Database, wish: Wish) -> Report:
    """Import a file of orders. Safe to run again: what is held already is a repeat."""
    with open_table(wish.file) as table:
        create_views(table, wish.columns)
        rows, value, outside = table.connection.execute(whole_file(wish.window)).fetchall()[0]
        account, rejects = Account(), Rejects(table)
        _turn_away(table, wish.window, account, rejects)
        run = _begin(database, wish, table)
        with progress(f"orders of {wish.file.name}", rows) as advance, _rare_collections():
            advance(account.rows)
            _bring_in(run, wish, table, Books(account, rejects, advance))
        if rejects.count:
            rejects.write(wish.rejects)
        report = Report(
            run_id=run.id or None,
            account=account,
            file_rows=rows,
            file_value=value,
            outside_rows=outside,
            rejected_rows=rejects.count,
            in_database=None if wish.is_dry_run else _net_of(database, run.id),
        )
    if not wish.is_dry_run:
        _finish(database, report)
    return report


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Look for garbage in circles rarely: an import makes millions of short-lived values, and none in circles."""
    usual = gc.get_threshold()
    gc.set_threshold(VALUES_BETWEEN_COLLECTIONS, 10, 10)
    yield
    gc.set_threshold(*usual)


def _turn_away(table: FileTable, window: Window, account: Account, rejects: Rejects) -> None:
    """Book the rows the column map rejects."""
    query = turned_away(window)
    rejects.add_query(query)
    sums = f"SELECT reason, count(*), sum(value)::BIGINT FROM ({query}) GROUP BY reason"  # noqa: S608
    for reason, rows, value in table.connection.execute(sums).fetchall():
        account.reject_rows(reason, rows, value)


def _begin(database: Database, wish: Wish, table: FileTable) -> Run:
    """Note the run and make the months it needs; a dry run does neither."""
    run_id = 0
    if not wish.is_dry_run:
        with database.transaction() as connection:
            run_id = begin_run(connection, "orders", wish.source, wish.file)
        with database.transaction() as connection:
            for (month,) in table.connection.execute(months(wish.window)).fetchall():
                ensure_months(connection, month, month)
    with database.transaction() as connection:
        return Run(
            run_id, wish.source, database, Names(wish.source), load_rates(connection, wish.base_currency)
        )


@dataclass(slots=True)
class Books:
    """Where the ends of orders are written down."""

    account: Account
    rejects: Rejects
    advance: Advance

    def refuse(self, refused: Refused) -> None:
        """Note an order that could not be read."""
        self.account.reject(refused.told, refused.reason)
        self.rejects.add(refused.told.rows, refused.reason)
        self.advance(len(refused.told.rows))

    def pass_over(self, outdated: Outdated) -> None:
        """Note an order that comes again in a newer version."""
        self.account.pass_over(outdated.told)
        self.advance(len(outdated.told.rows))

    def close(self, batch: Sequence[Incoming], verdicts: Sequence[Verdict]) -> None:
        """Note what became of a batch."""
        for each, verdict in zip(batch, verdicts, strict=True):
            if verdict is Verdict.CONFLICT:
                self.refuse(Refused(each.told, f"version {each.order.version} is held with other content"))
                continue
            self.account.book(each, verdict)
            self.advance(len(each.told.rows))


def _bring_in(run: Run, wish: Wish, table: FileTable, books: Books) -> None:
    """Read and normalise here while another thread loads: PostgreSQL works while we do."""
    reader = table.connection.cursor().sql(wanted(wish.window)).to_arrow_reader(ROWS_AT_ONCE)
    receipt = Receipt(wish.source, wish.zone, wish.columns.currency or wish.base_currency, real_now())
    work = judge_only if wish.is_dry_run else load
    loading: deque[tuple[list[Incoming], Future[list[Verdict]]]] = deque()
    with ThreadPoolExecutor(max_workers=1) as loader:
        for batch in _batches(_readable(read_orders(file_orders(reader), receipt), books)):
            loading.append((batch, loader.submit(work, run, batch)))
            while len(loading) > BATCHES_AHEAD:
                done, future = loading.popleft()
                books.close(done, future.result())
        for done, future in loading:
            books.close(done, future.result())


def _readable(orders: Iterable[Read], books: Books) -> Iterator[Incoming]:
    for each in orders:
        if isinstance(each, Refused):
            books.refuse(each)
        elif isinstance(each, Outdated):
            books.pass_over(each)
        else:
            yield each


def _batches(orders: Iterator[Incoming]) -> Iterator[list[Incoming]]:
    while batch := list(islice(orders, BATCH_ORDERS)):
        yield batch


def _net_of(database: Database, run_id: int) -> Decimal:
    """What this run's lines bring in, as they stand in the database."""
    with database.transaction() as connection:
        net = connection.execute(
            text(
                "SELECT coalesce(sum(order_line.net), 0) FROM order_line JOIN sales_order ON sales_order.id = order_id"
                " JOIN event ON event.id = sales_order.event_id WHERE event.import_run_id = :id"
            ),
            {"id": run_id},
        ).scalar_one()
    return Decimal(net)


def _finish(database: Database, report: Report) -> None:
    assert report.run_id is not None  # noqa: S101 - not a dry run
    with database.transaction() as connection:
        counts = report.account.as_json() | {
            "file": {"rows": report.file_rows, "outside": report.outside_rows},
            "settled": report.is_settled,
        }
        finish_run(connection, report.run_id, counts, refresh=True)
        if report.account.stored.rows >= ROWS_THAT_CHANGE_PLANS:
            take_statistics(connection)
