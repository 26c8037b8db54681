"""What a placed order is: a revision joined with our customer, products and money in base currency."""

from dataclasses import dataclass
from decimal import Decimal

import msgspec

from services.scoring.facts import CustomerFacts, ProductFacts, Purchase
from services.scoring.store import orders
from services.scoring.store.events import Reading
from shared.domain.order import Line, Order, OrderKind, OrderStatus

CONFIRMED = (OrderStatus.CONFIRMED, OrderStatus.CLOSED)
HUNDREDTH_CENT = Decimal("0.0001")


class PlacedLine(msgspec.Struct, frozen=True):
    """A line with its product and its money in base currency, as far as known."""

    number: int
    line: Line
    product: ProductFacts | None
    base_net: Decimal | None
    base_unit_cost: Decimal | None


@dataclass(frozen=True, slots=True)
class PlacedOrder:
    """An order with our ids. `order_id` is 0 until it is written; `was_held` when an older reading is replaced."""

    reading: Reading
    customer: CustomerFacts | None
    rate: Decimal | None
    lines: tuple[PlacedLine, ...]
    was_held: orders.HeldOrder | None
    order_id: int = 0

    @property
    def order(self) -> Order:
        """What the reading says."""
        return self.reading.order

    @property
    def is_counted(self) -> bool:
        """Is it trade: confirmed or closed, and no test? A cancelled order is as if never placed."""
        return self.order.status in CONFIRMED and not self.order.is_test

    @property
    def base_net(self) -> Decimal | None:
        """The whole order in base currency; None while no rate is known."""
        return None if self.rate is None else rounded(self.order.net * self.rate)

    @property
    def is_sale(self) -> bool:
        """May its lines count as purchases of a known customer?"""
        return self.is_counted and self.order.kind == OrderKind.SALE and self.customer is not None


def purchases(placed: PlacedOrder) -> dict[int, Purchase]:
    """What this order bought of each product: lines with quantity and price summed, as in `store.items`."""
    bought: dict[int, Purchase] = {}
    order = placed.order
    for each in placed.lines if placed.is_sale else ():
        if each.product is None or each.line.quantity <= 0 or each.line.net <= 0:
            continue
        quantity, paid, held = each.line.quantity, each.line.net, bought.get(each.product.id)
        if held is not None:
            quantity, paid = quantity + held.quantity, paid + held.quantity * held.unit_price
        bought[each.product.id] = Purchase(order.ordered_at, quantity, paid / quantity, order.currency)
    return bought


def rounded(amount: Decimal) -> Decimal:
    """An amount as it is stored."""
    return amount.quantize(HUNDREDTH_CENT)
