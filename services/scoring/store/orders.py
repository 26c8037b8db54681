"""Write orders and their lines, set-based: a newer revision replaces the whole order."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec
from sqlalchemy import Connection, text

from services.scoring.facts import PastOrder
from services.scoring.store.events import Reading
from services.scoring.store.rows import as_array, as_json

Row = dict[str, object]

PAST_WINDOW = timedelta(days=365)
PAST_ORDERS = 100
"""A customer's size is judged on their last hundred orders of a year."""


class LineRow(msgspec.Struct, frozen=True):
    """A line as it is stored."""

    order_id: int
    line_no: int
    ordered_at: datetime
    customer_id: int | None
    product_id: int | None
    external_id: str
    parent_line_id: str | None
    kind: str
    is_counted: bool
    quantity: Decimal
    net: Decimal
    base_net: Decimal | None
    base_unit_cost: Decimal | None
    title: str | None
    returns_order_id: str | None
    returns_line_id: str | None
    return_reason: str | None


@dataclass(frozen=True, slots=True)
class HeldOrder:
    """An order as stored before this batch."""

    id: int
    customer_id: int | None
    version: int


_HELD = text(
    "SELECT source, external_id, id, customer_id, version"
    " FROM unnest(CAST(:sources AS text[]), CAST(:ids AS text[])) AS asked (source, external_id)"
    " JOIN sales_order USING (source, external_id)"
)

_UPSERT = text(
    "INSERT INTO sales_order (source, external_id, version, digest, event_id, number, channel, status, kind, is_test,"
    " is_history, is_counted, ordered_at, currency, customer_id, rep_external_id, original_order_id, net, base_net)"
    " SELECT source, external_id, version, decode(digest, 'hex'), event_id, number, channel, status, kind, is_test,"
    " is_history, is_counted, ordered_at, currency, customer_id, rep_external_id, original_order_id, net, base_net"
    " FROM json_to_recordset(CAST(:rows AS json)) AS new (source text, external_id text, version bigint, digest text,"
    " event_id uuid, number text, channel text, status text, kind text, is_test boolean, is_history boolean,"
    " is_counted boolean, ordered_at timestamptz, currency text, customer_id bigint, rep_external_id text,"
    " original_order_id text, net numeric, base_net numeric) ORDER BY source, external_id"
    " ON CONFLICT (source, external_id) DO UPDATE SET version = excluded.version, digest = excluded.digest,"
    " event_id = excluded.event_id, number = excluded.number, channel = excluded.channel, status = excluded.status,"
    " kind = excluded.kind, is_test = excluded.is_test, is_history = excluded.is_history,"
    " is_counted = excluded.is_counted,"
    " ordered_at = excluded.ordered_at, currency = excluded.currency, customer_id = excluded.customer_id,"
    " rep_external_id = excluded.rep_external_id, original_order_id = excluded.original_order_id,"
    " net = excluded.net, base_net = excluded.base_net, applied_at = now()"
    " WHERE excluded.version > sales_order.version"
    " OR (excluded.version = sales_order.version AND excluded.digest <> sales_order.digest)"
    " RETURNING source, external_id, id"
)

_LINES = text(
    "INSERT INTO order_line (order_id, line_no, ordered_at, customer_id, product_id, external_id, parent_line_id, kind,"
    " is_counted, quantity, net, base_net, base_unit_cost, title, returns_order_id, returns_line_id, return_reason)"
    " SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS new (order_id bigint, line_no integer,"
    " ordered_at timestamptz, customer_id bigint, product_id bigint, external_id text, parent_line_id text, kind text,"
    " is_counted boolean, quantity numeric, net numeric, base_net numeric, base_unit_cost numeric, title text,"
    " returns_order_id text, returns_line_id text, return_reason text)"
)

_DROP_LINES = text(
    "WITH dropped AS (DELETE FROM order_line WHERE order_id = ANY(:ids) RETURNING customer_id, product_id)"
    " SELECT DISTINCT customer_id, product_id FROM dropped WHERE customer_id IS NOT NULL AND product_id IS NOT NULL"
)


def held(connection: Connection, readings: Sequence[Reading]) -> dict[tuple[str, str], HeldOrder]:
    """Return what is stored of these orders already, by (source, id)."""
    sources, ids = [each.order.source for each in readings], [each.order.id for each in readings]
    rows = connection.execute(_HELD, {"sources": sources, "ids": ids}).all()
    return {(row.source, row.external_id): HeldOrder(row.id, row.customer_id, row.version) for row in rows}


def upsert(connection: Connection, rows: Sequence[Row]) -> dict[tuple[str, str], int]:
    """Write orders that are newer than what is held; return the ids of those written, by (source, id)."""
    written = connection.execute(_UPSERT, {"rows": as_json(rows)}).all()
    return {(row.source, row.external_id): row.id for row in written}


def replace_lines(
    connection: Connection, replaced: Collection[int], rows: Sequence[LineRow]
) -> set[tuple[int, int]]:
    """Replace the lines of orders wholly; return the (customer, product) pairs that lost lines."""
    lost: set[tuple[int, int]] = set()
    if replaced:
        lost = {(row[0], row[1]) for row in connection.execute(_DROP_LINES, {"ids": list(replaced)})}
    if rows:
        connection.execute(_LINES, {"rows": as_json(rows)})
    return lost


_PAST = text(
    "SELECT asked.nr, past.moments, past.nets"
    " FROM unnest(CAST(:customers AS bigint[]), CAST(:moments AS timestamptz[])) WITH ORDINALITY"
    " AS asked (customer_id, moment, nr)"
    " CROSS JOIN LATERAL (SELECT array_agg(ordered_at) AS moments, array_agg(base_net) AS nets FROM ("
    "  SELECT ordered_at, base_net FROM sales_order WHERE customer_id = asked.customer_id"
    "   AND ordered_at < asked.moment AND ordered_at >= asked.moment - :window"
    "   AND is_counted AND kind = 'sale' AND base_net > 0 AND id <> ALL(CAST(:without AS bigint[]))"
    "  ORDER BY ordered_at DESC, source, external_id LIMIT :most) newest) past"
    " WHERE past.moments IS NOT NULL"
)


def past_orders(
    connection: Connection, moments: Sequence[tuple[int, datetime]], without: Collection[int]
) -> dict[tuple[int, datetime], tuple[PastOrder, ...]]:
    """Return the sales of the year before each (customer, moment), the newest hundred, leaving some orders out."""
    arguments = {
        "customers": as_array(customer for customer, _ in moments),
        "moments": [moment for _, moment in moments],
        "without": as_array(without),
        "window": PAST_WINDOW,
        "most": PAST_ORDERS,
    }
    return {
        moments[row.nr - 1]: tuple(map(PastOrder, row.moments, row.nets))
        for row in connection.execute(_PAST, arguments).all()
    }
