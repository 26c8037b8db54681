"""This file notes each import as a run: what file, when, and what came of it."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
from sqlalchemy import Connection, text

from services.ingest.store import QUEUE
from shared import tasks


def begin_run(connection: Connection, noun: str, source: str, file: Path) -> int:
    """Note that an import has begun and return its id."""
    statement = text(
        "INSERT INTO import_run (noun, source, file) VALUES (:noun, :source, :file) RETURNING id"
    )
    values = {"noun": noun, "source": source, "file": str(file)}
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
