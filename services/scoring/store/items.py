"""Customer state: what a customer buys of each product, defined once.

The same SQL rebuilds the touched pairs after an order changed or came late, all pairs after an import, and answers
what was known before a moment in the past. Purchases after all others are added to the state; a rebuild ends in the
same state.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, text

from services.scoring.facts import DUE, DUE_SOON, FEW_PURCHASES, MEMORY, REGULAR_WINDOW, Purchase
from services.scoring.store import as_array, as_columns, orders, unnested
from shared.db import Database

CUSTOMERS_AT_ONCE = 500
"""How many customers one short transaction of a refresh locks."""

# How the lines of what is asked are found. Of few pairs: each customer's products together, which is one descent
# into each partition's index for a customer, not one for a pair. Of all pairs: as the planner thinks best.
_OF_FEW = """(SELECT customer_id, before, array_agg(product_id) AS products FROM asked GROUP BY 1, 2) asked
    JOIN order_line l ON l.customer_id = asked.customer_id AND l.product_id = ANY(asked.products)"""
_OF_ALL = """asked
    JOIN order_line l ON l.customer_id = asked.customer_id AND l.product_id = asked.product_id"""
_OF_CUSTOMER = """asked
    JOIN order_line l ON l.customer_id = asked.customer_id AND l.product_id IS NOT NULL"""

# `asked` gives (customer_id, product_id, before), each once. A purchase is what services.scoring.fit.facts says it is:
# a sale's lines of one product, less what was given back of them, in the sale or in a return of the same customer that
# names it; goods that came free are left out. A pair never bought has no state.
_DEFINITION = """
, purchase AS (
    SELECT asked.customer_id, l.product_id, asked.before, sold.source, sold.external_id, sold.ordered_at, sold.currency,
           sum(l.quantity) AS quantity, sum(l.net) / sum(l.quantity) AS unit_price
    FROM {asked_lines} AND l.ordered_at < asked.before AND l.is_counted AND (l.net <> 0 OR l.quantity < 0)
    JOIN sales_order o ON o.id = l.order_id AND o.kind IN ('sale', 'return', 'credit') {received}
    LEFT JOIN sales_order original
           ON original.source = o.source AND original.external_id = coalesce(l.returns_order_id, o.original_order_id)
          AND l.quantity < 0 AND original.id <> o.id AND original.kind = 'sale' AND original.is_counted
          AND original.ordered_at <= l.ordered_at AND original.customer_id = o.customer_id
          AND original.currency = o.currency
    JOIN sales_order sold ON sold.id = coalesce(original.id, o.id) AND sold.kind = 'sale'
    GROUP BY asked.customer_id, l.product_id, asked.before, sold.id
    HAVING sum(l.quantity) > 0 AND sum(l.net) > 0
), ranked AS (
    SELECT purchase.*, row_number() OVER (PARTITION BY customer_id, product_id, before
                                          ORDER BY ordered_at DESC, source, external_id) AS newest
    FROM purchase
), state AS (
    SELECT customer_id, product_id, before,
           count(DISTINCT (ordered_at AT TIME ZONE :zone)::date) AS order_days,
           min(ordered_at) AS first_at, max(ordered_at) AS last_at,
           array_agg(ordered_at ORDER BY newest) FILTER (WHERE newest <= {memory}) AS recent_at,
           array_agg(quantity ORDER BY newest) FILTER (WHERE newest <= {memory}) AS recent_quantity,
           array_agg(round(unit_price, 4) ORDER BY newest) FILTER (WHERE newest <= {memory}) AS recent_price,
           array_agg(currency ORDER BY newest) FILTER (WHERE newest <= {memory}) AS recent_currency
    FROM ranked GROUP BY customer_id, product_id, before
)
"""
_FEW = _DEFINITION.format(asked_lines=_OF_FEW, received="", memory=MEMORY)
_ALL = _DEFINITION.format(asked_lines=_OF_ALL, received="", memory=MEMORY)

_COLUMNS = (
    "customer_id, product_id, order_days, first_at, last_at,"
    " recent_at, recent_quantity, recent_price, recent_currency"
)

_REBUILD = f"""
, gone AS (
    DELETE FROM customer_item USING asked
    WHERE customer_item.customer_id = asked.customer_id AND customer_item.product_id = asked.product_id
      -- hashed once; NOT EXISTS would be tried pair by pair, for nothing is known of how many rows `state` has
      AND (asked.customer_id, asked.product_id) NOT IN (SELECT customer_id, product_id FROM state)
)
INSERT INTO customer_item ({_COLUMNS}) SELECT {_COLUMNS} FROM state
ON CONFLICT (customer_id, product_id) DO UPDATE SET order_days = excluded.order_days, first_at = excluded.first_at,
    last_at = excluded.last_at, recent_at = excluded.recent_at, recent_quantity = excluded.recent_quantity,
    recent_price = excluded.recent_price, recent_currency = excluded.recent_currency
"""  # noqa: S608 (constants of this file)

_TOUCHED = text(f"""
WITH asked AS MATERIALIZED (
    SELECT customer_id, product_id, CAST('infinity' AS timestamptz) AS before
    FROM unnest(CAST(:customers AS bigint[]), CAST(:products AS bigint[])) AS pair (customer_id, product_id)
) {_FEW} {_REBUILD}
""")  # noqa: S608 (constants of this file)

# Purchases after everything in the state are added to it: the result is what a rebuild makes, without reading a line.
_NEW_TYPES = {
    "customer_id": "bigint",
    "product_id": "bigint",
    "at": "timestamptz",
    "quantity": "numeric",
    "unit_price": "numeric",
    "currency": "text",
}
_ADD = text(f"""
INSERT INTO customer_item AS held ({_COLUMNS})
SELECT customer_id, product_id, 1, at, at, ARRAY[at], ARRAY[quantity], ARRAY[unit_price], ARRAY[currency]
FROM {unnested(_NEW_TYPES)} ORDER BY customer_id, product_id
ON CONFLICT (customer_id, product_id) DO UPDATE SET
    order_days = held.order_days + 1
        - ((held.last_at AT TIME ZONE :zone)::date = (excluded.first_at AT TIME ZONE :zone)::date)::integer,
    last_at = excluded.last_at,
    recent_at = (excluded.recent_at || held.recent_at)[1:{MEMORY}],
    recent_quantity = (excluded.recent_quantity || held.recent_quantity)[1:{MEMORY}],
    recent_price = (excluded.recent_price || held.recent_price)[1:{MEMORY}],
    recent_currency = (excluded.recent_currency || held.recent_currency)[1:{MEMORY}]
""")  # noqa: S608 (constants of this file)

_WHOLE = text(f"""
WITH asked AS MATERIALIZED (
    SELECT customer_id, product_id, CAST('infinity' AS timestamptz) AS before FROM (
        SELECT customer_id, product_id FROM order_line
        WHERE customer_id > :above AND customer_id <= :upto AND product_id IS NOT NULL
        UNION
        SELECT customer_id, product_id FROM customer_item WHERE customer_id > :above AND customer_id <= :upto
    ) pair
) {_ALL} {_REBUILD}
""")  # noqa: S608 (constants of this file)

_EVERYTHING = f"""
WITH asked AS MATERIALIZED (
    SELECT DISTINCT customer_id, before
    FROM unnest(CAST(:customers AS bigint[]), CAST(:moments AS timestamptz[])) AS moment (customer_id, before)
) {_DEFINITION}
SELECT customer_id, before, product_id, recent_at, recent_quantity, recent_price, recent_currency FROM state
"""  # noqa: S608 (constants of this file)
_BEFORE = text(_EVERYTHING.format(asked_lines=_OF_CUSTOMER, received="", memory=MEMORY))
_BEFORE_AS_RECEIVED = text(
    _EVERYTHING.format(
        asked_lines=_OF_CUSTOMER, received=orders.RECEIVED.format(by="asked.before"), memory=MEMORY
    )
)

# As JSON, which both ends write and read in half the time of four arrays.
_STATE = text(
    "SELECT customer_id, product_id,"
    " CAST(json_build_array(recent_at, recent_quantity, recent_price, recent_currency) AS text)"
    " FROM unnest(CAST(:customers AS bigint[]), CAST(:products AS bigint[])) AS pair (customer_id, product_id)"
    " JOIN customer_item USING (customer_id, product_id)"
)

# One look at all items of a customer. `due` is what they take time and again, and would be due for by then:
# `is_regular` of services.scoring.facts.
_BOUGHT = text("""
SELECT customer_id, array_agg(product_id) FILTER (WHERE last_at >= since) AS lately,
       array_agg(product_id) FILTER (
           WHERE order_days >= :fewest AND cardinality(recent_at) >= :fewest
           AND last_at >= moment - CAST(:window AS interval)
           AND moment + CAST(:soon AS interval)
               >= last_at + :due * (last_at - recent_at[cardinality(recent_at)]) / (cardinality(recent_at) - 1)
       ) AS due
FROM unnest(CAST(:customers AS bigint[]), CAST(:since AS timestamptz[]), CAST(:moments AS timestamptz[]))
     AS asked (customer_id, since, moment)
JOIN customer_item USING (customer_id) GROUP BY customer_id
""")


class NewPurchase(msgspec.Struct, frozen=True):
    """What an order bought of a product, later than all its customer bought before."""

    customer_id: int
    product_id: int
    at: datetime
    quantity: Decimal
    unit_price: Decimal
    currency: str


_RECENT = msgspec.json.Decoder(tuple[list[datetime], list[Decimal], list[Decimal], list[str]])

Pair = tuple[int, int]
Moment = tuple[int, datetime]
History = dict[int, tuple[Purchase, ...]]
"""Last purchases by product, newest first."""


class Bought(NamedTuple):
    """The products a customer bought lately, and the regular ones that may be due."""

    lately: frozenset[int] = frozenset()
    due: tuple[int, ...] = ()


def rebuild(connection: Connection, pairs: Collection[Pair], zone: tzinfo) -> None:
    """Bring the state of these (customer, product) pairs in line with the lines."""
    if pairs:
        customers, products = zip(*sorted(pairs), strict=True)
        connection.execute(
            _TOUCHED, {"customers": as_array(customers), "products": as_array(products), "zone": str(zone)}
        )


def add(connection: Connection, purchases: Sequence[NewPurchase], zone: tzinfo) -> None:
    """Add purchases, the oldest first, to the state of customers who bought nothing at or after them."""
    rounds: list[list[NewPurchase]] = []  # one statement adds one purchase to a pair
    added: Counter[Pair] = Counter()
    for each in purchases:
        pair = each.customer_id, each.product_id
        if added[pair] == len(rounds):
            rounds.append([])
        rounds[added[pair]].append(each)
        added[pair] += 1
    for each_once in rounds:
        connection.execute(_ADD, {**as_columns(each_once), "zone": str(zone)})


def histories(connection: Connection, pairs: Collection[Pair]) -> dict[Pair, tuple[Purchase, ...]]:
    """Return the last purchases of each pair, as the state holds them."""
    if not pairs:
        return {}
    customers, products = zip(*pairs, strict=True)
    asked = {"customers": as_array(customers), "products": as_array(products)}
    rows = connection.execute(_STATE, asked).cursor.fetchall()  # plain tuples: there are thousands
    return {
        (customer_id, product_id): tuple(map(Purchase, *_RECENT.decode(recent)))
        for customer_id, product_id, recent in rows
    }


def bought(
    connection: Connection, since: Mapping[int, datetime], moments: Mapping[int, datetime]
) -> dict[int, Bought]:
    """Return what each customer bought: since one moment, and time and again, so that it may be due at another."""
    if not since:
        return {}
    arguments = {
        "customers": as_array(since),
        "since": as_array(since.values()),
        "moments": as_array(moments[each] for each in since),
        "fewest": FEW_PURCHASES,
        "window": REGULAR_WINDOW,
        "soon": DUE_SOON,
        "due": float(DUE),
    }
    rows = connection.execute(_BOUGHT, arguments).all()
    return {row.customer_id: Bought(frozenset(row.lately or ()), tuple(row.due or ())) for row in rows}


def histories_before(
    connection: Connection, moments: Collection[Moment], zone: tzinfo, *, as_received: bool = False
) -> dict[Moment, History]:
    """Return the last purchases of every product of a customer strictly before each moment.

    `as_received`: of what came live, what had been received by then.
    """
    found: dict[Moment, History] = {each: {} for each in moments}
    if found:
        customers, times = zip(*found, strict=True)
        asked = {
            "customers": as_array(customers),
            "moments": as_array(times),
            "zone": str(zone),
        }
        for row in connection.execute(_BEFORE_AS_RECEIVED if as_received else _BEFORE, asked).all():
            found[row.customer_id, row.before][row.product_id] = tuple(map(Purchase, *row[3:]))
    return found


# Scoring must not change the state of the same customers meanwhile.
_LOCK_CUSTOMERS = text(
    "SELECT id FROM customer WHERE id > :above AND id <= :upto ORDER BY id FOR NO KEY UPDATE"
)

_ASKED_FOR = text("SELECT id FROM task WHERE kind = 'refresh' AND state = 'ready'")

_DONE = text(
    "UPDATE task SET state = 'done', finished_at = now() WHERE id IN (SELECT id FROM task"
    " WHERE id = ANY(CAST(:asked AS bigint[])) AND state = 'ready' ORDER BY id FOR UPDATE SKIP LOCKED)"
)

_IS_NEEDED = text(
    "SELECT EXISTS (SELECT FROM task WHERE kind = 'refresh' AND state IN ('ready', 'leased'))"
    " OR EXISTS (SELECT FROM customer JOIN sales_order ON sales_order.customer_id = customer.id"
    "  WHERE merged_into_id IS NOT NULL)"
)

_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(7302412)")  # any number that nobody else locks


def refresh_if_needed(database: Database, base_currency: str, zone: tzinfo) -> None:
    """Refresh now if an import asked for it and no worker has done it yet, or customers were merged since.

    A fit must not learn from half the facts. What was asked for is done then, unless a worker has begun with it.
    """
    with database.transaction() as connection:
        asked = list(connection.scalars(_ASKED_FOR))
        is_needed = connection.scalar(_IS_NEEDED)
    if is_needed:
        refresh(database, base_currency, zone)
    if asked:
        with database.transaction() as connection:
            connection.execute(_DONE, {"asked": asked})


def refresh(database: Database, base_currency: str, zone: tzinfo) -> None:
    """Fill in amounts that have become known, then rebuild the state of every customer; merged ones have none."""
    with database.transaction() as connection:
        connection.execute(_ONE_AT_A_TIME)
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        orders.give_to_merged(connection)
        orders.fill_in_amounts(connection, base_currency, zone)
        last = connection.scalar(text("SELECT max(id) FROM customer")) or 0
    for above in range(0, last, CUSTOMERS_AT_ONCE):
        step = {"above": above, "upto": above + CUSTOMERS_AT_ONCE}
        with database.transaction() as connection:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(_LOCK_CUSTOMERS, step)
            connection.execute(_WHOLE, {**step, "zone": str(zone)})
