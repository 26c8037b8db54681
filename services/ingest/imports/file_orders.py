"""This file puts the rows of a file together as orders, one at a time, whatever the file's size."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC

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


@dataclass(frozen=True, slots=True)
class Outdated:
    """Rows of an order of which the file holds a newer version."""

    told: FileOrder


Read = Incoming | Refused | Outdated


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
                    yield FileOrder(held[0], rows, values, _body(head, lines))
                held, head, rows, values, lines = (key, version), row_head, [], [], []
            rows.append(row_no)
            values.append(value)
            lines.append(line)
    if held is not None:
        yield FileOrder(held[0], rows, values, _body(head, lines))


def _body(head: str, lines: list[str]) -> str:
    return f'{head[:-1]},"lines":[{",".join(lines)}]}}'


def read_orders(told: Iterator[FileOrder], receipt: Receipt) -> Iterator[Read]:
    """Read each order as if it had been sent. Of several versions in one file only the last comes in."""
    previous: Incoming | Refused | None = None
    for each in told:
        current = _read(each, receipt)
        if previous is not None:
            yield Outdated(previous.told) if previous.told.key == each.key else previous
        previous = current
    if previous is not None:
        yield previous


def _read(told: FileOrder, receipt: Receipt) -> Incoming | Refused:
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


def months_of(orders: list[Incoming]) -> set[tuple[int, int]]:
    """The months (UTC) these orders were placed in: each has its partition."""
    moments = (each.order.ordered_at.astimezone(UTC) for each in orders)
    return {(moment.year, moment.month) for moment in moments}
