"""One order of the sample company, and how a basket becomes one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import ROUND_HALF_UP, Decimal
from random import Random
from zoneinfo import ZoneInfo

from deploy.sample.catalogue import CENT, Product
from deploy.sample.parts import Part
from deploy.sample.people import Customer
from deploy.sample.pricing import COUNTER_MARK_UP, LIST_RATES, account_price, listed_price

FREIGHT = Decimal("8.95")
FREE_DELIVERY_FROM = Decimal(150)
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class SampleLine:
    """One row of an order. Quantity and unit price are per what was ordered: `pack` base units each."""

    id: str
    kind: str
    title: str
    quantity: int
    unit_price: Decimal
    product: Product | None = None
    uom: str = "each"
    pack: int = 1
    discount: Decimal = ZERO
    returns: tuple[str, str] | None = None
    reason: str = ""

    @property
    def net(self) -> Decimal:
        """The line after its discount, in the order's currency."""
        return self.unit_price * self.quantity - self.discount


@dataclass(frozen=True, slots=True)
class SampleOrder:
    """One version of an order, as the sample company's own system would report it."""

    id: str
    ordered_at: datetime
    currency: str
    channel: str
    lines: tuple[SampleLine, ...]
    customer: Customer | None = None
    rep_id: str = ""
    version: int = 1
    status: str = "confirmed"
    kind: str = "sale"
    discount: Decimal = ZERO
    original_order_id: str = ""
    is_test: bool = False

    @property
    def net(self) -> Decimal:
        """Net of line and order discounts, freight included, in the order's currency."""
        return sum((line.net for line in self.lines), ZERO) - self.discount


@dataclass(frozen=True, slots=True)
class Wish:
    """A product in a basket, at this share of what the customer usually pays."""

    product: Product
    quantity: int
    price_share: Decimal = Decimal(1)


def place(
    order_id: str, customer: Customer, part: Part, at: datetime, wishes: Sequence[Wish], rng: Random
) -> SampleOrder:
    """Price a basket for an account and put it into an order, with freight when it is small."""
    currency = customer.region.currency
    lines = [
        _account_line(str(number), customer, part, at.date(), wish, rng)
        for number, wish in enumerate(wishes, start=1)
    ]
    goods = sum((line.net for line in lines), ZERO)
    rate = LIST_RATES[currency]
    if goods < FREE_DELIVERY_FROM * rate and rng.random() < 0.7:
        lines.append(_freight(str(len(lines) + 1), rate))
    discount = (
        (goods * Decimal("0.02")).quantize(CENT) if rng.random() < 0.015 and not part.situation else ZERO
    )
    return SampleOrder(order_id, at, currency, customer.channel, tuple(lines), customer, discount=discount)


def place_as_guest(order_id: str, at: datetime, wishes: Sequence[Wish]) -> SampleOrder:
    """A sale over the counter, to nobody known."""
    lines = []
    for number, wish in enumerate(wishes, start=1):
        price = listed_price(wish.product, 1, "EUR", at.date()) * COUNTER_MARK_UP
        lines.append(
            SampleLine(
                str(number), "product", wish.product.name, wish.quantity, price.quantize(CENT), wish.product
            )
        )
    return SampleOrder(order_id, at, "EUR", "counter", tuple(lines))


def moment(customer: Customer, day: date, rng: Random) -> datetime:
    """A time in the customer's working day, busiest in the morning."""
    minutes = int(7 * 60 + rng.triangular(0, 10.4 * 60, 3 * 60))
    clock = time(minutes // 60, minutes % 60, rng.randrange(60))
    return datetime.combine(day, clock, ZoneInfo(customer.region.time_zone))


def _account_line(
    line_id: str, customer: Customer, part: Part, day: date, wish: Wish, rng: Random
) -> SampleLine:
    product, quantity = wish.product, wish.quantity
    currency = customer.region.currency
    listed = listed_price(product, quantity, currency, day)
    pays = account_price(product, quantity, day, currency, customer.tier, part) * wish.price_share
    if not part.situation and rng.random() < 0.03:
        pays *= Decimal(rng.choice(("0.97", "0.98", "0.96")))
    pays = pays.quantize(CENT, ROUND_HALF_UP)
    pack = product.carton if product.carton > 1 and quantity % product.carton == 0 else 1
    return SampleLine(
        id=line_id,
        kind="product",
        title=product.name,
        quantity=quantity // pack,
        unit_price=listed * pack,
        product=product,
        uom="carton" if pack > 1 else "each",
        pack=pack,
        discount=(listed - pays) * quantity,
    )


def _freight(line_id: str, rate: Decimal) -> SampleLine:
    return SampleLine(line_id, "freight", "Delivery", 1, (FREIGHT * rate).quantize(CENT, ROUND_HALF_UP))
