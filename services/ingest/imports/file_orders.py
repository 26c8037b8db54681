"""This file puts the rows of a file together as orders, one at a time, whatever the file's size."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
from pydantic import TypeAdapter, ValidationError

from services.ingest.body import OrderBody
from services.ingest.faults import Contradiction, misshapen
from services.ingest.normalise import Receipt, normalise
from shared.domain.order import Order, digest

_BODY = TypeAdapter(OrderBody)


@dataclass(frozen=True, slots=True)
class FileOrder:
    """The rows that tell of one order in one version, and the JSON they make. Values are ten-thousandths."""

    key: str
    rows: list[int]
    values: list[int]
    raw: str
    doubles: int
    """Rows that say exactly what another row of the order says: two lines, as nobody knows which is a mistake."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """An order read from a file."""

    order: Order
    digest: bytes
    told: FileOrder


@dataclass(frozen=True, slots=True)
class Refused:
    """Rows that make no order, and why."""

    told: FileOrder
    reason: str


def file_orders(reader: pa.RecordBatchReader) -> Iterator[FileOrder]:
    """Group sorted rows (row_no, order_key, version, value, head, line) into orders."""
    held: tuple[str, int | None] | None = None
    rows: list[int] = []
    values: list[int] = []
    lines: list[str] = []
    head = ""
    for batch in reader:
        for row_no, key, version, value, row_head, line in zip(
            *(column.to_pylist() for column in batch.columns), strict=True
        ):
            if (key, version) != held:
                if held is not None:
                    yield FileOrder(held[0], rows, values, _body(head, lines), len(lines) - len(set(lines)))
                held, head, rows, values, lines = (key, version), row_head, [], [], []
            rows.append(row_no)
            values.append(value)
            lines.append(line)
    if held is not None:
        yield FileOrder(held[0], rows, values, _body(head, lines), len(lines) - len(set(lines)))


def _body(head: str, lines: list[str]) -> str:
    return f'{head[:-1]},"lines":[{",".join(lines)}]}}'


def with_newer(told: Iterator[FileOrder]) -> Iterator[tuple[FileOrder, bool]]:
    """Say of each order whether the file holds a newer version of it: versions of one order stand together."""
    previous: FileOrder | None = None
    for each in told:
        if previous is not None:
            yield previous, previous.key == each.key
        previous = each
    if previous is not None:
        yield previous, False


def read_order(told: FileOrder, receipt: Receipt) -> Incoming | Refused:
    """Read an order as if it had been sent."""
    try:
        order = normalise(_BODY.validate_json(told.raw), receipt)
    except ValidationError as error:
        return Refused(told, _reason(misshapen(error)))
    except Contradiction as contradiction:
        return Refused(told, _reason(contradiction))
    return Incoming(order, digest(order), told)


def _reason(contradiction: Contradiction) -> str:
    """Every fault in one line, with where it stands."""
    return "; ".join(
        f"{each['detail']} ({each['pointer'][2:]})" if len(each["pointer"]) > 1 else each["detail"]
        for each in (fault.as_json() for fault in contradiction.faults)
    )
