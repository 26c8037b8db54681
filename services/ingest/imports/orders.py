"""Imports of order history: read a file, normalise, compare, copy, and settle the account."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import text

from services.ingest.imports.account import Account
from services.ingest.imports.columns import ColumnMap
from services.ingest.imports.file_orders import (
    FileOrder,
    Window,
    create_views,
    file_orders,
    months,
    rejected_rows_query,
    wanted,
    whole_file,
    with_newer,
)
from services.ingest.imports.runs import Advance, begin_run, finish_run, progress, take_statistics
from services.ingest.imports.table import FileTable, Rejects, open_table
from services.ingest.imports.work import BatchResult, Job, open_workers, rare_collections
from services.ingest.source import ReadContext
from shared.clock import real_now
from shared.db import Database
from shared.partitions import ensure_months

BATCH_ORDERS = 1000
ROWS_THAT_CHANGE_PLANS = 10_000


@dataclass(frozen=True, slots=True)
class OrdersRequest:
    """What to import, and how to read it."""

    file: Path
    source: str
    columns: ColumnMap
    window: Window
    zone: ZoneInfo
    base_currency: str
    rejects: Path
    is_dry_run: bool
    prepare_statements: bool = True


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
    ignored_columns: tuple[str, ...] = ()

    @property
    def is_settled(self) -> bool:
        """Is every row and every penny accounted for?"""
        stands = self.in_database is None or self.in_database == self.account.stored.net
        return stands and self.account.rows == self.file_rows and self.account.value == self.file_value


def import_orders(database: Database, request: OrdersRequest) -> Report:
    """Import a file of orders. Safe to run again: what is there already is a duplicate."""
    with open_workers(request.file) as workers, open_table(request.file) as table:
        create_views(table, request.columns)
        rows, value, outside = table.connection.execute(whole_file(request.window)).fetchall()[0]
        account, rejects = Account(), Rejects(table)
        query = rejected_rows_query(request.window)
        rejects.add_query(query)
        sums = f"SELECT reason, count(*), sum(value)::HUGEINT FROM ({query}) GROUP BY reason"  # noqa: S608 - ours
        for reason, number, worth in table.connection.execute(sums).fetchall():
            account.reject_rows(reason, number, worth)
        job = _begin(database, request, table)
        with progress(f"orders of {request.file.name}", rows) as advance, rare_collections():
            advance(account.rows)
            outcomes, under_way = Outcomes(account, rejects, advance), deque[Future[BatchResult]]()
            # The rows are grouped here, while others normalise and load them.
            for batch in _batches(file_orders(table.stream(wanted(request.window))), outcomes):
                under_way.append(workers.submit(job, batch))
                while len(under_way) > workers.most_under_way:
                    outcomes.add_batch(under_way.popleft().result())
            for done in under_way:
                outcomes.add_batch(done.result())
        if rejects.count:
            rejects.write(request.rejects)
        report = Report(
            run_id=job.run_id or None,
            account=account,
            file_rows=rows,
            file_value=value,
            outside_rows=outside,
            rejected_rows=rejects.count,
            in_database=None if request.is_dry_run else _net_of(database, job.run_id),
            ignored_columns=request.columns.ignored(table.columns),
        )
    if not request.is_dry_run:
        _finish(database, report)
    return report


def _begin(database: Database, request: OrdersRequest, table: FileTable) -> Job:
    """Note the run and make the months it needs; a dry run does neither."""
    run_id = 0
    if not request.is_dry_run:
        with database.transaction() as connection:
            run_id = begin_run(connection, "orders", request.source, request.file)
        with database.transaction() as connection:
            for (month,) in table.connection.execute(months(request.window)).fetchall():
                ensure_months(connection, month, month)
    return Job(
        run_id=run_id,
        base_currency=request.base_currency,
        context=ReadContext(
            request.source, request.zone, request.columns.currency or request.base_currency, real_now()
        ),
        is_dry_run=request.is_dry_run,
        database_url=database.engine.url.render_as_string(hide_password=False),
        prepare=request.prepare_statements,
    )


@dataclass(slots=True)
class Outcomes:
    """Where the ends of orders are written down."""

    account: Account
    rejects: Rejects
    advance: Advance

    def pass_over(self, outdated: FileOrder) -> None:
        """Note an order that comes again in a newer version."""
        self.account.pass_over(outdated)
        self.advance(len(outdated.rows))

    def add_batch(self, done: BatchResult) -> None:
        """Note what became of a batch."""
        self.account.add(done.account)
        for rows, reason in done.refused:
            self.rejects.add(rows, reason)
        self.advance(done.rows)


def _batches(whole: Iterator[FileOrder], outcomes: Outcomes) -> Iterator[list[FileOrder]]:
    """Deal the orders out, without those of which the file holds a newer version."""
    batch: list[FileOrder] = []
    for each, is_outdated in with_newer(whole):
        if is_outdated:
            outcomes.pass_over(each)
            continue
        batch.append(each)
        if len(batch) == BATCH_ORDERS:
            yield batch
            batch = []
    if batch:
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
