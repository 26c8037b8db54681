"""This file writes the reject file: every row that did not come in, why, and the row itself as it stood."""

from pathlib import Path

import duckdb
import pyarrow as pa

from services.ingest.imports.table import FileTable, quoted

FLUSH_ROWS = 50_000


class Rejects:
    """Rows and reasons, kept in the reading database so that memory stays flat."""

    def __init__(self, table: FileTable) -> None:
        self._connection: duckdb.DuckDBPyConnection = table.connection.cursor()
        self._connection.execute("CREATE TABLE reasons (row_no BIGINT, reason VARCHAR)")
        self._waiting: list[tuple[int, str]] = []
        self.count = 0

    def add_query(self, query: str) -> None:
        """Note the rows of a query that gives row_no and reason."""
        self._connection.execute(f"INSERT INTO reasons SELECT row_no, reason FROM ({query})")  # noqa: S608
        self.count = self._connection.sql("SELECT count(*) FROM reasons").fetchall()[0][0]

    def add(self, rows: list[int], reason: str) -> None:
        """Note rows refused for one reason."""
        self._waiting.extend((row, reason) for row in rows)
        self.count += len(rows)
        if len(self._waiting) >= FLUSH_ROWS:
            self._flush()

    def write(self, path: Path) -> None:
        """Write the file, rows in the order of the original."""
        self._flush()
        told = "reasons.row_no AS rejected_row, reasons.reason AS rejected_because, file.* EXCLUDE (row_no, unreadable)"
        rows = f"SELECT {told} FROM reasons JOIN file ON file.row_no = reasons.row_no"  # noqa: S608 - our own text
        target = f"{quoted(str(path))} (FORMAT csv, HEADER)"
        self._connection.execute(f"COPY ({rows} ORDER BY reasons.row_no) TO {target}")

    def _flush(self) -> None:
        if not self._waiting:
            return
        rows, reasons = zip(*self._waiting, strict=True)
        waiting = pa.table({"row_no": list(rows), "reason": list(reasons)})
        self._connection.register("waiting", waiting)
        self._connection.execute("INSERT INTO reasons SELECT row_no, reason FROM waiting")
        self._connection.unregister("waiting")
        self._waiting.clear()
