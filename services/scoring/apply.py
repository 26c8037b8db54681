"""Apply a batch of order revisions: resolve them to our customers and products, then write orders, lines, purchases.

Orders may come in any sequence: what a customer buys ends up the same.
"""

from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import date, tzinfo
from decimal import ROUND_HALF_UP, Decimal

import msgspec
from sqlalchemy import Connection

from services.scoring.facts import CustomerFacts, ProductFacts, Purchase, day_of
from services.scoring.store import items, orders
from services.scoring.store.catalogue import Catalogue
from services.scoring.store.orders import Revision
from shared import identities
from shared.domain.order import PRODUCT, CustomerRef, Line, Order, OrderKind, OrderStatus, in_base

STORED = Decimal("0.0001")
"""Prices are kept to so much."""

CONFIRMED = (OrderStatus.CONFIRMED, OrderStatus.CLOSED)


class ResolvedLine(msgspec.Struct, frozen=True):
    """A line with its product and its money in base currency, as far as known."""

    number: int
    line: Line
    product: ProductFacts | None
    base_net: Decimal | None
    base_unit_cost: Decimal | None


@dataclass(frozen=True, slots=True)
class ResolvedOrder:
    """A revision with our customer, products and money in base currency.

    `order_id` is 0 until the order is written; `held` is the order as stored before, when this revision replaces it.
    """

    revision: Revision
    customer: CustomerFacts | None
    rate: Decimal | None
    lines: tuple[ResolvedLine, ...]
    held: orders.HeldOrder | None
    order_id: int = 0

    @property
    def order(self) -> Order:
        """The order as the revision gives it."""
        return self.revision.order

    @property
    def is_counted(self) -> bool:
        """Is it trade: confirmed or closed, and no test? A cancelled order counts for nothing."""
        return self.order.status in CONFIRMED and not self.order.is_test

    @property
    def base_net(self) -> Decimal | None:
        """The whole order in base currency; None where no rate is known, or an absurd one."""
        return in_base(self.order.net, self.rate)

    @property
    def is_sale(self) -> bool:
        """May its lines count as purchases of a known customer?"""
        return self.is_counted and self.order.kind == OrderKind.SALE and self.customer is not None

    @property
    def customer_id(self) -> int:
        """The known customer of a sale."""
        if self.customer is None:
            raise ValueError("a guest's order has no customer")
        return self.customer.id

    @property
    def gives_back(self) -> bool:
        """Does it give back what another order may have sold?"""
        return any(
            each.line.quantity < 0 and (each.line.returns_order_id or self.order.original_order_id)
            for each in self.lines
        )

    def purchases(self) -> dict[int, Purchase]:
        """What a sale that gives nothing back bought of each product, as `store.items` defines it."""
        sums: dict[int, tuple[Decimal, Decimal]] = {}
        for each in self.lines if self.is_sale else ():
            product, quantity, paid = each.product, each.line.quantity, each.line.net
            if product is not None and (paid or quantity < 0):
                if product.id in sums:
                    quantity, paid = quantity + sums[product.id][0], paid + sums[product.id][1]
                sums[product.id] = quantity, paid
        at, currency = self.order.ordered_at, self.order.currency
        return {
            product_id: Purchase(at, quantity, (paid / quantity).quantize(STORED, ROUND_HALF_UP), currency)
            for product_id, (quantity, paid) in sums.items()
            if quantity > 0 and paid > 0
        }


def resolve(
    connection: Connection, revisions: Sequence[Revision], catalogue: Catalogue, zone: tzinfo
) -> list[ResolvedOrder]:
    """Match the ids of revisions to ours, and lock their customers until commit. No order is written yet.

    Locked are also the customers that held orders belonged to until now: both change.
    """
    parent_of = {
        (each.order.source, each.order.customer.id): (each.order.source, each.order.customer.parent_id)
        for each in revisions
        if each.order.customer and each.order.customer.parent_id
    }
    # All new names first: who holds the lock on them must not wait for customers that others hold.
    customer_of, product_of = _our_ids(connection, revisions, parent_of.values(), catalogue)
    catalogue.load(connection, set(product_of.values()))
    catalogue.load_rates(
        connection, {(each.order.currency, day_of(each.order.ordered_at, zone)) for each in revisions}
    )
    held = orders.held(connection, revisions)
    before = {each.customer_id for each in held.values() if each.customer_id is not None}
    customers = orders.lock_customers(connection, {*customer_of.values(), *before})
    identities.name_parents(connection, {customer_of[child]: parent for child, parent in parent_of.items()})
    resolved = []
    for each in revisions:
        order, day = each.order, day_of(each.order.ordered_at, zone)
        customer = customers[customer_of[order.source, order.customer.id]] if order.customer else None
        rate = catalogue.rate(order.currency, day)
        lines = _resolve_lines(connection, order, day, rate, product_of, catalogue)
        resolved.append(ResolvedOrder(each, customer, rate, lines, held.get(each.identity)))
    return resolved


def _our_ids(
    connection: Connection,
    revisions: Sequence[Revision],
    parents: Collection[identities.Name],
    catalogue: Catalogue,
) -> tuple[dict[identities.Name, int], dict[identities.Name, int]]:
    """Return our ids of the customers (with their parents) and products that revisions name, by their names."""
    customers = {
        (each.order.source, each.order.customer.id): each.order.customer
        for each in revisions
        if each.order.customer
    }
    products = {
        (each.order.source, line.sku): line
        for each in revisions
        for line in each.order.lines
        if line.kind is PRODUCT and line.sku
    }
    customer_of = identities.customer_ids(
        connection, {parent: CustomerRef(parent[1]) for parent in parents} | customers
    )
    return customer_of, catalogue.product_ids(connection, products)


def _resolve_lines(
    connection: Connection,
    order: Order,
    day: date,
    rate: Decimal | None,
    product_of: Mapping[identities.Name, int],
    catalogue: Catalogue,
) -> tuple[ResolvedLine, ...]:
    """Join lines with their products. A line's own cost, in the order's currency, goes before the master's."""
    resolved, known = [], catalogue.known
    for number, line in enumerate(order.lines, start=1):
        product = known[product_of[order.source, line.sku]] if line.kind is PRODUCT and line.sku else None
        cost: Decimal | None = None
        if line.unit_cost is not None:
            cost = in_base(line.unit_cost, rate)
        elif product is not None and product.costs:
            cost = catalogue.cost(connection, product, day)
        resolved.append(
            ResolvedLine(
                number=number,
                line=line,
                product=product,
                base_net=in_base(line.net, rate),
                base_unit_cost=cost,
            )
        )
    return tuple(resolved)


def write_orders(connection: Connection, resolved: Sequence[ResolvedOrder]) -> list[ResolvedOrder]:
    """Write the orders that are newer than what is held; return those, with their ids."""
    written = orders.upsert(connection, [_order_row(each) for each in resolved])
    return [
        replace(each, order_id=written[each.revision.identity])
        for each in resolved
        if each.revision.identity in written
    ]


def write_lines(
    connection: Connection, resolved: Sequence[ResolvedOrder], needs_rebuild: AbstractSet[int], zone: tzinfo
) -> None:
    """Replace the lines of written orders, and bring what their customers buy in line with them.

    For customers in `needs_rebuild` it is computed from their lines as they now are; for others it is added to.
    """
    replaced = [each.order_id for each in resolved if each.held is not None]
    lost = orders.replace_lines(connection, replaced, [row for each in resolved for row in _line_rows(each)])
    touched = {
        (each.customer.id, line.product.id)
        for each in resolved
        if each.customer is not None and each.customer.id in needs_rebuild
        for line in each.lines
        if line.product is not None
    }
    items.rebuild(connection, lost | touched, zone)
    added = [each for each in resolved if each.is_sale and each.customer_id not in needs_rebuild]
    # The batch is in time order; of two at one moment, the first counts as the newest.
    newest_first = sorted(added, key=lambda each: each.order.ordered_at, reverse=True)
    items.add(
        connection,
        [
            items.NewPurchase(each.customer_id, product_id, *purchase)
            for each in reversed(newest_first)
            for product_id, purchase in each.purchases().items()
        ],
        zone,
    )


def _order_row(resolved: ResolvedOrder) -> orders.OrderRow:
    order, revision = resolved.order, resolved.revision
    return orders.OrderRow(
        source=order.source,
        external_id=order.id,
        version=revision.version,
        digest=revision.digest.hex(),
        event_id=revision.event_id,
        number=order.number,
        channel=order.channel,
        status=order.status,
        kind=order.kind,
        is_test=order.is_test,
        is_history=revision.entry_point == "import",
        is_counted=resolved.is_counted,
        ordered_at=order.ordered_at,
        currency=order.currency,
        customer_id=resolved.customer.id if resolved.customer else None,
        rep_external_id=order.rep_id,
        original_order_id=order.original_order_id,
        net=order.net,
        base_net=resolved.base_net,
    )


def _line_rows(resolved: ResolvedOrder) -> list[orders.LineRow]:
    ordered_at = resolved.order.ordered_at
    customer_id = resolved.customer.id if resolved.customer else None
    is_counted = resolved.is_counted
    return [
        orders.LineRow(
            resolved.order_id,
            each.number,
            ordered_at,
            customer_id,
            each.product.id if each.product else None,
            each.line.id,
            each.line.parent_id,
            each.line.kind,
            is_counted,
            each.line.quantity,
            each.line.net,
            each.base_net,
            each.base_unit_cost,
            each.line.title,
            each.line.returns_order_id,
            each.line.returns_line_id,
            each.line.return_reason,
        )
        for each in resolved.lines
    ]
