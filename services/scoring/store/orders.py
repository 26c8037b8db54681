"""Orders: read and lock their current revisions, write orders and lines, read past orders, fill in amounts.

Writes are set-based; a newer revision replaces the whole order.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from uuid import UUID

import msgspec
from sqlalchemy import Connection, text

from services.scoring.facts import CustomerFacts, PastOrder
from services.scoring.store import as_array, as_columns, unnested
from shared.domain.order import Order, decode
from shared.tasks import Task

PAST_WINDOW = timedelta(days=365)
PAST_ORDERS = 100
"""A customer's usual order size is taken from their last hundred orders of a year."""


@dataclass(frozen=True, slots=True)
class Revision:
    """The current revision of an order."""

    event_id: UUID
    entry_point: str
    version: int
    digest: bytes
    order: Order

    @property
    def identity(self) -> tuple[str, str]:
        """Which order it is, whatever its version: (source, id)."""
        return self.order.source, self.order.id


@dataclass(frozen=True, slots=True)
class HeldOrder:
    """An order as stored before this batch: whose it was."""

    customer_id: int | None


class OrderRow(msgspec.Struct, frozen=True):
    """An order as it is stored; `digest` in hexadecimal."""

    source: str
    external_id: str
    version: int
    digest: str
    event_id: UUID
    number: str | None
    channel: str | None
    status: str
    kind: str
    is_test: bool
    is_history: bool
    is_counted: bool
    ordered_at: datetime
    currency: str
    customer_id: int | None
    rep_external_id: str | None
    original_order_id: str | None
    net: Decimal
    base_net: Decimal | None


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


def not_done(connection: Connection, batch: Sequence[Task]) -> list[Task]:
    """Return the tasks that are not done: a batch that failed in part is run again as a whole."""
    rows = connection.execute(
        text("SELECT id FROM task WHERE id = ANY(CAST(:ids AS bigint[])) AND state <> 'done'"),
        {"ids": as_array(task.id for task in batch)},
    )
    still = set(rows.scalars())
    return [task for task in batch if task.id in still]


def owners(connection: Connection, event_ids: Sequence[str]) -> dict[str, str]:
    """Return the customer of each of these events, by event id, as its source names them; a guest has no name."""
    rows = connection.execute(
        text(
            "SELECT id, source, CAST(normalized AS json) #>> '{customer,id}' AS customer FROM event"
            " WHERE id = ANY(CAST(:ids AS uuid[])) AND is_current"
        ),
        {"ids": as_array(event_ids)},
    )
    return {str(row.id): f"{row.source} {row.customer}" for row in rows if row.customer is not None}


def look_up_by_key(connection: Connection) -> None:
    """Have the rest of this transaction look rows up by key, and not wait for the disk at its end.

    A batch asks for few rows of large tables that have just grown: with old statistics they would be read whole. A
    batch that a crash takes back leaves its tasks to be done again: what was acknowledged is the event, not this.
    Whoever acts on a batch commits after it, and cannot be on disk before it.
    """
    connection.execute(
        text(
            "SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),"
            " set_config('synchronous_commit', 'off', true)"
        )
    )


def lock_current(connection: Connection, event_ids: Sequence[str]) -> list[Revision]:
    """Return the current revisions among these events, in business time, locked until commit.

    Ingest cannot take another revision of the order meanwhile: one order is never applied twice at once.
    """
    rows = connection.execute(
        text(
            "SELECT id, entry_point, coalesce(revision, version) AS version, digest, normalized FROM event"
            " WHERE id = ANY(CAST(:ids AS uuid[])) AND is_current AND normalized IS NOT NULL"
            " ORDER BY id FOR NO KEY UPDATE"
        ),
        {"ids": as_array(event_ids)},
    ).all()
    held = [
        Revision(row.id, row.entry_point, row.version, row.digest, decode(row.normalized)) for row in rows
    ]
    return sorted(held, key=lambda revision: (revision.order.ordered_at, revision.identity))


_CUSTOMERS = """
    SELECT id, name, status, is_internal, segment, channel FROM customer WHERE id = ANY(CAST(:ids AS bigint[]))
"""


def customers(connection: Connection, ids: Collection[int]) -> dict[int, CustomerFacts]:
    """Return these customers."""
    rows = connection.execute(text(_CUSTOMERS), {"ids": as_array(ids)}).all()
    return {row[0]: CustomerFacts(*row) for row in rows}


def lock_customers(connection: Connection, ids: Collection[int]) -> dict[int, CustomerFacts]:
    """Return these customers, locked until commit: their state is changed by one worker at a time."""
    rows = connection.execute(
        text(_CUSTOMERS + " ORDER BY id FOR NO KEY UPDATE"),
        {"ids": as_array(ids)},
    ).all()
    return {row[0]: CustomerFacts(*row) for row in rows}


_HELD = text(
    "SELECT source, external_id, customer_id"
    " FROM unnest(CAST(:sources AS text[]), CAST(:ids AS text[])) AS asked (source, external_id)"
    " JOIN sales_order USING (source, external_id)"
)


def held(connection: Connection, revisions: Sequence[Revision]) -> dict[tuple[str, str], HeldOrder]:
    """Return what is stored of these orders already, by (source, id)."""
    asked = {
        "sources": as_array(each.order.source for each in revisions),
        "ids": as_array(each.order.id for each in revisions),
    }
    rows = connection.execute(_HELD, asked).all()
    return {(row.source, row.external_id): HeldOrder(row.customer_id) for row in rows}


_ORDER_TYPES = {
    "source": "text",
    "external_id": "text",
    "version": "bigint",
    "digest": "text",
    "event_id": "uuid",
    "number": "text",
    "channel": "text",
    "status": "text",
    "kind": "text",
    "is_test": "boolean",
    "is_history": "boolean",
    "is_counted": "boolean",
    "ordered_at": "timestamptz",
    "currency": "text",
    "customer_id": "bigint",
    "rep_external_id": "text",
    "original_order_id": "text",
    "net": "numeric",
    "base_net": "numeric",
}
_UPSERT = text(
    "INSERT INTO sales_order (source, external_id, version, digest, event_id, number, channel, status, kind, is_test,"  # noqa: S608
    " is_history, is_counted, ordered_at, currency, customer_id, rep_external_id, original_order_id, net, base_net)"
    " SELECT source, external_id, version, decode(digest, 'hex'), event_id, number, channel, status, kind, is_test,"
    " is_history, is_counted, ordered_at, currency, customer_id, rep_external_id, original_order_id, net, base_net"
    f" FROM {unnested(_ORDER_TYPES)} ORDER BY source, external_id"
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

_LINE_TYPES = {
    "order_id": "bigint",
    "line_no": "integer",
    "ordered_at": "timestamptz",
    "customer_id": "bigint",
    "product_id": "bigint",
    "external_id": "text",
    "parent_line_id": "text",
    "kind": "text",
    "is_counted": "boolean",
    "quantity": "numeric",
    "net": "numeric",
    "base_net": "numeric",
    "base_unit_cost": "numeric",
    "title": "text",
    "returns_order_id": "text",
    "returns_line_id": "text",
    "return_reason": "text",
}
_LINES = text(f"INSERT INTO order_line ({', '.join(_LINE_TYPES)}) SELECT * FROM {unnested(_LINE_TYPES)}")  # noqa: S608

_DROP_LINES = text(
    "WITH dropped AS (DELETE FROM order_line WHERE order_id = ANY(:ids) RETURNING customer_id, product_id)"
    " SELECT DISTINCT customer_id, product_id FROM dropped WHERE customer_id IS NOT NULL AND product_id IS NOT NULL"
)


def upsert(connection: Connection, rows: Sequence[OrderRow]) -> dict[tuple[str, str], int]:
    """Write orders that are newer than what is held; return the ids of those written, by (source, id)."""
    if not rows:
        return {}
    written = connection.execute(_UPSERT, as_columns(rows)).all()
    return {(source, external_id): order_id for source, external_id, order_id in written}


def replace_lines(
    connection: Connection, replaced: Collection[int], rows: Sequence[LineRow]
) -> set[tuple[int, int]]:
    """Replace the lines of orders wholly; return the (customer, product) pairs that lost lines."""
    lost: set[tuple[int, int]] = set()
    if replaced:
        lost = {(row[0], row[1]) for row in connection.execute(_DROP_LINES, {"ids": list(replaced)})}
    if rows:
        connection.execute(_LINES, as_columns(rows))
    return lost


RECEIVED = """
  AND (o.is_history OR EXISTS (SELECT FROM event WHERE event.id = o.event_id AND event.received_at < {by}))
"""
"""What an import brought was history already; what came live was known from the moment it was received."""

_NEWEST = """
    SELECT asked.nr, CAST(json_build_array(past.moments, past.nets) AS text)
    FROM unnest(CAST(:customers AS bigint[]), CAST(:moments AS timestamptz[])) WITH ORDINALITY
         AS asked (customer_id, moment, nr)
    CROSS JOIN LATERAL (SELECT array_agg(ordered_at) AS moments, array_agg(base_net) AS nets FROM (
        SELECT ordered_at, base_net FROM sales_order AS o WHERE customer_id = asked.customer_id
           AND ordered_at < asked.moment AND ordered_at >= asked.moment - :window
           AND is_counted AND kind = 'sale' AND base_net > 0 {received}
        ORDER BY ordered_at DESC, source, external_id LIMIT :most) newest) past
    WHERE past.moments IS NOT NULL
"""
_MOMENTS_AND_NETS = msgspec.json.Decoder(tuple[list[datetime], list[Decimal]])
_PAST = text(_NEWEST.format(received=""))
_PAST_AS_RECEIVED = text(_NEWEST.format(received=RECEIVED.format(by="asked.moment")))


def past_orders(
    connection: Connection, moments: Sequence[tuple[int, datetime]], *, as_received: bool = False
) -> dict[tuple[int, datetime], tuple[PastOrder, ...]]:
    """Return the sales of the year before each (customer, moment), the newest hundred."""
    arguments = {
        "customers": as_array(customer for customer, _ in moments),
        "moments": as_array(moment for _, moment in moments),
        "window": PAST_WINDOW,
        "most": PAST_ORDERS,
    }
    rows = connection.execute(_PAST_AS_RECEIVED if as_received else _PAST, arguments).all()
    return {moments[nr - 1]: tuple(map(PastOrder, *_MOMENTS_AND_NETS.decode(past))) for nr, past in rows}


_NOT_LATEST = text(
    "SELECT customer_id FROM unnest(CAST(:customers AS bigint[]), CAST(:moments AS timestamptz[])) AS asked"
    " (customer_id, moment) WHERE EXISTS (SELECT FROM sales_order WHERE sales_order.customer_id = asked.customer_id"
    " AND ordered_at >= moment AND is_counted AND id <> ALL(CAST(:without AS bigint[])))"
)


def not_latest(connection: Connection, moments: Mapping[int, datetime], without: Collection[int]) -> set[int]:
    """Return the customers that ordered or gave back anything at or after their moment, but for these orders."""
    if not moments:
        return set()
    asked = {
        "customers": as_array(moments),
        "moments": as_array(moments.values()),
        "without": as_array(without),
    }
    return set(connection.scalars(_NOT_LATEST, asked))


def record_outcome(connection: Connection, event_ids: Sequence[str], applied: Collection[UUID]) -> None:
    """Mark events as applied, the others as stale: a newer revision is current."""
    connection.execute(
        text(
            "UPDATE event SET state = CASE WHEN id = ANY(CAST(:applied AS uuid[])) THEN 'applied' ELSE 'stale' END,"
            " applied_at = CASE WHEN id = ANY(CAST(:applied AS uuid[])) THEN now() END"
            " WHERE id = ANY(CAST(:ids AS uuid[])) AND (state = 'accepted' OR id = ANY(CAST(:applied AS uuid[])))"
        ),
        {"ids": as_array(event_ids), "applied": as_array(applied)},
    )


# Amounts nobody could know when the order came: the rate or the cost valid that day was imported later. One larger
# than any amount may be stays unknown, as shared.domain.order.in_base has it.
_FILL_ORDERS = text("""
    UPDATE sales_order AS o SET base_net = round(o.net * known.rate, 4)
    FROM (SELECT o.id, (SELECT rate FROM fx_rate WHERE currency = o.currency
                          AND valid_on <= (o.ordered_at AT TIME ZONE :zone)::date ORDER BY valid_on DESC LIMIT 1)
                 AS rate
          FROM sales_order o WHERE o.base_net IS NULL) known
    WHERE o.id = known.id AND abs(o.net * known.rate) < 1e12
""")

# Files of order lines are kept as long as no order says that it was written since: see `fit.extracts`. An order is
# locked before its lines, as where orders are applied.
_TOUCHED = """touched AS (
        UPDATE sales_order SET applied_at = now()
        WHERE id IN (SELECT order_id FROM known WHERE abs(amount) < 1e12) RETURNING id
    )"""
_SAME_LINE = """l.order_id = known.order_id AND l.line_no = known.line_no AND l.ordered_at = known.ordered_at
      AND abs(known.amount) < 1e12"""

_FILL_LINES = text(f"""
    WITH known AS (
        SELECT l.order_id, l.line_no, l.ordered_at, l.net *
               (SELECT rate FROM fx_rate WHERE currency = o.currency
                   AND valid_on <= (o.ordered_at AT TIME ZONE :zone)::date ORDER BY valid_on DESC LIMIT 1) AS amount
        FROM order_line l JOIN sales_order o ON o.id = l.order_id WHERE l.base_net IS NULL
    ), {_TOUCHED}
    UPDATE order_line AS l SET base_net = round(known.amount, 4) FROM known JOIN touched ON id = order_id
    WHERE {_SAME_LINE}
""")  # noqa: S608 (constants of this file)

_FILL_COSTS = text(f"""
    WITH spell AS (
        SELECT product_id, cost, currency, valid_from,
               lead(valid_from, 1, 'infinity') OVER (PARTITION BY product_id ORDER BY valid_from) AS until
        FROM product_cost
    ), rated AS (
        SELECT spell.*, CASE WHEN currency = :base THEN 1 END AS fixed_rate FROM spell
    ), known AS (
        SELECT l.order_id, l.line_no, l.ordered_at,
               rated.cost * coalesce(rated.fixed_rate, (
                   SELECT rate FROM fx_rate WHERE fx_rate.currency = rated.currency
                      AND valid_on <= (l.ordered_at AT TIME ZONE :zone)::date ORDER BY valid_on DESC LIMIT 1)) AS amount
        FROM order_line l
        JOIN rated ON rated.product_id = l.product_id
                  AND (l.ordered_at AT TIME ZONE :zone)::date >= rated.valid_from
                  AND (l.ordered_at AT TIME ZONE :zone)::date < rated.until
        WHERE l.base_unit_cost IS NULL
    ), {_TOUCHED}
    UPDATE order_line AS l SET base_unit_cost = round(known.amount, 4) FROM known JOIN touched ON id = order_id
    WHERE {_SAME_LINE}
""")  # noqa: S608 (constants of this file)


def fill_in_amounts(connection: Connection, base_currency: str, zone: tzinfo) -> None:
    """Write amounts in base currency and costs of lines that have become known since the orders came."""
    connection.execute(_FILL_ORDERS, {"zone": str(zone)})
    connection.execute(_FILL_LINES, {"zone": str(zone)})
    connection.execute(_FILL_COSTS, {"base": base_currency, "zone": str(zone)})


# Scoring locks customers in this order, too.
_LOCK_MERGED = text(
    "SELECT id FROM customer WHERE merged_into_id IS NOT NULL"
    " OR id IN (SELECT merged_into_id FROM customer) ORDER BY id FOR NO KEY UPDATE"
)

_GIVE = (
    "UPDATE {table} SET customer_id = customer.merged_into_id FROM customer"
    " WHERE customer.id = {table}.customer_id AND customer.merged_into_id IS NOT NULL"
)
_GIVE_ORDERS = text(_GIVE.format(table="sales_order"))
_GIVE_LINES = text(_GIVE.format(table="order_line"))


def give_to_merged(connection: Connection) -> None:
    """Have the orders of merged customers count for the one that remains, as orders that came later do."""
    connection.execute(_LOCK_MERGED)
    connection.execute(_GIVE_ORDERS)
    connection.execute(_GIVE_LINES)
