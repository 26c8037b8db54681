"""Write what a model learnt beside the run that learnt it, and make it current in one commit.

A run of a moment before that of the current one never becomes current. The rows of superseded runs stay for some days,
for orders that come late (`services.scoring.runs`).
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa
from adbc_driver_postgresql import dbapi
from ibis.expr.datatypes import Array, DataType

from services.scoring.engine import Engine
from services.scoring.facts import STALE_AFTER
from services.scoring.fit.extracts import literal
from services.scoring.fit.model import Derived, Model
from services.scoring.runs import USABLE

LOCK = "hashtext('tipoff fit')"
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
    """A run of one model being written, inside one transaction of an ADBC connection."""

    connection: dbapi.Connection
    model: Model
    run_id: int
    rows: dict[str, int] = field(default_factory=dict)

    def write(self, engine: Engine, piece: Derived) -> None:
        """Stream a piece into its table; the first piece creates the table, and drops what nobody reads any more."""
        if piece.table not in self.rows:
            self._create(piece)
            self._drop_superseded(piece.table)
        schema = self._schema(piece.table)
        batches = _fitted(engine.stream(piece.rows), schema, self.run_id)
        reader = pa.RecordBatchReader.from_batches(schema, batches)
        with self.connection.cursor() as cursor:
            written = cursor.adbc_ingest(piece.table, reader, mode="append")
        self.rows[piece.table] = self.rows.get(piece.table, 0) + max(written, 0)

    def finish(self, grade: Mapping[str, Any]) -> str:
        """Record the grade and return the state: current from the commit on, superseded, or rejected.

        A run that fails its quality gate is rejected while a fresh one that passed it is current. One of an earlier
        moment than the current run is superseded from the start.
        """
        better = _rows(
            self.connection,
            "SELECT 1 FROM model_run AS held, model_run AS mine WHERE held.model = mine.model"
            " AND held.state = 'current' AND (held.grade->>'passes')::boolean AND mine.id = $1"
            " AND held.as_of > mine.as_of - $2::int * interval '1 day'",
            (self.run_id, STALE_AFTER.days),
        )
        newer = _rows(
            self.connection,
            "SELECT 1 FROM model_run AS held JOIN model_run AS mine USING (model)"
            " WHERE held.state = 'current' AND mine.id = $1 AND held.as_of > mine.as_of",
            (self.run_id,),
        )
        is_worse = bool(better) and grade.get("passes") is False
        state = "rejected" if is_worse else "superseded" if newer else "current"
        with self.connection.cursor() as cursor:
            if state == "current":
                cursor.execute(
                    "UPDATE model_run SET state = 'superseded' WHERE state = 'current' AND model = $1",
                    (self.model.name,),
                )
            cursor.execute(
                "UPDATE model_run SET state = $1, finished_at = clock_timestamp(), grade = $2::text::jsonb"
                " WHERE id = $3",
                (state, json.dumps(grade), self.run_id),
            )
        return state

    def _create(self, piece: Derived) -> None:
        """Create the table from the rows' own schema; one of another shape is of an older version of the model."""
        wanted = {name: sql_type(kind) for name, kind in piece.rows.schema().items()}
        held = {name for name, _ in _rows(self.connection, _COLUMNS, (piece.table,))}
        columns = ", ".join(f'"{name}" {kind}' for name, kind in wanted.items())
        key = ", ".join(f'"{name}"' for name in ("model_run_id", *self.model.keys[piece.table]))
        with self.connection.cursor() as cursor:
            if held and held != {"model_run_id", *wanted}:
                cursor.execute(f'DROP TABLE "{piece.table}"')
            cursor.execute(
                f'CREATE TABLE IF NOT EXISTS "{piece.table}" (model_run_id bigint, {columns}, PRIMARY KEY ({key}))'
            )

    def _drop_superseded(self, table: str) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(
                f"DELETE FROM {table} WHERE model_run_id NOT IN (SELECT id FROM ({USABLE}) AS usable)"  # noqa: S608
            )

    def _schema(self, table: str) -> pa.Schema:
        return pa.schema([(name, _TYPES[kind]) for name, kind in _rows(self.connection, _COLUMNS, (table,))])


def begin(connection: dbapi.Connection, model: Model, as_of: datetime) -> Edition:
    """Open a run of a model as a candidate, waiting for another fit to end."""
    _rows(connection, f"SELECT pg_advisory_xact_lock({LOCK})", None)
    opened = (
        f"INSERT INTO model_run (model, state, as_of, version) VALUES ($1, 'candidate', {literal(as_of)}, $2)"  # noqa: S608 (a moment)
        " RETURNING id"
    )
    return Edition(connection, model, int(_rows(connection, opened, (model.name, model.version))[0][0]))


def reject(connection: dbapi.Connection, model: Model, as_of: datetime, reason: str) -> None:
    """Record that a run of a model failed; the one that is current stays in use."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO model_run (model, state, as_of, version, finished_at, grade) VALUES ($1, 'rejected',"  # noqa: S608 (a moment)
            f" {literal(as_of)}, $2, clock_timestamp(), $3::text::jsonb)",
            (model.name, model.version, json.dumps({"passes": False, "reason": reason})),
        )


def sql_type(kind: DataType) -> str:
    """Return the column type for an ibis type."""
    if isinstance(kind, Array):
        return f"{sql_type(kind.value_type)}[]"
    for is_kind, name in (
        (kind.is_integer(), "bigint"),
        (kind.is_floating(), "double precision"),
        (kind.is_string(), "text"),
    ):
        if is_kind:
            return name
    raise TypeError(f"a derived table cannot hold {kind}")


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
