"""Sales of past days, as they were applied: what a backtest walks."""

from collections import defaultdict
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection, text

from services.scoring.store import as_array
from shared.domain.order import CustomerRef, Line, LineKind, Order, OrderStatus


class PastLine(NamedTuple):
    """A line of an order as it was applied."""

    number: int
    line: Line
    product_id: int | None
    base_net: Decimal | None
    base_unit_cost: Decimal | None


class PastSale(NamedTuple):
    """A sale to a known customer as it was applied, with its lines."""

    order_id: int
    event_id: UUID
    version: int
    customer_id: int
    order: Order
    lines: tuple[PastLine, ...]


_SALES = text(
    "SELECT id, source, external_id, version, event_id, channel, status, ordered_at, currency, original_order_id,"
    " customer_id FROM sales_order WHERE ordered_at >= :first AND ordered_at < :end AND is_counted AND kind = 'sale'"
    " AND customer_id IS NOT NULL ORDER BY ordered_at, source, external_id"
)

_SOLD_LINES = text(
    "SELECT order_id, line_no, external_id, parent_line_id, kind, quantity, net, title, product_id, base_net,"
    " base_unit_cost, returns_order_id, returns_line_id, return_reason FROM order_line"
    " WHERE ordered_at >= :first AND ordered_at < :end AND order_id = ANY(CAST(:ids AS bigint[])) ORDER BY line_no"
)


def between(connection: Connection, first: datetime, end: datetime) -> list[PastSale]:
    """Return the sales to known customers from `first` and before `end`, in time order."""
    span = {"first": first, "end": end}
    rows = connection.execute(_SALES, span).all()
    lines: dict[int, list[PastLine]] = defaultdict(list)
    for row in connection.execute(_SOLD_LINES, {**span, "ids": as_array(row.id for row in rows)}):
        line = Line(
            id=row.external_id,
            kind=LineKind(row.kind),
            quantity=row.quantity,
            net=row.net,
            title=row.title,
            parent_id=row.parent_line_id,
            returns_order_id=row.returns_order_id,
            returns_line_id=row.returns_line_id,
            return_reason=row.return_reason,
        )
        lines[row.order_id].append(
            PastLine(row.line_no, line, row.product_id, row.base_net, row.base_unit_cost)
        )
    return [
        PastSale(
            row.id,
            row.event_id,
            row.version,
            row.customer_id,
            Order(
                source=row.source,
                id=row.external_id,
                version=row.version,
                ordered_at=row.ordered_at,
                currency=row.currency,
                lines=tuple(each.line for each in lines[row.id]),
                status=OrderStatus(row.status),
                channel=row.channel,
                original_order_id=row.original_order_id,
                customer=CustomerRef(str(row.customer_id)),
            ),
            tuple(lines[row.id]),
        )
        for row in rows
    ]
