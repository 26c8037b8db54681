"""Gather what was known strictly before each order of a batch.

State is loaded before the batch's lines are written; earlier orders of the same customer in the batch are folded
in through the same definition. Where the state already holds something at or after the order (it came late, or is
read again), the facts are computed from the lines before that moment instead.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from services.scoring.facts import (
    Assumptions,
    LineFacts,
    OrderFacts,
    PastOrder,
    ProductFacts,
    fold,
)
from services.scoring.placed import PlacedOrder, purchases
from services.scoring.store import items, orders
from services.scoring.store.catalogue import Catalogue
from services.scoring.value import readable
from shared.domain.order import LineKind

NEVER_BOUGHT = timedelta(days=730)
"""An item not bought for 24 months counts as never bought."""


@dataclass(slots=True)
class _Known:
    """What is known of one customer as the batch is walked through in time."""

    history: items.History = field(default_factory=dict)
    bought: frozenset[int] = frozenset()
    past: list[PastOrder] = field(default_factory=list)

    def learn(self, earlier: Sequence[PlacedOrder]) -> None:
        """Add what earlier orders of the batch bought."""
        for order in earlier:
            new = purchases(order)
            for product_id, purchase in new.items():
                self.history[product_id] = fold(self.history.get(product_id, ()), purchase)
            self.bought |= new.keys()
            if order.base_net is not None and order.base_net > 0:
                self.past.append(PastOrder(order.order.ordered_at, order.base_net))


@dataclass(frozen=True, slots=True)
class Standing:
    """What the state says of a batch's customers: what they bought, and of whom it cannot be what was known.

    `in_doubt` holds customers with an order that is read again, or that came after one of a later time.
    """

    bought: items.Bought
    in_doubt: frozenset[int]


def standing(connection: Connection, placed: Sequence[PlacedOrder]) -> Standing:
    """Look at the state of these orders' customers. Call before the orders' lines are written."""
    sales = [each for each in placed if each.is_sale]
    since: dict[int, datetime] = {}
    for each in sales:
        moment = each.order.ordered_at - NEVER_BOUGHT
        since[_customer(each)] = min(moment, since.get(_customer(each), moment))
    bought = items.bought(connection, since) if since else {}
    held = {each.was_held.customer_id for each in placed if each.was_held is not None}
    doubted = {_customer(each) for each in sales if each.was_held is not None or _is_late(each, bought)}
    return Standing(bought, frozenset(doubted.union(each for each in held if each is not None)))


def gather(
    connection: Connection,
    placed: Sequence[PlacedOrder],
    stands: Standing,
    catalogue: Catalogue,
    assumptions: Assumptions,
) -> list[OrderFacts]:
    """Return the facts of every sale of a known customer. Call after the orders are written, before their lines."""
    sales = [each for each in placed if each.is_sale]
    if not sales:
        return []
    batch_ids = [each.order_id for each in placed]
    catalogue.candidates(connection, {_customer(each) for each in sales})
    moments = [(_customer(each), each.order.ordered_at) for each in sales]
    past = orders.past_orders(connection, moments, batch_ids)
    known = _known(connection, stands, sales, batch_ids)
    earlier: dict[int, list[PlacedOrder]] = defaultdict(list)
    for each in sales:
        earlier[_customer(each)].append(each)
    for (customer_id, as_of), state in known.items():
        state.learn([one for one in earlier[customer_id] if one.order.ordered_at < as_of])
    return [
        _facts(each, known[moment], past.get(moment, ()), catalogue, assumptions)
        for each, moment in zip(sales, moments, strict=True)
    ]


def _customer(placed: PlacedOrder) -> int:
    if placed.customer is None:
        raise ValueError("a guest's order has no facts")
    return placed.customer.id


def _known(
    connection: Connection, stands: Standing, sales: Sequence[PlacedOrder], batch_ids: list[int]
) -> dict[items.Moment, _Known]:
    """Return what was known at each (customer, moment), without the batch's own orders."""
    live = [each for each in sales if _customer(each) not in stands.in_doubt]
    doubted = [each for each in sales if _customer(each) in stands.in_doubt]
    return _known_now(connection, live, stands.bought) | _known_then(connection, doubted, batch_ids)


def _known_then(
    connection: Connection, doubted: Sequence[PlacedOrder], batch_ids: list[int]
) -> dict[items.Moment, _Known]:
    """Return what was known before each of these orders, computed from the lines before it."""
    if not doubted:
        return {}
    moments = {(_customer(each), each.order.ordered_at) for each in doubted}
    asked = {
        (_customer(each), line.product.id, each.order.ordered_at)
        for each in doubted
        for line in each.lines
        if line.product
    }
    histories = items.histories_before(connection, asked, batch_ids) if asked else {}
    bought = items.bought_before(connection, moments, NEVER_BOUGHT, batch_ids)
    return {moment: _Known(histories.get(moment, {}), bought.get(moment, frozenset())) for moment in moments}


def _is_late(placed: PlacedOrder, bought: items.Bought) -> bool:
    """Does the state hold a purchase at or after this order?"""
    customer_id = _customer(placed)
    return customer_id in bought and bought[customer_id][1] >= placed.order.ordered_at


def _known_now(
    connection: Connection, live: Sequence[PlacedOrder], bought: items.Bought
) -> dict[items.Moment, _Known]:
    """Return the state as it stands, of customers whose every order of the batch comes after it."""
    pairs = {(_customer(each), line.product.id) for each in live for line in each.lines if line.product}
    histories: dict[int, items.History] = defaultdict(dict)
    for (customer_id, product_id), history in items.histories(connection, pairs).items():
        histories[customer_id][product_id] = history
    known = {}
    for each in live:
        customer_id = _customer(each)
        products = bought[customer_id][0] if customer_id in bought else frozenset()
        known[customer_id, each.order.ordered_at] = _Known(dict(histories[customer_id]), products)
    return known


def _facts(
    placed: PlacedOrder,
    known: _Known,
    past: tuple[PastOrder, ...],
    catalogue: Catalogue,
    assumptions: Assumptions,
) -> OrderFacts:
    order, customer = placed.order, placed.customer
    if customer is None:
        raise ValueError("a guest's order has no facts")
    return OrderFacts(
        order_id=placed.order_id,
        version=placed.reading.version,
        as_of=order.ordered_at,
        currency=order.currency,
        channel=order.channel or customer.channel or "",
        status=order.status,
        kind=order.kind,
        customer=customer,
        lines=_lines(placed, known),
        assumptions=assumptions,
        has_manual_total=any(
            each.line.kind == LineKind.MANUAL and each.line.net > 0 for each in placed.lines
        ),
        rate=placed.rate,
        base_net=placed.base_net,
        bought=known.bought,
        past_orders=(*known.past, *past),
        candidates=catalogue.candidates_of(customer.id),
        products=catalogue,
        fit=catalogue.fit,
    )


def _lines(placed: PlacedOrder, known: _Known) -> tuple[LineFacts, ...]:
    return tuple(
        LineFacts(
            number=each.number,
            line=each.line,
            product=_named(each.product, each.line.title),
            unit_price=each.line.net / each.line.quantity,
            base_net=each.base_net,
            base_unit_cost=each.base_unit_cost,
            history=known.history.get(each.product.id, ()),
        )
        for each in placed.lines
        if each.product is not None and each.line.quantity > 0
    )


def _named(product: ProductFacts, title: str | None) -> ProductFacts:
    """A product that neither master nor fit has a name for is called what this order calls it."""
    return replace(product, name=readable(title)) if title and product.name == product.sku else product
