"""A CSV or Parquet file as a table with numbered rows, read within a memory limit, and the rows rejected.

DuckDB reads the whole of a sound CSV at once. A CSV with a line it cannot read is read again line by line: what is
no row is kept with the reason, and every other row comes in.
"""

import codecs
import csv
import re
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TextIO

import duckdb
import pyarrow as pa

MEMORY = "256MB"
ROWS_AT_ONCE = 20_000
DELIMITERS = (",", ";", "\t")
OWN_COLUMNS = ("row_no", "unreadable")
LONGEST_LINE = 1 << 20
"""Characters; a longer line is no row."""
MOST_LINES_IN_A_ROW = 100
"""A quote still open after so many lines was never meant to hold them."""

SPREADSHEETS = "windows-1252"
"""What spreadsheets of Western Europe write a CSV in that is not UTF-8."""
BLOCK = 1 << 20
# Bytes that are no UTF-8 are read as U+DC80 to U+DCFF.
_BEYOND_ASCII = re.compile("[^\x00-\x7f\udc80-\udcff]")

_BROKEN_PARQUET = ("magic bytes", "too small to be a Parquet file", "Failed to read file", "TProtocol")
_NOT_UTF_8 = "is not UTF-8\nhint: save the file as UTF-8 (a spreadsheet calls it “CSV UTF-8”)"


class FileFault(ValueError):
    """A file that cannot be read as a table; the message says why."""


@dataclass(frozen=True, slots=True)
class FileTable:
    """An open file. The relation `file` holds its columns, `row_no`, counted from 1 without the header, and
    `unreadable`: why a row could not be read (NULL: it could).
    """

    path: Path
    connection: duckdb.DuckDBPyConnection
    columns: tuple[str, ...]
    encoding: str = "utf-8"

    def stream(self, query: str) -> pa.RecordBatchReader:
        """Run a query, and hand its rows over in bounded batches."""
        return self.connection.cursor().sql(query).to_arrow_reader(ROWS_AT_ONCE)


@contextmanager
def open_table(path: Path, *, takes_spreadsheets: bool = False) -> Iterator[FileTable]:
    """Open a file as `file`. Values of a CSV are text, blank is NULL. Raises FileFault.

    A CSV is UTF-8. With `takes_spreadsheets`, one without a word of UTF-8 may be Windows-1252.
    """
    with tempfile.TemporaryDirectory(prefix="tipoff-import-") as scratch:
        connection = duckdb.connect(
            f"{scratch}/file.duckdb",
            config={"memory_limit": MEMORY, "temp_directory": scratch, "threads": "2"},
        )
        try:
            connection.execute("SET TimeZone = 'UTC'")
            encoding = "utf-8"
            if is_parquet(path):
                _open_parquet(connection, path)
            elif takes_spreadsheets and (written := _as_utf_8(path, Path(scratch) / path.name)):
                encoding = SPREADSHEETS
                _read_csv(connection, written)
            else:
                _read_csv(connection, path)
            columns = [row[0] for row in connection.execute("DESCRIBE file").fetchall()]
            names = tuple(each for each in columns if each not in OWN_COLUMNS)
            yield FileTable(path, connection, names, encoding)
        except duckdb.Error as fault:
            raise FileFault(_in_short(path, str(fault))) from fault
        except OSError as fault:
            if fault.errno is not None:
                raise
            # So Arrow passes on what DuckDB said while rows were handed over.
            raise FileFault(_in_short(path, str(fault))) from fault
        finally:
            connection.close()


def _as_utf_8(path: Path, copy: Path) -> Path | None:
    """Write a Windows-1252 file once more as UTF-8, and return it; None for a file that is UTF-8, in part, or neither.

    Where some of it is UTF-8, the rest are bad rows, and would become others' letters.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    is_other = False
    with path.open("rb") as opened:
        while block := opened.read(BLOCK):
            text = decoder.decode(block)
            if "\0" in text or _BEYOND_ASCII.search(text):
                return None
            is_other = is_other or not text.isascii()
    if not is_other:
        return None
    try:
        with (
            path.open(encoding=SPREADSHEETS, newline="") as old,
            copy.open("w", encoding="utf-8", newline="") as new,
        ):
            while text := old.read(BLOCK):
                new.write(text)
    except UnicodeDecodeError:
        return None
    return copy


def is_parquet(path: Path) -> bool:
    """Tell Parquet from CSV by the name."""
    return path.suffix.lower() in (".parquet", ".pq")


def quoted(text: str) -> str:
    """Return a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Return a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _open_parquet(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    source = f"read_parquet({quoted(str(path))}, file_row_number = true)"
    names = [row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()]  # noqa: S608 - quoted
    _refuse_own_names(path, names)
    connection.execute(
        "CREATE VIEW file AS SELECT * EXCLUDE (file_row_number), file_row_number + 1 AS row_no,"  # noqa: S608 - quoted
        f" CAST(NULL AS VARCHAR) AS unreadable FROM {source}"
    )


def _refuse_own_names(path: Path, names: list[str]) -> None:
    if taken := sorted({name for name in names if name.lower() in OWN_COLUMNS}):
        raise FileFault(
            f"{path.name} has a column {', '.join(taken)}\nhint: rename it, the import uses that name itself"
        )


def _read_csv(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Read the rows of a CSV into `file`."""
    with path.open("rb") as opened:
        start = opened.read(4)
    if start.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in start:
        raise FileFault(f"{path.name}: line 1 {_NOT_UTF_8}")
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as opened:
        first = opened.readline(LONGEST_LINE)
        delimiter = max(DELIMITERS, key=first.count)
        # Carriage returns alone end lines only for Python.
        is_plain = "\r" not in first.removesuffix("\r\n")
    header = _header(path, delimiter)
    if is_plain:
        columns = ", ".join(f"{quoted(column)}: 'VARCHAR'" for column in header)
        reader = (
            f"{quoted(str(path))}, auto_detect = false, header = true, delim = {quoted(delimiter)}, quote = '\"',"
            f" escape = '\"', columns = {{{columns}}}, nullstr = '', compression = 'none'"
        )
        try:
            connection.execute(
                "CREATE TABLE file AS SELECT *, row_number() OVER () AS row_no,"  # noqa: S608 - quoted
                f" CAST(NULL AS VARCHAR) AS unreadable FROM read_csv({reader})"
            )
        except duckdb.InvalidInputException:
            pass
        else:
            return
    columns = ", ".join(f"{identifier(column)} VARCHAR" for column in header)
    connection.execute(f"CREATE TABLE file ({columns}, row_no BIGINT, unreadable VARCHAR)")
    schema = pa.schema(
        [*((name, pa.string()) for name in header), ("row_no", pa.int64()), ("unreadable", pa.string())]
    )
    rows = _rows(path, delimiter, len(header))
    while batch := list(islice(rows, ROWS_AT_ONCE)):
        columns_of = [
            pa.array(values, field.type)
            for values, field in zip(zip(*batch, strict=True), schema, strict=True)
        ]
        connection.register("batch", pa.table(columns_of, schema))
        connection.execute("INSERT INTO file SELECT * FROM batch")
        connection.unregister("batch")


def _header(path: Path, delimiter: str) -> list[str]:
    """Return the names in the first line.

    Nobody guesses from the rows: one bad row would make good ones look wrong.
    """
    with _text_of(path) as lines:
        try:
            names = next(csv.reader(lines, delimiter=delimiter, strict=True), [])
        except csv.Error as fault:
            raise FileFault(
                f"{path.name}: line 1 cannot be read: {fault}\nhint: the first line names the columns"
            ) from None
    if not any(name.strip() for name in names):
        raise FileFault(f"{path.name} is empty\nhint: the first line names the columns")
    if any(not _is_utf_8(name) or "\0" in name for name in names):
        raise FileFault(f"{path.name}: line 1 {_NOT_UTF_8}")
    header = [name.strip() or f"column {number}" for number, name in enumerate(names, start=1)]
    lowered = [name.lower() for name in header]
    if doubled := sorted({name for name in header if lowered.count(name.lower()) > 1}):
        raise FileFault(f"{path.name} names a column twice: {', '.join(doubled)}\nhint: rename or remove one")
    _refuse_own_names(path, header)
    return header


@contextmanager
def _text_of(path: Path) -> Iterator[TextIO]:
    """Open a text whose lines end in any way; bytes that are no UTF-8 become surrogates."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline=None) as opened:
        yield opened


def _is_utf_8(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= each <= "\udfff" for each in text)


def _rows(path: Path, delimiter: str, width: int) -> Iterator[tuple[object, ...]]:
    """Read the rows of a CSV after its header one by one: values, number, and why a line is no row.

    When lines that a quote joins make no row, only the first is refused, and reading goes on at the second.
    """
    with _text_of(path) as opened:
        next(csv.reader(opened, delimiter=delimiter), None)
        waiting: deque[str] = deque()

        def next_line() -> str:
            return waiting.popleft() if waiting else opened.readline(LONGEST_LINE)

        number = 0
        while line := next_line():
            if not line.strip():
                continue
            number += 1
            values: list[str] = []
            reason: str | None = None
            if len(line) == LONGEST_LINE:
                while (rest := opened.readline(LONGEST_LINE)) and not rest.endswith("\n"):
                    continue
                line, joined = line[:200], [line]
                reason = f"the line is longer than {LONGEST_LINE} characters"
            else:
                joined, values, reason = _record(line, next_line, delimiter)
            if reason is None and len(values) != width:
                reason = f"{len(values)} values for {width} columns"
            if reason is not None:
                waiting.extendleft(reversed(joined[1:]))
                values = (line.rstrip("\n").split(delimiter) + [""] * width)[:width]
            elif not all(map(_is_utf_8, values)):
                reason = "not UTF-8: save the file as UTF-8 (a spreadsheet calls it “CSV UTF-8”)"
            # Bytes that are no UTF-8 are written out.
            shown = (
                each.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") for each in values
            )
            yield (*(each or None for each in shown), number, reason)


def _record(
    line: str, next_line: Callable[[], str], delimiter: str
) -> tuple[list[str], list[str], str | None]:
    """Read one record that begins with a line: the lines it takes, its values, and why it is none."""
    joined = [line]
    while True:
        try:
            return joined, next(csv.reader(joined, delimiter=delimiter, strict=True)), None
        except csv.Error as fault:
            if "unexpected end of data" not in str(fault):
                return joined, [], str(fault)
        more = next_line() if len(joined) < MOST_LINES_IN_A_ROW else ""
        if not more:
            return joined, [], "a quote that never ends"
        joined.append(more)


def _in_short(path: Path, fault: str) -> str:
    """Say in one line what DuckDB says in twenty, with a hint where there is something to do."""
    reason = fault.partition("\n")[0]
    if is_parquet(path) and any(mark in fault for mark in _BROKEN_PARQUET):
        return f"{path.name} is no whole Parquet file: {reason}\nhint: write or copy it again; name a CSV file .csv"
    return f"{path.name}: {reason}"


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
