"""Orders as Tipoff understands them, whatever their entry point, and the money in them.

An order is complete: a newer version replaces the whole of it. Money is net of line and order discount and of
tax, in the order's own currency. Quantities are in base units (quantity x units per pack). Returned goods have a
negative quantity and a negative net.

Orders are frozen structs rather than frozen dataclasses: they are made a million times an import, seven times as
fast, and what is stored and compared of them leaves out every field that says nothing. A field added later, with a
default, leaves the digests of all orders before it as they are.
"""

from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
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


PRODUCT, MANUAL = LineKind.PRODUCT, LineKind.MANUAL
"""For what is done for every line: to look a member up takes longer than to compare with it."""


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


AMOUNT_UNIT = Decimal("0.0001")
"""Four decimals, as the columns have them: distributors price screws by the hundred."""

LARGEST_AMOUNT = Decimal(10) ** 12
"""The columns hold a hundred times as much: room for what is derived from an amount."""

CURRENCIES = frozenset(
    # ISO 4217, active
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF"
    " CLF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL"
    " HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL"
    " MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON"
    " RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH"
    " UGX USD UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG"
    # withdrawn since 1990: history may be in them
    " ADP AFA AOK AON AOR ARA ATS AZM BEF BGL BYB BYR CSD CSK CUC CYP DDM DEM ECS EEK ESP FIM FRF GHC GRD GWP HRD HRK"
    " IEP ITL LTL LUF LVL MGF MRO MTL MXP MZM NLG PEI PLZ PTE ROL RUR SDD SIT SKK SLL SRG STD TJR TMM TPE TRL UAK UYP"
    " VEB VEF XEU YDD YUM YUN ZAL ZMK ZRN ZWD ZWL ZWR".split()
)


def rounded(amount: Decimal) -> Decimal:
    """Return the amount as it is stored: four decimals, halves to the even digit."""
    return amount.quantize(AMOUNT_UNIT, ROUND_HALF_EVEN)


def in_base(amount: Decimal, rate: Decimal | None) -> Decimal | None:
    """Return an amount in base currency as it is stored; None where no rate is known.

    A rate that makes it larger than any amount may be is none: better not to know than to fail at every try.
    """
    if rate is None or abs(made := amount * rate) >= LARGEST_AMOUNT:
        return None
    return rounded(made)
