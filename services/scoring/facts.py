"""What a detector sees: one order, its lines joined with everything known strictly before it.

Prices and amounts are Decimal, in the order's own currency unless the name says base. Times are UTC, days those of
the company's zone. What cannot be known is None. "Usual" is defined here once, for live scoring and for tests alike.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from functools import cached_property
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from shared.domain.order import Line, OrderKind, OrderStatus

MEMORY = 8
"""How many of the last purchases of an item are kept; `customer_item.recent_*` holds as many."""

FEW_PURCHASES = 4
DUE = Decimal("0.9")
REGULAR_WINDOW = timedelta(days=180)
"""A product bought so often, and within so long, is a regular; it is due after this share of its usual gap."""

DUE_SOON = timedelta(days=2)
"""Kinds count days, which may be two more than the hours make."""

SAME_BAND = Decimal("1.5")
"""Quantities within this factor of each other are compared as one quantity."""

STALE_AFTER = timedelta(days=3)


class Purchase(NamedTuple):
    """What one order bought of one product: lines summed, less what was given back of them. `unit_price` is net.

    A tuple: they are made by the thousand, eight for each line of each order.
    """

    at: datetime
    quantity: Decimal
    unit_price: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class PriceBreak:
    """From `min_quantity` on, a unit costs `unit_price`: by the price list, or inferred from what accounts pay.

    What is inferred holds in the channel where it was seen; a price list holds in all (`channel` is None).
    """

    min_quantity: Decimal
    unit_price: Decimal
    currency: str
    valid_from: date = date.min
    channel: str | None = None

    @property
    def is_inferred(self) -> bool:
        """Was it seen in what accounts pay, and not in a price list?"""
        return self.channel is not None


@dataclass(frozen=True, slots=True)
class Cost:
    """What a base unit cost us from a day on."""

    valid_from: date
    cost: Decimal
    currency: str


class Neighbour(NamedTuple):
    """How a product is linked with another: `both` of `buyers` customers of the one bought the other too.

    A tuple: hundreds are looked at for each order.
    """

    score: float
    buyers: int
    both: int


@dataclass(frozen=True, slots=True)
class PriceBand:
    """What accounts paid for a quantity, in one channel and currency, over the last 90 days.

    `unit_price` is the median of one price a customer, `low_price` what a tenth of them paid or less, and
    `latest_price` what most of the last five customers paid.
    """

    channel: str
    currency: str
    min_quantity: Decimal
    max_quantity: Decimal | None
    buyers: int
    unit_price: Decimal
    low_price: Decimal
    latest_price: Decimal

    def holds(self, quantity: Decimal) -> bool:
        """Is this quantity within the band? The upper end belongs to the next band."""
        return self.min_quantity <= quantity and (self.max_quantity is None or quantity < self.max_quantity)


@dataclass(frozen=True, slots=True)
class ItemFit:
    """What the fit computed for one product from all accounts. Prices are in base currency."""

    buyers: int
    first_quantity: Decimal | None = None
    line_quantity: Decimal | None = None
    unit_price: Decimal | None = None
    margin_rate: Decimal | None = None
    category_margin_rate: Decimal | None = None
    repeats: Decimal | None = None


@dataclass(frozen=True, slots=True)
class ProductFacts:
    """A product as the master, the costs and the current fit know it; `neighbours` by product, the best first."""

    id: int
    name: str
    sku: str = ""
    category: str | None = None
    is_active: bool = True
    stock: Decimal | None = None
    floor_margin: Decimal | None = None
    list_price: Decimal | None = None
    list_currency: str | None = None
    substitutes: frozenset[int] = frozenset()
    breaks: tuple[PriceBreak, ...] = ()
    costs: tuple[Cost, ...] = ()
    neighbours: Mapping[int, Neighbour] = field(default_factory=dict)
    bands: tuple[PriceBand, ...] = ()
    fitted: ItemFit | None = None

    @property
    def can_be_offered(self) -> bool:
        """Is it active, and not known to be out of stock?"""
        return self.is_active and (self.stock is None or self.stock > 0)


@dataclass(frozen=True, slots=True)
class CustomerFacts:
    """The account an order counts for, after the merge map. `holds`: the kinds of hold open on the order's day."""

    id: int
    name: str | None = None
    status: str = "active"
    is_internal: bool = False
    segment: str | None = None
    channel: str | None = None
    holds: frozenset[str] = frozenset()


class LineFacts(msgspec.Struct, frozen=True):
    """One product line of the order. `history` is the customer's last purchases of it, newest first.

    `agreed_price`: what was agreed with the customer for a base unit on the order's day, in the order's currency.
    """

    number: int
    line: Line
    product: ProductFacts
    unit_price: Decimal
    base_net: Decimal | None = None
    base_unit_cost: Decimal | None = None
    history: tuple[Purchase, ...] = ()
    agreed_price: Decimal | None = None


class PastOrder(NamedTuple):
    """An earlier order of the customer: when, and how much in base currency. A tuple, as a purchase is."""

    at: datetime
    base_net: Decimal


@dataclass(frozen=True, slots=True)
class ModelRun:
    """The current run of one model: its facts end at `as_of`. `grade` is what its quality gate measured."""

    id: int
    as_of: datetime
    grade: Mapping[str, Any] = field(default_factory=dict)

    def why_unproven(self, moment: datetime) -> str | None:
        """Return why signals made with it may not be sent at this moment, or None when they may."""
        if moment - self.as_of > STALE_AFTER:
            return "the fit is more than 3 days old"
        if self.grade.get("passes", True) is True:  # a model without a baseline to beat proves nothing
            return None
        return str(self.grade.get("reason", "it does not beat its baselines"))


@dataclass(frozen=True, slots=True)
class FitFacts:
    """The current run of every model, by model."""

    runs: Mapping[str, ModelRun]


@dataclass(frozen=True, slots=True)
class Assumptions:
    """Settings used where a cost or a floor is not known, or what acting brings and costs, in base currency.

    `effects` holds what differs from `services.scoring.effects.EFFECTS`.
    """

    base_currency: str = "EUR"
    margin: Decimal = Decimal("0.30")
    floor_margin: Decimal = Decimal(0)
    effects: Mapping[str, float] = field(default_factory=dict)
    call_cost: Decimal = Decimal(10)
    correction_cost: Decimal = Decimal(3)
    mention_cost: Decimal = Decimal(0)


@dataclass(frozen=True)
class OrderFacts:
    """One order and everything its detectors may know: nothing here is dated at or after `as_of`.

    `lines` are its product lines with a quantity; `bought` the products of the last 24 months, without this
    order's; `regulars` the last purchases, newest first, of products not in this order that were bought time and
    again; `past_orders` come newest first; `candidates` the fit's never-bought products with their scores; `products`
    whatever `candidates` and neighbours name; `rate` turns the order's currency into base currency; `zone` is the
    company's.
    """

    order_id: int
    version: int
    as_of: datetime
    currency: str
    channel: str
    status: OrderStatus
    kind: OrderKind
    customer: CustomerFacts
    lines: tuple[LineFacts, ...]
    assumptions: Assumptions
    has_manual_total: bool = False
    rate: Decimal | None = None
    base_net: Decimal | None = None
    bought: Collection[int] = frozenset()
    regulars: Mapping[int, tuple[Purchase, ...]] = field(default_factory=dict)
    past_orders: tuple[PastOrder, ...] = ()
    candidates: tuple[tuple[int, float], ...] = ()
    products: Mapping[int, ProductFacts] | None = None
    fit: FitFacts | None = None
    zone: tzinfo = UTC

    @cached_property
    def today(self) -> date:
        """The day of the order."""
        return day_of(self.as_of, self.zone)

    @cached_property
    def order_days(self) -> dict[date, Decimal]:
        """What the customer ordered before in base currency, by day, the newest first."""
        return order_days(self.past_orders, self.zone)

    @cached_property
    def basket(self) -> frozenset[int]:
        """The products of this order."""
        return frozenset(each.product.id for each in self.lines)


def day_of(moment: datetime, zone: tzinfo) -> date:
    """The calendar day in the company's zone: customers' own are not known."""
    return moment.date() if moment.tzinfo is zone else moment.astimezone(zone).date()


def fold(held: tuple[Purchase, ...], purchase: Purchase) -> tuple[Purchase, ...]:
    """Add a purchase to the last eight, newest first; of two at one moment, the one held comes first."""
    newest_first = sorted((*held, purchase), key=lambda each: each.at, reverse=True)
    return tuple(newest_first[:MEMORY])


def is_regular(history: Sequence[Purchase], as_of: datetime) -> bool:
    """Are these purchases, newest first, of a product taken time and again, and about due? Kinds look closer."""
    if len(history) < FEW_PURCHASES or history[0].at < as_of - REGULAR_WINDOW:
        return False
    gap = (history[0].at - history[-1].at) / (len(history) - 1)
    return as_of + DUE_SOON >= history[0].at + float(DUE) * gap


def by_day(purchases: Collection[Purchase], zone: tzinfo) -> dict[date, Decimal]:
    """Sum what was bought on each day: an order split in two is not two smaller ones."""
    days: dict[date, Decimal] = {}
    for each in purchases:
        day = day_of(each.at, zone)
        days[day] = days[day] + each.quantity if day in days else each.quantity
    return days


def is_same_band(one: Decimal, other: Decimal) -> bool:
    """Are two quantities near enough that their prices may be compared?"""
    return one == other or (one * SAME_BAND >= other and other * SAME_BAND >= one)


def order_days(orders: Collection[PastOrder], zone: tzinfo) -> dict[date, Decimal]:
    """Base value of each order day: split shipments are one."""
    days: dict[date, Decimal] = {}
    for at, base_net in orders:
        day = day_of(at, zone)
        days[day] = days[day] + base_net if day in days else base_net
    return days


def band_of(product: ProductFacts, quantity: Decimal, channel: str, currency: str) -> PriceBand | None:
    """What peers in the same channel and currency paid for this quantity; None when too few bought."""
    for band in product.bands:
        if band.channel == channel and band.currency == currency and band.holds(quantity):
            return band
    return None


_FIRST_DAY = attrgetter("valid_from")
_QUANTITY = attrgetter("min_quantity")


def breaks_on(product: ProductFacts, currency: str, channel: str, day: date) -> tuple[PriceBreak, ...]:
    """The price list of that day: for each quantity the newest price that is valid, smallest quantity first."""
    valid = [
        each
        for each in product.breaks
        if each.currency == currency and each.channel in (None, channel) and each.valid_from <= day
    ]
    newest = {each.min_quantity: each for each in sorted(valid, key=_FIRST_DAY)}
    return tuple(sorted(newest.values(), key=_QUANTITY))


def cost_on(product: ProductFacts, day: date) -> Cost | None:
    """The cost valid on that day; None when the first cost came later."""
    for each in reversed(product.costs):
        if each.valid_from <= day:
            return each
    return None
