"""This file is where fits are computed: DuckDB in process, spoken to in ibis expressions, with bounded memory."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa

ROWS_A_BATCH = 50_000


@dataclass(frozen=True, slots=True)
class Engine:
    """A scratch database of one fit. Tables kept in it are expressions like any other."""

    backend: Any

    def load(self, name: str, rows: pa.RecordBatchReader) -> ibis.Table:
        """Stream rows into a table: never more than a batch of them is in memory."""
        # ibis.memtable would read all of a stream first, so the rows take DuckDB's own door
        native = self.backend.con
        native.register("incoming", rows)
        native.execute(f'CREATE TABLE "{name}" AS SELECT * FROM incoming')  # noqa: S608 (names are ours)
        native.unregister("incoming")
        return self.backend.table(name)

    def keep(self, name: str, rows: ibis.Table) -> ibis.Table:
        """Compute an expression once and return the table it became."""
        self.backend.con.execute(f'CREATE OR REPLACE TABLE "{name}" AS {_sql(rows)}')
        return self.backend.table(name)

    def stream(self, rows: ibis.Table) -> pa.RecordBatchReader:
        """Compute an expression and hand its rows out batch by batch."""
        return self.backend.con.sql(_sql(rows)).to_arrow_reader(ROWS_A_BATCH)

    def count(self, rows: ibis.Table) -> int:
        """Return how many rows an expression has."""
        return int(self.backend.execute(rows.count()))

    def rows(self, rows: ibis.Table) -> list[dict[str, Any]]:
        """Compute a small expression and return its rows."""
        found: list[dict[str, Any]] = self.stream(rows).read_all().to_pylist()
        return found


def _sql(rows: ibis.Table) -> str:
    return str(ibis.to_sql(rows, dialect="duckdb"))


@contextmanager
def open_engine(*, threads: int, memory: str) -> Iterator[Engine]:
    """Open an empty engine whose tables spill to a folder that goes with it. `memory` as "700MB"."""
    with tempfile.TemporaryDirectory(prefix="tipoff-fit-") as folder:
        backend = ibis.duckdb.connect(
            Path(folder) / "fit.duckdb", threads=threads, memory_limit=memory, temp_directory=folder
        )
        try:
            yield Engine(backend)
        finally:
            backend.disconnect()
