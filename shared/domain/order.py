"""Orders as Tipoff understands them, whatever their entry point.

An order is complete: a newer version replaces the whole of it. Money is net of line and order discount and of
tax, in the order's own currency. Quantities are in base units (quantity x units per pack). Returned goods have a
negative quantity and a negative net.

Orders are frozen structs rather than frozen dataclasses: they are made a million times an import, seven times as
fast, and what is stored and compared of them leaves out every field that says nothing. A field added later, with a
default, leaves the digests of all orders before it as they are.
"""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256

import msgspec
from msgspec.structs import replace


class OrderStatus(StrEnum):
    """How far an order has come upstream."""

    DRAFT = "draft"
    CONFIRMED = "confirmed"
    CANCELLED = "cancelled"
    CLOSED = "closed"


class OrderKind(StrEnum):
    """What an order is for. Only a sale may speak."""

    SALE = "sale"
    RETURN = "return"
    CREDIT = "credit"
    REPLACEMENT = "replacement"
    SAMPLE = "sample"
    ADJUSTMENT = "adjustment"


class LineKind(StrEnum):
    """What a line charges for. Kinds look at products alone."""

    PRODUCT = "product"
    FREIGHT = "freight"
    FEE = "fee"
    MANUAL = "manual"


class CustomerStatus(StrEnum):
    """How a customer stands with the company."""

    ACTIVE = "active"
    BLOCKED = "blocked"
    CLOSED = "closed"


class CustomerRef(msgspec.Struct, frozen=True, omit_defaults=True):
    """The customer as the upstream system names it. An order without one is a guest's."""

    id: str
    parent_id: str | None = None
    name: str | None = None
    status: str | None = None
    internal: bool = False


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One row of an order. `unit_cost` is None when nobody told us; `net` is for the whole line."""

    id: str
    kind: LineKind
    quantity: Decimal
    net: Decimal
    sku: str | None = None
    title: str | None = None
    category: str | None = None
    unit_cost: Decimal | None = None
    parent_id: str | None = None
    returns_order_id: str | None = None
    returns_line_id: str | None = None
    return_reason: str | None = None


class Order(msgspec.Struct, frozen=True, omit_defaults=True):
    """One revision of an order. Identity is (source, id); `version` says which revision is newer."""

    source: str
    id: str
    version: int
    ordered_at: datetime
    currency: str
    lines: tuple[Line, ...]
    status: OrderStatus = OrderStatus.CONFIRMED
    kind: OrderKind = OrderKind.SALE
    is_test: bool = False
    number: str | None = None
    channel: str | None = None
    rep_id: str | None = None
    original_order_id: str | None = None
    customer: CustomerRef | None = None
    is_unversioned: bool = False
    """Its version is the time of receipt: nothing in it says when it was true."""
    flags: tuple[str, ...] = ()
    """What a person should know of it, though it is taken: totals that its lines do not make."""

    @property
    def net(self) -> Decimal:
        """Sum of the lines, in the order's currency, ex tax."""
        return sum((line.net for line in self.lines), Decimal(0))


def encode(order: Order) -> bytes:
    """The canonical JSON of an order: what is stored beside the exact body, and what is compared."""
    return msgspec.json.encode(order)


_DECODER = msgspec.json.Decoder(Order)


def decode(raw: bytes | str) -> Order:
    """Read back what `encode` wrote."""
    return _DECODER.decode(raw)


DIGEST_OF = b"\x02"
"""The version of what a digest covers. Raise it when a reader is mended: its orders differ from those before."""


def digest(order: Order) -> bytes:
    """Return SHA-256 of the facts, after the version of what it covers.

    Versions, flags and display names (the customer's, the lines' titles) are left out: to rename is no other fact.
    """
    customer = order.customer and replace(order.customer, name=None)
    lines = tuple(replace(line, title=None) for line in order.lines)
    facts = replace(order, version=0, is_unversioned=False, flags=(), customer=customer, lines=lines)
    return DIGEST_OF + sha256(encode(facts)).digest()
