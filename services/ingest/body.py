"""Our own order as JSON: the body of `POST /v1/orders`, the `data` of a webhook.

Unknown fields are ignored, as they stay in the stored body. Amounts are decimals, as text or numbers. What the
fields mean, and which bodies contradict themselves, is `services.ingest.normalise`.
"""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import PydanticCustomError

from services.ingest.source import InvalidOrder, NotJson
from shared.domain.order import CURRENCIES, LARGEST_AMOUNT, CustomerStatus, LineKind, OrderKind, OrderStatus
from shared.faults import Fault, JsonFault, faults_of, load_json

Id = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
MaybeId = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)]
Words = Annotated[str, StringConstraints(max_length=4000)]


def _plain_number(value: object) -> object:
    """Python reads more as a number than senders mean by one: true, 1_000, full-width digits."""
    if isinstance(value, bool) or (isinstance(value, str) and ("_" in value or not value.isascii())):
        raise PydanticCustomError("number", "write a number as 1234.56")
    return value


Number = Annotated[
    Decimal,
    Field(gt=-LARGEST_AMOUNT, lt=LARGEST_AMOUNT, allow_inf_nan=False),
    BeforeValidator(_plain_number),
]
"""The bounds stand next to the type: only there does pydantic check them without calling Python."""


def _written_out(value: object) -> object:
    """A number is no time: seconds or milliseconds, since when, nobody can tell."""
    if not isinstance(value, str) or value.strip().replace(".", "", 1).lstrip("+-").isdecimal():
        raise PydanticCustomError("time", "write a time as 2026-01-31T09:00:00Z")
    return value


Moment = Annotated[datetime, BeforeValidator(_written_out)]


def _known_currency(code: str) -> str:
    if code not in CURRENCIES:
        raise PydanticCustomError("currency", "no currency of ISO 4217")
    return code


Currency = Annotated[str, StringConstraints(pattern="^[A-Z]{3}$"), AfterValidator(_known_currency)]

_LOWER_CASE = BeforeValidator(
    lambda value: value.strip().lower() or None if isinstance(value, str) else value
)


def _null_means(default: object) -> BeforeValidator:
    """Read null as the field's default: it says no more than an absent field."""
    return BeforeValidator(lambda value: default if value is None else value)


Flag = Annotated[bool, _null_means(False)]


class Body(BaseModel):
    """What every part has in common."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True, use_attribute_docstrings=True)


class CustomerBody(Body):
    """Who ordered."""

    id: Id
    parent_id: MaybeId | None = None
    """The account this one belongs to."""
    name: Words | None = None
    status: Annotated[CustomerStatus | None, _LOWER_CASE] = None
    """Case does not matter. A blocked or closed customer is never alerted."""
    internal: Flag = False
    """One of our own: never alerted."""


class GivenBackBody(Body):
    """The line that is given back."""

    order_id: MaybeId | None = None
    line_id: MaybeId | None = None


class LineBody(Body):
    """One row of an order."""

    id: MaybeId | None = None
    """Identity within the order; absent: its position from 1."""
    parent_line_id: MaybeId | None = None
    kind: Annotated[LineKind, _null_means(LineKind.PRODUCT)] = LineKind.PRODUCT
    sku: MaybeId | None = None
    product_id: MaybeId | None = None
    """The upstream's own id of the product: names it where there is no sku."""
    title: Words | None = None
    category: MaybeId | None = None
    quantity: Number
    uom: MaybeId | None = None
    units_per_pack: Number | None = None
    """Base units in one of `quantity`; absent: 1."""
    unit_price: Number | None = None
    """Before discount."""
    discount: Number | None = None
    """Of the whole line."""
    net_unit_price: Number | None = None
    """After the line's discount and without tax, instead of `unit_price` and `discount`."""
    tax: Number | None = None
    """Of the whole line."""
    tax_rate: Number | None = None
    """A fraction: 0.19."""
    cost: Number | None = None
    """Ours, for one of `quantity`."""
    returns: GivenBackBody | None = None
    reason: Words | None = None


class TotalsBody(Body):
    """Sums as the sender sees them; compared with the lines, never used."""

    subtotal: Number | None = None
    discount: Number | None = None
    freight: Number | None = None
    tax: Number | None = None
    total: Number | None = None


class OrderBody(Body):
    """One revision of an order, complete: a newer one replaces the whole of it."""

    id: Id
    version: Annotated[int, Field(ge=0, lt=2**62), BeforeValidator(_plain_number)] | None = None
    """Which revision is newer; absent: `updated_at`, else the envelope's timestamp, else the time of receipt."""
    updated_at: Moment | None = None
    number: MaybeId | None = None
    status: Annotated[OrderStatus, _null_means(OrderStatus.CONFIRMED)] = OrderStatus.CONFIRMED
    kind: Annotated[OrderKind, _null_means(OrderKind.SALE)] = OrderKind.SALE
    test: Flag = False
    channel: MaybeId | None = None
    rep_id: MaybeId | None = None
    original_order_id: MaybeId | None = None
    ordered_at: Moment
    """Business time; without an offset it is read in the connection's zone."""
    currency: Currency | None = None
    """ISO 4217; absent: the company's base currency."""
    prices_include_tax: Flag = False
    discount: Number | None = None
    """Of the whole order, shared out over its lines."""
    freight: Number | None = None
    """Becomes a line of its own."""
    customer: CustomerBody | None = None
    """Null is a guest."""
    lines: Annotated[list[LineBody], Field(max_length=10_000)]
    totals: TotalsBody | None = None


ORDER = TypeAdapter(OrderBody)

Parsed = TypeVar("Parsed")


def parse(model: TypeAdapter[Parsed], raw: bytes) -> Parsed:
    """Read bytes as JSON of this form. Raises NotJson, or InvalidOrder with every field that does not fit."""
    try:
        return model.validate_python(load_json(raw))
    except JsonFault as fault:
        raise NotJson([Fault(f"not usable as JSON: {fault}")]) from None
    except ValidationError as error:
        raise InvalidOrder(faults_of(error)) from None
