"""Apply a batch of revisions: order, lines, and what each customer buys, whatever sequence they came in."""

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal

from sqlalchemy import Connection

from services.scoring.facts import day_of
from services.scoring.placed import PlacedLine, PlacedOrder, purchases, rounded
from services.scoring.store import items, orders
from services.scoring.store.catalogue import Catalogue
from services.scoring.store.customers import lock_customers
from services.scoring.store.events import Reading
from shared import identities
from shared.domain.order import CustomerRef, Line, LineKind, Order


def place(connection: Connection, readings: Sequence[Reading], catalogue: Catalogue) -> list[PlacedOrder]:
    """Give readings our ids, and hold their customers until commit. Nothing of the orders is written yet."""
    named = {
        (each.order.source, each.order.customer.id): each.order.customer
        for each in readings
        if each.order.customer
    }
    parents = {
        (source, customer.parent_id): CustomerRef(customer.parent_id)
        for (source, _), customer in named.items()
        if customer.parent_id
    }
    customer_of = identities.customer_ids(connection, parents | named)
    product_of = identities.product_ids(connection, _named_products(readings))
    catalogue.load(connection, set(product_of.values()))
    catalogue.load_rates(
        connection, {(each.order.currency, day_of(each.order.ordered_at)) for each in readings}
    )
    held = orders.held(connection, readings)
    before = {each.customer_id for each in held.values() if each.customer_id is not None}
    customers = lock_customers(connection, list({*customer_of.values(), *before}))
    identities.name_parents(
        connection,
        {
            customer_of[source, customer.id]: (source, customer.parent_id)
            for (source, _), customer in named.items()
            if customer.parent_id
        },
    )
    placed = []
    for reading in readings:
        order = reading.order
        customer = customers[customer_of[order.source, order.customer.id]] if order.customer else None
        rate = catalogue.rate(order.currency, day_of(order.ordered_at))
        lines = _place_lines(connection, order, rate, product_of, catalogue)
        placed.append(PlacedOrder(reading, customer, rate, lines, held.get(reading.identity)))
    return placed


def _named_products(readings: Sequence[Reading]) -> dict[identities.Name, Line]:
    return {
        (reading.order.source, line.sku): line
        for reading in readings
        for line in reading.order.lines
        if line.kind == LineKind.PRODUCT and line.sku
    }


def _place_lines(
    connection: Connection,
    order: Order,
    rate: Decimal | None,
    product_of: Mapping[identities.Name, int],
    catalogue: Catalogue,
) -> tuple[PlacedLine, ...]:
    """Join lines with their products. A line's own cost, in the order's currency, goes before the master's."""
    placed, day = [], day_of(order.ordered_at)
    for number, line in enumerate(order.lines, start=1):
        is_product = line.kind == LineKind.PRODUCT and line.sku
        product = catalogue[product_of[order.source, line.sku]] if is_product and line.sku else None
        cost: Decimal | None = None
        if line.unit_cost is not None:
            cost = None if rate is None else line.unit_cost * rate
        elif product is not None and product.costs:
            cost = catalogue.cost(connection, product, day)
        placed.append(
            PlacedLine(
                number=number,
                line=line,
                product=product,
                base_net=None if rate is None else rounded(line.net * rate),
                base_unit_cost=None if cost is None else rounded(cost),
            )
        )
    return tuple(placed)


def write_orders(connection: Connection, placed: Sequence[PlacedOrder]) -> list[PlacedOrder]:
    """Write the orders that are newer than what is held; return those, with their ids."""
    written = orders.upsert(connection, [_order_row(each) for each in placed])
    return [
        PlacedOrder(
            each.reading, each.customer, each.rate, each.lines, each.was_held, written[each.reading.identity]
        )
        for each in placed
        if each.reading.identity in written
    ]


def write_lines(connection: Connection, placed: Sequence[PlacedOrder], in_doubt: Collection[int]) -> None:
    """Replace the lines of written orders, and bring what their customers buy in line with them.

    Customers in doubt have it rebuilt from their lines as they stand; for the others it is added to.
    """
    replaced = [each.order_id for each in placed if each.was_held is not None]
    lost = orders.replace_lines(connection, replaced, [row for each in placed for row in _line_rows(each)])
    doubted = [each for each in placed if each.customer is not None and each.customer.id in in_doubt]
    sure = [each for each in placed if each.is_sale and each.customer and each.customer.id not in in_doubt]
    items.rebuild(connection, lost | _pairs(doubted))
    items.add(connection, _new_purchases(sure))


def _new_purchases(sales: Sequence[PlacedOrder]) -> list[items.NewPurchase]:
    """What these orders bought, in the order in which the state holds it: newest first."""
    by_name = sorted(sales, key=lambda each: each.reading.identity)
    newest_first = sorted(by_name, key=lambda each: each.order.ordered_at, reverse=True)
    return [
        items.NewPurchase(
            newest,
            each.customer.id,
            product_id,
            bought.at,
            bought.quantity,
            bought.unit_price,
            bought.currency,
        )
        for newest, each in enumerate(newest_first)
        if each.customer is not None
        for product_id, bought in purchases(each).items()
    ]


def _pairs(placed: Collection[PlacedOrder]) -> set[items.Pair]:
    return {
        (each.customer.id, line.product.id)
        for each in placed
        if each.customer is not None
        for line in each.lines
        if line.product is not None
    }


def _order_row(placed: PlacedOrder) -> orders.Row:
    order, reading = placed.order, placed.reading
    return {
        "source": order.source,
        "external_id": order.id,
        "version": reading.version,
        "digest": reading.digest.hex(),
        "event_id": reading.event_id,
        "number": order.number,
        "channel": order.channel,
        "status": order.status,
        "kind": order.kind,
        "is_test": order.is_test,
        "is_history": reading.entry_point == "import",
        "is_counted": placed.is_counted,
        "ordered_at": order.ordered_at,
        "currency": order.currency,
        "customer_id": placed.customer.id if placed.customer else None,
        "rep_external_id": order.rep_id,
        "original_order_id": order.original_order_id,
        "net": order.net,
        "base_net": placed.base_net,
    }


def _line_rows(placed: PlacedOrder) -> list[orders.LineRow]:
    ordered_at = placed.order.ordered_at
    customer_id = placed.customer.id if placed.customer else None
    is_counted = placed.is_counted
    return [
        orders.LineRow(
            placed.order_id,
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
        for each in placed.lines
    ]
