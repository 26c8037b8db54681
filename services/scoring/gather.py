"""Gather what was known strictly before each order of a batch.

The state of customers is read before the batch's lines are written; earlier orders of the same customer in the batch
are added through the same definition. Where the state already holds something at or after an order (it came late, or
is a new revision), the facts are computed from the lines before that moment instead.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import msgspec
from sqlalchemy import Connection

from services.scoring.apply import ResolvedLine, ResolvedOrder
from services.scoring.facts import FEW_PURCHASES, Assumptions, LineFacts, OrderFacts, PastOrder, day_of, fold
from services.scoring.store import dealings, items, orders
from services.scoring.store.catalogue import Catalogue
from services.scoring.value import readable
from shared.domain.order import LineKind

NEVER_BOUGHT = timedelta(days=730)
"""An item not bought for 24 months counts as never bought."""


@dataclass(frozen=True, slots=True)
class CustomerStates:
    """What is held of a batch's customers: what they bought, and whose state must be computed from lines.

    `needs_rebuild` holds customers with an order that is revised, or that came after one of a later time.
    """

    bought: items.Bought
    needs_rebuild: frozenset[int]


@dataclass(slots=True)
class _Known:
    """What was known of one customer before one moment."""

    history: items.History = field(default_factory=dict)
    bought: frozenset[int] = frozenset()
    past: list[PastOrder] = field(default_factory=list)

    def regulars(self) -> items.History:
        """What was bought time and again."""
        return {product: each for product, each in self.history.items() if len(each) >= FEW_PURCHASES}

    def add(self, earlier: ResolvedOrder) -> None:
        """Add what an earlier order of the batch bought."""
        new = earlier.purchases()
        for product_id, purchase in new.items():
            self.history[product_id] = fold(self.history.get(product_id, ()), purchase)
        self.bought |= new.keys()
        if earlier.base_net is not None and earlier.base_net > 0:
            self.past.append(PastOrder(earlier.order.ordered_at, earlier.base_net))


def customer_states(connection: Connection, resolved: Sequence[ResolvedOrder]) -> CustomerStates:
    """Return the state of these orders' customers. Call before the orders' lines are written."""
    sales = [each for each in resolved if each.is_sale]
    # The batch is in time order: the first order of a customer is the earliest.
    first = {each.customer_id: each.order.ordered_at for each in reversed(sales)}
    bought = items.bought(connection, {each: at - NEVER_BOUGHT for each, at in first.items()})
    revised = {each.held.customer_id for each in resolved if each.held and each.held.customer_id is not None}
    needs_rebuild = {
        each.customer_id
        for each in sales
        if each.held is not None
        or (each.customer_id in bought and bought[each.customer_id][1] >= each.order.ordered_at)
    }
    return CustomerStates(bought, frozenset(revised | needs_rebuild))


def gather(
    connection: Connection,
    resolved: Sequence[ResolvedOrder],
    states: CustomerStates,
    catalogue: Catalogue,
    assumptions: Assumptions,
) -> list[OrderFacts]:
    """Return the facts of every sale of a known customer. Call after the orders are written, before their lines."""
    sales = [each for each in resolved if each.is_sale]
    if not sales:
        return []
    batch_ids = [each.order_id for each in resolved]
    seen = [_seen(connection, each, catalogue) for each in sales]
    for edition in {id(each): each for each in seen}.values():
        its_sales = [each for each, other in zip(sales, seen, strict=True) if other is edition]
        edition.load_candidates(connection, {each.customer_id for each in its_sales})
    moments = [(each.customer_id, each.order.ordered_at) for each in sales]
    past = orders.past_orders(connection, moments, batch_ids)
    added_to = [each for each in sales if each.customer_id not in states.needs_rebuild]
    rebuilt = [each for each in sales if each.customer_id in states.needs_rebuild]
    known = _known_from_state(connection, added_to, states.bought)
    known |= _known_from_lines(connection, rebuilt, batch_ids)
    of_customer: dict[int, list[ResolvedOrder]] = defaultdict(list)
    for each in sales:
        of_customer[each.customer_id].append(each)
    for (customer_id, as_of), before in known.items():
        for each in of_customer[customer_id]:
            if each.order.ordered_at < as_of:
                before.add(each)
    for moment, edition in zip(moments, seen, strict=True):
        edition.load(connection, known[moment].regulars().keys())
    found = [
        _order_facts(each, known[moment], past.get(moment, ()), edition, assumptions)
        for each, moment, edition in zip(sales, moments, seen, strict=True)
    ]
    return _with_dealings(connection, found)


def _seen(connection: Connection, sale: ResolvedOrder, catalogue: Catalogue) -> Catalogue:
    """Return the catalogue as the models before the sale know it, with the sale's products."""
    edition = catalogue.before(sale.order.ordered_at)
    if edition is not catalogue:
        edition.load(connection, {line.product.id for line in sale.lines if line.product})
    return edition


def _known_from_state(
    connection: Connection, sales: Sequence[ResolvedOrder], bought: items.Bought
) -> dict[items.Moment, _Known]:
    """Return the state as it is, of customers whose every order of the batch comes after it."""
    pairs = {(each.customer_id, line.product.id) for each in sales for line in each.lines if line.product}
    histories: dict[int, items.History] = defaultdict(dict)
    last = {each.customer_id: each.order.ordered_at for each in sales}  # in time order: the latest stays
    found = items.due(connection, last) | items.histories(connection, pairs)
    for (customer_id, product_id), history in found.items():
        histories[customer_id][product_id] = history
    known = {}
    for each in sales:
        products = bought[each.customer_id][0] if each.customer_id in bought else frozenset()
        known[each.customer_id, each.order.ordered_at] = _Known(dict(histories[each.customer_id]), products)
    return known


def _known_from_lines(
    connection: Connection, sales: Sequence[ResolvedOrder], batch_ids: Collection[int]
) -> dict[items.Moment, _Known]:
    """Return what the lines before each of these orders give, without those of the batch."""
    if not sales:
        return {}
    moments = {(each.customer_id, each.order.ordered_at) for each in sales}
    bought = items.bought_before(connection, moments, NEVER_BOUGHT, batch_ids)
    asked = {
        (each.customer_id, line.product.id, each.order.ordered_at)
        for each in sales
        for line in each.lines
        if line.product
    }
    asked |= {(customer, product, at) for (customer, at), products in bought.items() for product in products}
    histories = items.histories_before(connection, asked, batch_ids) if asked else {}
    return {moment: _Known(histories.get(moment, {}), bought.get(moment, frozenset())) for moment in moments}


def _order_facts(
    resolved: ResolvedOrder,
    known: _Known,
    past: tuple[PastOrder, ...],
    catalogue: Catalogue,
    assumptions: Assumptions,
) -> OrderFacts:
    order, customer = resolved.order, resolved.customer
    if customer is None:
        raise ValueError("a guest's order has no facts")
    basket = {
        each.product.id for each in resolved.lines if each.product is not None and each.line.quantity > 0
    }
    return OrderFacts(
        order_id=resolved.order_id,
        version=resolved.revision.version,
        as_of=order.ordered_at,
        currency=order.currency,
        channel=order.channel or customer.channel or "",
        status=order.status,
        kind=order.kind,
        customer=customer,
        lines=_line_facts(resolved.lines, known.history, catalogue),
        assumptions=assumptions,
        has_manual_total=any(
            each.line.kind == LineKind.MANUAL and each.line.net > 0 for each in resolved.lines
        ),
        rate=resolved.rate,
        base_net=resolved.base_net,
        bought=known.bought,
        regulars={product: each for product, each in known.regulars().items() if product not in basket},
        past_orders=(*known.past, *past),
        candidates=catalogue.candidates_of(customer.id),
        products=catalogue,
        fit=catalogue.fit,
    )


def _with_dealings(connection: Connection, found: list[OrderFacts]) -> list[OrderFacts]:
    """Return the facts with the prices agreed for their lines, and the holds open on their customers."""

    def price_key(facts: OrderFacts, line: LineFacts) -> dealings.PriceKey:
        return facts.customer.id, line.product.id, facts.currency, day_of(facts.as_of)

    known = dealings.load(
        connection,
        {price_key(facts, line) for facts in found for line in facts.lines},
        {(facts.customer.id, day_of(facts.as_of)) for facts in found},
    )
    if not known.prices and not known.holds:
        return found
    return [
        replace(
            facts,
            customer=replace(
                facts.customer,
                holds=known.holds.get((facts.customer.id, day_of(facts.as_of)), frozenset()),
            ),
            lines=tuple(
                msgspec.structs.replace(line, agreed_price=known.prices.get(price_key(facts, line)))
                for line in facts.lines
            ),
        )
        for facts in found
    ]


def _line_facts(
    lines: Sequence[ResolvedLine], history: items.History, catalogue: Catalogue
) -> tuple[LineFacts, ...]:
    """Return the product lines with a quantity. A product without a name is called what this order calls it."""
    return tuple(
        LineFacts(
            number=each.number,
            line=each.line,
            product=replace(product, name=readable(each.line.title))
            if each.line.title and product.name == product.sku
            else product,
            unit_price=each.line.net / each.line.quantity,
            base_net=each.base_net,
            base_unit_cost=each.base_unit_cost,
            history=history.get(product.id, ()),
        )
        for each in lines
        if each.product is not None and each.line.quantity > 0
        for product in (catalogue[each.product.id],)
    )
