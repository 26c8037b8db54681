"""The orders of a file: the SQL that turns rows into orders' JSON, and the rows of one order put together.

What comes out is the body `POST /v1/orders` takes, one order at a time, whatever the file's size.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import msgspec
import pyarrow as pa
from pydantic import ValidationError

from services.ingest.body import ORDER
from services.ingest.imports.columns import ColumnMap
from services.ingest.imports.table import FileTable, identifier, quoted
from services.ingest.imports.written import MACROS
from services.ingest.normalise import normalise
from services.ingest.source import InvalidOrder, ReadContext
from shared.domain.order import Order, digest
from shared.faults import Fault, faults_of

VALUE_SCALE = 10_000
"""Values are counted in ten-thousandths, as whole numbers: exact and quick to add."""


@dataclass(frozen=True, slots=True)
class Window:
    """Which orders are wanted: from the first day to before the last, by their own local time."""

    since: date | None = None
    until: date | None = None

    def condition(self, moment: str) -> str:
        """Return the SQL condition. A time that cannot be read is wanted: it will be refused with a reason."""
        bounds = [
            f"({moment} IS NULL OR {moment} {sign} TIMESTAMP '{day.isoformat()}')"
            for sign, day in ((">=", self.since), ("<", self.until))
            if day is not None
        ]
        return " AND ".join(bounds) or "true"


def create_views(table: FileTable, columns: ColumnMap) -> None:
    """Define `valued`, every row with its order, time, worth and reason for rejection (NULL: none), and `placed`,
    the rows that may come in, as JSON.
    """
    for macro in MACROS:
        table.connection.execute(f"CREATE MACRO {macro}")
    found = columns.columns_of(table.columns)
    words = [f"{'NULL' if name is None else identifier(name)} AS {word}" for word, name in found.items()]
    whole = [f"{expression} AS {name}" for name, expression in columns.file.items()]
    lets = ["*", *(f"{expression} AS {name}" for name, expression in columns.let.items())]
    key = f"trim(coalesce(CAST({columns.order['id']} AS VARCHAR), ''))"
    rejects = ["WHEN unreadable IS NOT NULL THEN unreadable"]
    if table.connection.execute("SELECT true FROM file WHERE unreadable IS NOT NULL LIMIT 1").fetchall():
        unread = "order_key IN (SELECT order_key FROM keyed WHERE unreadable IS NOT NULL AND order_key <> '')"
        rejects.append(f"WHEN {unread} THEN 'another row of this order cannot be read'")
    rejects += [f"WHEN {each.when} THEN {quoted(each.reason)}" for each in columns.rejects]
    has = _Fields({word for word, name in found.items() if name is None})
    head, line = has.of(columns.order), has.of(columns.line)
    version = head.get("version", "NULL")
    for view in (
        f"words AS SELECT row_no, unreadable, {', '.join(words)} FROM file",  # noqa: S608
        f"whole_file AS SELECT {', '.join(whole) or '*'} FROM words",  # noqa: S608
        f"named AS SELECT {', '.join(lets)} FROM words{' CROSS JOIN whole_file' if whole else ''}",  # noqa: S608
        f"keyed AS SELECT *, {key} AS order_key FROM named",  # noqa: S608
        (
            f"valued AS SELECT *, TRY_CAST({head['ordered_at']} AS TIMESTAMP) AS moment,"  # noqa: S608
            f" coalesce(TRY(CAST(({columns.value}) * {VALUE_SCALE} AS BIGINT)), 0) AS value,"
            f" CASE {' '.join(rejects)} WHEN order_key = '' THEN 'no order id' END AS rejected"
            " FROM keyed WINDOW whole AS (PARTITION BY order_key)"
        ),
        (
            f"placed AS SELECT row_no, order_key, TRY_CAST({version} AS BIGINT) AS version, moment, value,"  # noqa: S608
            f" {_object(head, customer=has.of(columns.customer))} AS head,"
            f" {_object(line, returns=has.of(columns.returns))} AS line"
            " FROM valued WHERE rejected IS NULL WINDOW whole AS (PARTITION BY order_key)"
        ),
    ):
        table.connection.execute(f"CREATE VIEW {view}")


@dataclass(frozen=True, slots=True)
class _Fields:
    """Leaves out fields whose column the file does not have."""

    absent: set[str]

    def of(self, fields: Mapping[str, str]) -> dict[str, str]:
        return {name: text for name, text in fields.items() if text not in self.absent}


def _object(fields: Mapping[str, str], **nested: Mapping[str, str]) -> str:
    """Return the SQL of a JSON object; a nested one whose first field is NULL is null."""
    parts = [f"{name} := {text}" for name, text in fields.items()]
    for name, inner in nested.items():
        if inner:
            packed = ", ".join(f"{key} := CAST({text} AS VARCHAR)" for key, text in inner.items())
            first = next(iter(inner.values()))
            parts.append(f"{name} := CASE WHEN {first} IS NOT NULL THEN struct_pack({packed}) END")
    return f"CAST(to_json(struct_pack({', '.join(parts)})) AS VARCHAR)"


def wanted(window: Window) -> str:
    """Return the query of all rows that may come in, those of an order together."""
    return (
        "SELECT row_no, order_key, version, value, head, line FROM placed"  # noqa: S608
        f" WHERE {window.condition('moment')} ORDER BY order_key, version NULLS FIRST, row_no"
    )


def rejected_rows_query(window: Window) -> str:
    """Return the query of the rows the map rejects: row_no, reason, value."""
    return (
        "SELECT row_no, rejected AS reason, value FROM valued"  # noqa: S608
        f" WHERE rejected IS NOT NULL AND {window.condition('moment')}"
    )


def whole_file(window: Window) -> str:
    """Return the query of rows and value inside the window, and of rows outside it."""
    inside = window.condition("moment")
    return (
        f"SELECT count(*) FILTER (WHERE {inside}), coalesce(sum(value) FILTER (WHERE {inside}), 0)::HUGEINT,"  # noqa: S608
        f" count(*) FILTER (WHERE NOT ({inside})) FROM valued"
    )


def months(window: Window) -> str:
    """Return the query of the months orders fall in, whatever zone their times are in."""
    return (
        "SELECT DISTINCT CAST(date_trunc('month', moment + to_days(shift)) AS DATE) FROM valued,"  # noqa: S608
        f" (VALUES (-1), (0), (1)) AS shifts (shift) WHERE rejected IS NULL AND {window.condition('moment')}"
        " AND moment BETWEEN TIMESTAMP '1990-01-02' AND now()::TIMESTAMP + to_days(2) ORDER BY 1"
    )


@dataclass(frozen=True, slots=True)
class FileOrder:
    """The rows of one order in one version, and the JSON they make. Values are ten-thousandths."""

    key: str
    rows: list[int]
    values: list[int]
    raw: str
    doubles: int
    """Rows that say exactly what another row of the order says: two lines, as nobody knows which is a mistake."""
    contradiction: str | None = None
    """What its rows say differently of the order itself."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """An order read from a file."""

    order: Order
    digest: bytes
    file_order: FileOrder


@dataclass(frozen=True, slots=True)
class Refused:
    """Rows that make no order, and why."""

    file_order: FileOrder
    reason: str


def file_orders(reader: pa.RecordBatchReader) -> Iterator[FileOrder]:
    """Group sorted rows (row_no, order_key, version, value, head, line) into orders."""
    open_key: tuple[str, int | None] | None = None
    rows: list[int] = []
    values: list[int] = []
    heads: list[str] = []
    lines: list[str] = []
    for batch in reader:
        for row_no, key, version, value, head, line in zip(
            *(column.to_pylist() for column in batch.columns), strict=True
        ):
            if (key, version) != open_key:
                if open_key is not None:
                    yield _file_order(open_key[0], rows, values, heads, lines)
                open_key, heads, rows, values, lines = (key, version), [head], [], [], []
            elif head != heads[-1]:
                heads.append(head)
            rows.append(row_no)
            values.append(value)
            lines.append(line)
    if open_key is not None:
        yield _file_order(open_key[0], rows, values, heads, lines)


def _file_order(
    key: str, rows: list[int], values: list[int], heads: list[str], lines: list[str]
) -> FileOrder:
    """Return the order. `heads` is what its rows say of the order itself: one, unless they differ."""
    head, contradiction = (heads[0], None) if len(heads) == 1 else one_head(heads)
    body = f'{head[:-1]},"lines":[{",".join(lines)}]}}'
    return FileOrder(key, rows, values, body, len(lines) - len(set(lines)), contradiction)


def one_head(heads: Sequence[str]) -> tuple[str, str | None]:
    """Put together what rows say of their order, and name where they differ. A blank says nothing.

    A customer is its id: one name may be written in two ways.
    """
    whole: dict[str, Any] = {}
    differing: dict[str, tuple[str, str]] = {}
    for head in map(msgspec.json.decode, heads):
        for name, value in head.items():
            known = whole.get(name)
            if known is None:
                whole[name] = value
            elif value is not None and (one := _identity(known)) != (other := _identity(value)):
                differing.setdefault(name, (one, other))
    faults = [f"{name} is “{one}” and “{other}”" for name, (one, other) in differing.items()]
    contradiction = f"its rows contradict each other: {'; '.join(faults)}" if faults else None
    return msgspec.json.encode(whole).decode(), contradiction


def _identity(value: object) -> str:
    return str(value["id"] if isinstance(value, dict) and "id" in value else value)


def with_newer(found: Iterator[FileOrder]) -> Iterator[tuple[FileOrder, bool]]:
    """Say of each order whether the file holds a newer version of it: versions of one order stand together."""
    previous: FileOrder | None = None
    for each in found:
        if previous is not None:
            yield previous, previous.key == each.key
        previous = each
    if previous is not None:
        yield previous, False


def read_order(file_order: FileOrder, context: ReadContext) -> Incoming | Refused:
    """Read an order as if it had been sent."""
    if file_order.contradiction is not None:
        return Refused(file_order, file_order.contradiction)
    try:
        order = normalise(ORDER.validate_json(file_order.raw), context)
    except ValidationError as error:
        return Refused(file_order, _reason(faults_of(error)))
    except InvalidOrder as invalid:
        return Refused(file_order, _reason(invalid.faults))
    return Incoming(order, digest(order), file_order)


def _reason(faults: Sequence[Fault]) -> str:
    """Return every fault in one line, with where it stands."""
    return "; ".join(
        each.detail if each.pointer in (None, "#") else f"{each.detail} ({each.pointer[2:]})"
        for each in faults
    )
