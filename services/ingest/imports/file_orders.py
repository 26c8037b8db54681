"""This file puts the rows of a file together as orders, one at a time, whatever the file's size."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
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
    contradiction: str | None = None
    """What its rows say differently of the order itself."""


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
    heads: list[str] = []
    lines: list[str] = []
    for batch in reader:
        for row_no, key, version, value, head, line in zip(
            *(column.to_pylist() for column in batch.columns), strict=True
        ):
            if (key, version) != held:
                if held is not None:
                    yield _told(held[0], rows, values, heads, lines)
                held, heads, rows, values, lines = (key, version), [head], [], [], []
            elif head != heads[-1]:
                heads.append(head)
            rows.append(row_no)
            values.append(value)
            lines.append(line)
    if held is not None:
        yield _told(held[0], rows, values, heads, lines)


def _told(key: str, rows: list[int], values: list[int], heads: list[str], lines: list[str]) -> FileOrder:
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
    for told in map(msgspec.json.decode, heads):
        for name, value in told.items():
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
    if told.contradiction is not None:
        return Refused(told, told.contradiction)
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
