"""Import runs: what was imported when and what came of it, and how far one is while it goes on."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import click
import msgspec
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from sqlalchemy import Connection, text

from services.ingest.store import QUEUE
from shared import tasks


def begin_run(connection: Connection, entity: str, source: str, file: Path) -> int:
    """Note that an import has begun and return its id."""
    statement = text(
        "INSERT INTO import_run (entity, source, file) VALUES (:entity, :source, :file) RETURNING id"
    )
    values = {"entity": entity, "source": source, "file": str(file)}
    return int(connection.execute(statement, values).scalar_one())


def finish_run(connection: Connection, run_id: int, counts: Mapping[str, object], *, refresh: bool) -> None:
    """Note what came of an import; with `refresh`, have what is derived from facts worked out anew."""
    connection.execute(
        text("UPDATE import_run SET finished_at = clock_timestamp(), counts = :counts WHERE id = :id"),
        {"id": run_id, "counts": msgspec.json.encode(counts).decode()},
    )
    if refresh:
        tasks.put(connection, QUEUE, "refresh", [f"import-{run_id}"])


def take_statistics(connection: Connection) -> None:
    """Let PostgreSQL look at what came in: right after an import, plans made on empty tables are wrong.

    A quick look at a small sample; a table autovacuum is looking at already is left to it.
    """
    connection.execute(text("SET LOCAL default_statistics_target = 10"))
    tables = "event, sales_order, order_line, customer, customer_ref, product, product_ref"
    connection.execute(text(f"ANALYZE (SKIP_LOCKED) {tables}"))


Advance = Callable[[int], None]
SECONDS_BETWEEN_LINES = 5.0


@contextmanager
def progress(what: str, total: int) -> Iterator[Advance]:
    """Show progress while the block runs; call the value with the number of rows done since the last call."""
    if sys.stderr.isatty():
        from rich.console import Console  # noqa: PLC0415 - only where there is a terminal

        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TimeRemainingColumn(),
        )  # fmt: skip
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(what, total=total)
            yield lambda rows: bar.advance(task, rows)
        return
    yield _lines(what, total)


def _lines(what: str, total: int) -> Advance:
    done, said_at = 0, monotonic()

    def advance(rows: int) -> None:
        nonlocal done, said_at
        done += rows
        if monotonic() - said_at >= SECONDS_BETWEEN_LINES and done < total:
            click.echo(f"{what}: {done:,} of {total:,} rows", err=True)
            said_at = monotonic()

    return advance
