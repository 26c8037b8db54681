"""Where fits and judgements are computed: DuckDB in process, by ibis expressions, with bounded memory.

Expressions keep to what Spark and warehouses translate as well (no asof_join, no seeded sample).
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb
import ibis
import pyarrow as pa
import pyarrow.parquet as pq
from ibis.expr.operations import Node

ROWS_A_BATCH = 50_000


@dataclass(frozen=True, slots=True)
class Engine:
    """A scratch database of one fit. Tables kept in it are expressions like any other.

    `folder` is its own, and goes with it; `extracts` is where order lines are kept in files, None where they are not.
    """

    database: duckdb.DuckDBPyConnection
    folder: Path
    extracts: Path | None = None

    def load(self, name: str, rows: pa.RecordBatchReader) -> ibis.Table:
        """Stream rows into a table: never more than a few batches of them are in memory."""
        self.database.register("incoming", rows)
        self.database.execute(f'CREATE OR REPLACE TABLE "{name}" AS SELECT * FROM incoming')  # noqa: S608 (names are ours)
        self.database.unregister("incoming")
        return ibis.table(ibis.Schema.from_pyarrow(rows.schema), name=name)

    def scan(self, name: str, files: Sequence[Path]) -> ibis.Table:
        """Name the rows of Parquet files of one schema: an expression reads what columns it needs."""
        self.database.read_parquet([str(file) for file in files]).create_view(name)
        return ibis.table(ibis.Schema.from_pyarrow(pq.read_schema(files[0])), name=name)

    def write(self, file: Path, rows: pa.RecordBatchReader) -> None:
        """Stream rows into a Parquet file."""
        self.database.register("incoming", rows)
        self.database.execute(
            "COPY incoming TO $1 (FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false)", [str(file)]
        )
        self.database.unregister("incoming")

    def keep(self, name: str, rows: ibis.Table) -> ibis.Table:
        """Compute an expression once and return the table it became."""
        self.database.execute(f'CREATE OR REPLACE TABLE "{name}" AS {_sql(rows)}')
        return ibis.table(rows.schema(), name=name)

    def drop(self, name: str) -> None:
        """Give back the room of a table that nobody needs any more."""
        self.database.execute(f'DROP TABLE "{name}"')

    def stream(self, rows: ibis.Table) -> pa.RecordBatchReader:
        """Compute an expression and hand its rows out batch by batch."""
        return self.database.sql(_sql(rows)).to_arrow_reader(ROWS_A_BATCH)

    def rows(self, rows: ibis.Table) -> list[dict[str, Any]]:
        """Compute a small expression and return its rows."""
        found: list[dict[str, Any]] = self.stream(rows).read_all().to_pylist()
        return found

    def count(self, rows: ibis.Table) -> int:
        """Return how many rows an expression has."""
        return int(self.rows(rows.agg(rows=rows.count()))[0]["rows"])


def _sql(rows: ibis.Table) -> str:
    return _compiled(rows.op())


# Compiling takes longer than computing for a small company; a backtest asks for the same expressions day after day.
@lru_cache(maxsize=256)
def _compiled(expression: Node) -> str:
    return str(ibis.to_sql(expression.to_expr(), dialect="duckdb"))


@contextmanager
def open_engine(*, threads: int, memory: str, extracts: Path | None = None) -> Iterator[Engine]:
    """Open an empty engine whose tables spill to a folder that goes with it. `memory` as "700MB".

    Order lines are kept in the folder `extracts` for others.
    """
    with tempfile.TemporaryDirectory(prefix="tipoff-fit-") as folder:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "threads": threads,
            "memory_limit": memory,
            "temp_directory": folder,
        }
        with duckdb.connect(Path(folder) / "fit.duckdb", config=settings) as database:
            yield Engine(database, Path(folder), extracts)
