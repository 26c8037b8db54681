"""This file writes what was learnt beside the run that learnt it, and makes it current in one commit.

The rows of the run before stay until the next fit: a reader who began with them finds them all.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa
from adbc_driver_postgresql import dbapi

from services.scoring.engine import Engine
from services.scoring.fit.facts import literal
from services.scoring.fit.model import Derived

LOCK = "hashtext('tipoff fit')"
VERSION = "1"
"""Of the fitting code: raise it when the same facts would be learnt differently."""

_TYPES = {
    "int8": pa.int64(),
    "int4": pa.int32(),
    "float8": pa.float64(),
    "text": pa.string(),
    "_int8": pa.list_(pa.int64()),
    "_float8": pa.list_(pa.float64()),
}
_COLUMNS = (
    "SELECT column_name, udt_name FROM information_schema.columns"
    " WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position"
)


@dataclass(slots=True)
class Edition:
    """A run being written, inside one transaction of an ADBC connection."""

    connection: dbapi.Connection
    run_id: int
    rows: dict[str, int] = field(default_factory=dict)

    def write(self, engine: Engine, piece: Derived) -> None:
        """Stream a piece into its table, as the column types there say; first drop what nobody reads any more."""
        if piece.table not in self.rows:
            self._drop_superseded(piece.table)
        schema = self._schema(piece.table)
        batches = _fitted(engine.stream(piece.rows), schema, self.run_id)
        reader = pa.RecordBatchReader.from_batches(schema, batches)
        with self.connection.cursor() as cursor:
            written = cursor.adbc_ingest(piece.table, reader, mode="append")
        self.rows[piece.table] = self.rows.get(piece.table, 0) + max(written, 0)

    def make_current(self, grades: Mapping[str, Any]) -> None:
        """Record the grades and let readers use this run from the commit on."""
        with self.connection.cursor() as cursor:
            cursor.execute("UPDATE model_run SET is_current = false WHERE is_current")
            cursor.execute(
                "UPDATE model_run SET is_current = true, finished_at = clock_timestamp(), grades = $1::text::jsonb"
                " WHERE id = $2",
                (json.dumps(grades), self.run_id),
            )

    def _drop_superseded(self, table: str) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(
                f"DELETE FROM {table} WHERE model_run_id NOT IN (SELECT id FROM model_run WHERE is_current)"  # noqa: S608
            )

    def _schema(self, table: str) -> pa.Schema:
        return pa.schema([(name, _TYPES[kind]) for name, kind in _rows(self.connection, _COLUMNS, (table,))])


def begin(connection: dbapi.Connection, as_of: datetime) -> Edition:
    """Open a run, waiting for another fit to end."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT pg_advisory_xact_lock({LOCK})")
        cursor.fetchall()
    opened = f"INSERT INTO model_run (as_of, version) VALUES ({literal(as_of)}, '{VERSION}') RETURNING id"  # noqa: S608 (a moment and our own words)
    return Edition(connection, int(_rows(connection, opened, None)[0][0]))


def _rows(
    connection: dbapi.Connection, query: str, arguments: tuple[object, ...] | None
) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, arguments)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


def _fitted(batches: pa.RecordBatchReader, schema: pa.Schema, run_id: int) -> Iterator[pa.RecordBatch]:
    """Give each batch its run, and the order and types of columns its table has."""
    for batch in batches:
        columns = [
            pa.repeat(pa.scalar(run_id, column.type), batch.num_rows)
            if column.name == "model_run_id"
            else batch.column(column.name).cast(column.type)
            for column in schema
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)
