"""Gather what was known strictly before each order of a batch.

The state of customers is read before the batch's lines are written; earlier orders of the same customer in the batch
are added through the same definition. Where something at or after an order is held already (it came late, or is a new
revision), or something is given back, the facts are computed from the lines before that moment instead.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta, tzinfo

import msgspec
from sqlalchemy import Connection

from services.scoring.apply import ResolvedLine, ResolvedOrder
from services.scoring.facts import Assumptions, LineFacts, OrderFacts, PastOrder, fold, is_regular
from services.scoring.store import dealings, items, orders
from services.scoring.store.catalogue import Catalogue
from services.scoring.value import readable
from shared.domain.order import MANUAL

NEVER_BOUGHT = timedelta(days=730)
"""An item not bought for 24 months counts as never bought."""


@dataclass(slots=True)
class _Known:
    """What was known of one customer before one moment."""

    history: items.History = field(default_factory=dict)
    bought: frozenset[int] = frozenset()

    def add(self, earlier: ResolvedOrder) -> None:
        """Add what an earlier order of the batch bought."""
        new = earlier.purchases()
        for product_id, purchase in new.items():
            self.history[product_id] = fold(self.history.get(product_id, ()), purchase)
        self.bought |= new.keys()


@dataclass(frozen=True, slots=True)
class CustomerStates:
    """What is held of a batch's customers before each of their orders, and whose state must be computed from lines.

    `needs_rebuild` holds customers with an order that is revised, that gives back what another sold, or that came
    after one of a later time. `as_received`: nothing is known before it was received, as on a day long past.
    """

    known: Mapping[items.Moment, _Known]
    needs_rebuild: frozenset[int]
    as_received: bool = False


def customer_states(connection: Connection, resolved: Sequence[ResolvedOrder]) -> CustomerStates:
    """Return the state of these orders' customers. Call before the orders' lines are written."""
    sales = [each for each in resolved if each.is_sale]
    # The batch is in time order: the first order of a customer is the earliest.
    first = {each.customer_id: each.order.ordered_at for each in reversed(sales)}
    needs_rebuild = orders.not_latest(connection, first, [each.order_id for each in resolved])
    for each in resolved:
        if each.held is not None and each.held.customer_id is not None:
            needs_rebuild.add(each.held.customer_id)
        if each.customer is not None and (each.held is not None or each.gives_back):
            needs_rebuild.add(each.customer.id)
    added_to = [each for each in sales if each.customer_id not in needs_rebuild]
    return CustomerStates(_known_from_state(connection, added_to), frozenset(needs_rebuild))


def gather(
    connection: Connection,
    resolved: Sequence[ResolvedOrder],
    states: CustomerStates,
    catalogue: Catalogue,
    assumptions: Assumptions,
    zone: tzinfo,
) -> list[OrderFacts]:
    """Return the facts of every sale of a known customer. Call after the orders and their lines are written."""
    sales = [each for each in resolved if each.is_sale]
    if not sales:
        return []
    seen = [_seen(connection, each, catalogue) for each in sales]
    for edition in {id(each): each for each in seen}.values():
        its_sales = [each for each, other in zip(sales, seen, strict=True) if other is edition]
        edition.load_candidates(connection, {each.customer_id for each in its_sales})
    moments = [(each.customer_id, each.order.ordered_at) for each in sales]
    past = orders.past_orders(connection, moments, as_received=states.as_received)
    rebuilt = {moment for moment in moments if moment[0] in states.needs_rebuild}
    known = {**states.known, **_known_from_lines(connection, rebuilt, zone, as_received=states.as_received)}
    for moment, edition in zip(moments, seen, strict=True):
        regulars = known[moment].history.items()
        edition.load(connection, [product for product, each in regulars if is_regular(each, moment[1])])
    found = [
        _order_facts(each, known[moment], past.get(moment, ()), edition, assumptions, zone)
        for each, moment, edition in zip(sales, moments, seen, strict=True)
    ]
    return _with_dealings(connection, found)


def _seen(connection: Connection, sale: ResolvedOrder, catalogue: Catalogue) -> Catalogue:
    """Return the catalogue as the models before the sale know it, with the sale's products."""
    edition = catalogue.before(sale.order.ordered_at)
    if edition is not catalogue:
        edition.load(connection, {line.product.id for line in sale.lines if line.product})
    return edition


def _known_from_state(connection: Connection, sales: Sequence[ResolvedOrder]) -> dict[items.Moment, _Known]:
    """Return the state before each sale, of customers whose every order of the batch comes after it."""
    pairs = {(each.customer_id, line.product.id) for each in sales for line in each.lines if line.product}
    histories: dict[int, items.History] = defaultdict(dict)
    last = {each.customer_id: each.order.ordered_at for each in sales}  # in time order: the latest stays
    first = {each.customer_id: each.order.ordered_at for each in reversed(sales)}
    bought = items.bought(connection, {each: at - NEVER_BOUGHT for each, at in first.items()}, last)
    pairs |= {(customer_id, product_id) for customer_id, each in bought.items() for product_id in each.due}
    for (customer_id, product_id), history in items.histories(connection, pairs).items():
        histories[customer_id][product_id] = history
    known: dict[items.Moment, _Known] = {}
    earlier: dict[int, list[ResolvedOrder]] = defaultdict(list)
    for each in sales:
        customer_id, as_of = each.customer_id, each.order.ordered_at
        before = _Known(dict(histories[customer_id]), bought.get(customer_id, items.Bought()).lately)
        for other in earlier[customer_id]:
            if other.order.ordered_at < as_of:
                before.add(other)
        known[customer_id, as_of] = before
        earlier[customer_id].append(each)
    return known


def _known_from_lines(
    connection: Connection, moments: Collection[items.Moment], zone: tzinfo, *, as_received: bool
) -> dict[items.Moment, _Known]:
    """Return what the lines before each of these moments give."""
    return {
        (customer_id, as_of): _Known(
            history,
            frozenset(product for product, each in history.items() if each[0].at >= as_of - NEVER_BOUGHT),
        )
        for (customer_id, as_of), history in items.histories_before(
            connection, moments, zone, as_received=as_received
        ).items()
    }


def _order_facts(
    resolved: ResolvedOrder,
    known: _Known,
    past: tuple[PastOrder, ...],
    catalogue: Catalogue,
    assumptions: Assumptions,
    zone: tzinfo,
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
        zone=zone,
        has_manual_total=any(each.line.kind is MANUAL and each.line.net > 0 for each in resolved.lines),
        rate=resolved.rate,
        base_net=resolved.base_net,
        bought=known.bought,
        regulars={
            product: each
            for product, each in known.history.items()
            if product not in basket and is_regular(each, order.ordered_at)
        },
        past_orders=past,
        candidates=catalogue.candidates_of(customer.id),
        products=catalogue.known,
        fit=catalogue.fit,
    )


def _with_dealings(connection: Connection, found: list[OrderFacts]) -> list[OrderFacts]:
    """Return the facts with the prices agreed for their lines, and the holds open on their customers."""

    def price_key(facts: OrderFacts, line: LineFacts) -> dealings.PriceKey:
        return facts.customer.id, line.product.id, facts.currency, facts.today

    agreed_with = dealings.agreed_with(connection, {facts.customer.id for facts in found})
    agreed = [facts for facts in found if facts.customer.id in agreed_with]
    known = dealings.load(
        connection,
        {price_key(facts, line) for facts in agreed for line in facts.lines},
        {(facts.customer.id, facts.today) for facts in found},
    )
    dealt_with = agreed_with | {customer_id for customer_id, _ in known.holds}
    return [
        replace(
            facts,
            customer=replace(
                facts.customer,
                holds=known.holds.get((facts.customer.id, facts.today), frozenset()),
            ),
            lines=tuple(
                msgspec.structs.replace(line, agreed_price=known.prices.get(price_key(facts, line)))
                for line in facts.lines
            ),
        )
        if facts.customer.id in dealt_with
        else facts
        for facts in found
    ]


def _line_facts(
    lines: Sequence[ResolvedLine], history: items.History, catalogue: Catalogue
) -> tuple[LineFacts, ...]:
    """Return the product lines with a quantity. A product without a name is called what this order calls it."""
    known = catalogue.known
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
        for product in (known[each.product.id],)
    )
