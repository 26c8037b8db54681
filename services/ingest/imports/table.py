"""This file opens a CSV or Parquet file as a table with numbered rows, within a memory limit."""

import csv
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

MEMORY = "256MB"
ROWS_AT_ONCE = 20_000
DELIMITERS = (",", ";", "\t")

_BROKEN_PARQUET = ("magic bytes", "too small to be a Parquet file", "Failed to read file", "TProtocol")
_LINE = re.compile(r"CSV Error on Line: ([0-9]+)\nOriginal Line: [^\n]*\n+([^\n]+)")


class FileFault(ValueError):
    """A file that cannot be read as a table; the message says why."""


@dataclass(frozen=True, slots=True)
class FileTable:
    """An open file. The relation `file` holds its columns and `row_no`, counted from 1 without the header."""

    path: Path
    connection: duckdb.DuckDBPyConnection
    columns: tuple[str, ...]

    def stream(self, query: str) -> pa.RecordBatchReader:
        """Run a query, and hand its rows over in bounded batches."""
        return self.connection.cursor().sql(query).to_arrow_reader(ROWS_AT_ONCE)


@contextmanager
def open_table(path: Path) -> Iterator[FileTable]:
    """Open a file as `file`. Values of a CSV are text, blank is NULL. Raises FileFault."""
    with tempfile.TemporaryDirectory(prefix="tipoff-import-") as scratch:
        connection = duckdb.connect(
            config={"memory_limit": MEMORY, "temp_directory": scratch, "threads": "2"}
        )
        try:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute(f"CREATE VIEW file AS {_source(path)}")
            columns = [row[0] for row in connection.execute("DESCRIBE file").fetchall()]
            yield FileTable(path, connection, tuple(each for each in columns if each != "row_no"))
        except duckdb.Error as fault:
            raise FileFault(_in_short(path, str(fault))) from fault
        except OSError as fault:
            if fault.errno is not None:
                raise
            # So Arrow passes on what DuckDB said while rows were handed over.
            raise FileFault(_in_short(path, str(fault))) from fault
        finally:
            connection.close()


def _source(path: Path) -> str:
    name = quoted(str(path))
    if is_parquet(path):
        columns, reader = (
            "* EXCLUDE (file_row_number), file_row_number + 1",
            f"{name}, file_row_number = true",
        )
        return f"SELECT {columns} AS row_no FROM read_parquet({reader})"  # noqa: S608 - quoted
    header, delimiter = _header(path)
    columns = ", ".join(f"{quoted(column)}: 'VARCHAR'" for column in header)
    reader = (
        f"{name}, auto_detect = false, header = true, delim = {quoted(delimiter)}, quote = '\"', escape = '\"',"
        f" columns = {{{columns}}}, nullstr = ''"
    )
    return f"SELECT *, row_number() OVER () AS row_no FROM read_csv({reader})"  # noqa: S608 - quoted


def _header(path: Path) -> tuple[list[str], str]:
    """Return the names in the first line, and what stands between them: a comma, a semicolon or a tab.

    Nobody guesses from the rows: one bad row would make good ones look wrong.
    """
    with path.open("rb") as file:
        try:
            first = file.readline().decode("utf-8-sig")
        except UnicodeDecodeError:
            raise FileFault(_in_short(path, "CSV Error on Line: 1\nOriginal Line: \nnot utf-8")) from None
    delimiter = max(DELIMITERS, key=first.count)
    names = next(csv.reader([first], delimiter=delimiter), [])
    if not names:
        raise FileFault(f"{path.name} is empty\nhint: the first line names the columns")
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise FileFault(f"{path.name} names a column twice: {', '.join(doubled)}")
    return [name.strip() or f"column {number}" for number, name in enumerate(names, start=1)], delimiter


def _in_short(path: Path, fault: str) -> str:
    """Say in one line what DuckDB says in twenty, with a hint where there is something to do."""
    in_line = _LINE.search(fault)
    where = f"{path.name}: line {in_line[1]}" if in_line else path.name
    if "not utf-8" in fault:
        return f"{where} is not UTF-8\nhint: save the file as UTF-8 (a spreadsheet calls it “CSV UTF-8”)"
    if in_line:
        return f"{where} cannot be read: {in_line[2]}\nhint: are all values with a comma or a line break in quotes?"
    reason = fault.partition("\n")[0]
    if is_parquet(path) and any(mark in fault for mark in _BROKEN_PARQUET):
        return (
            f"{where} is no whole Parquet file: {reason}\nhint: write or copy it again; name a CSV file .csv"
        )
    return f"{where}: {reason}"


def is_parquet(path: Path) -> bool:
    """Tell Parquet from CSV by the name."""
    return path.suffix.lower() in (".parquet", ".pq")


def quoted(text: str) -> str:
    """Return a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Return a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
