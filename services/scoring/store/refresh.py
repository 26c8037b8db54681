"""Rebuild what is derived from facts, for all customers: after imports, and when somebody asks for it."""

from collections.abc import Iterator

from sqlalchemy import Connection, text

from services.scoring.store import items
from shared.db import Database

CUSTOMERS_AT_ONCE = 500
"""Each step is one short transaction that holds this many customers."""

# Amounts nobody could know when the order came: the rate or the cost valid that day was imported later.
_FILL_ORDERS = text("""
    UPDATE sales_order AS o SET base_net = round(o.net * known.rate, 4)
    FROM (SELECT o.id, (SELECT rate FROM fx_rate WHERE currency = o.currency
                          AND valid_on <= (o.ordered_at AT TIME ZONE 'UTC')::date ORDER BY valid_on DESC LIMIT 1)
                 AS rate
          FROM sales_order o WHERE o.base_net IS NULL) known
    WHERE o.id = known.id AND known.rate IS NOT NULL
""")

_FILL_LINES = text("""
    UPDATE order_line AS l SET base_net = round(l.net * known.rate, 4)
    FROM (SELECT l.order_id, l.line_no, l.ordered_at,
                 (SELECT rate FROM fx_rate WHERE currency = o.currency
                     AND valid_on <= (o.ordered_at AT TIME ZONE 'UTC')::date ORDER BY valid_on DESC LIMIT 1) AS rate
          FROM order_line l JOIN sales_order o ON o.id = l.order_id WHERE l.base_net IS NULL) known
    WHERE l.order_id = known.order_id AND l.line_no = known.line_no AND l.ordered_at = known.ordered_at
      AND known.rate IS NOT NULL
""")

_FILL_COSTS = text("""
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
                      AND valid_on <= (l.ordered_at AT TIME ZONE 'UTC')::date ORDER BY valid_on DESC LIMIT 1)) AS cost
        FROM order_line l
        JOIN rated ON rated.product_id = l.product_id
                  AND (l.ordered_at AT TIME ZONE 'UTC')::date >= rated.valid_from
                  AND (l.ordered_at AT TIME ZONE 'UTC')::date < rated.until
        WHERE l.base_unit_cost IS NULL
    )
    UPDATE order_line AS l SET base_unit_cost = round(known.cost, 4) FROM known
    WHERE l.order_id = known.order_id AND l.line_no = known.line_no AND l.ordered_at = known.ordered_at
      AND known.cost IS NOT NULL
""")


_IS_ASKED_FOR = text(
    "SELECT EXISTS (SELECT FROM task WHERE kind = 'refresh' AND state IN ('ready', 'leased'))"
)

_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(7302412)")  # any number that nobody else locks


def what_waits(database: Database, base_currency: str) -> None:
    """Do now what an import asked for and no worker has done yet: a fit must not learn from half-filled facts."""
    with database.transaction() as connection:
        is_asked_for = connection.scalar(_IS_ASKED_FOR)
    if is_asked_for:
        everything(database, base_currency)


def everything(database: Database, base_currency: str) -> None:
    """Fill in amounts that have become known, then rebuild what every customer buys."""
    with database.transaction() as connection:
        connection.execute(_ONE_AT_A_TIME)
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(_FILL_ORDERS)
        connection.execute(_FILL_LINES)
        connection.execute(_FILL_COSTS, {"base": base_currency})
    for above, upto in _steps(database):
        with database.transaction() as connection:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            _hold(connection, above, upto)
            items.rebuild_customers(connection, above, upto)


def _steps(database: Database) -> Iterator[tuple[int, int]]:
    with database.transaction() as connection:
        last = connection.scalar(text("SELECT max(id) FROM customer")) or 0
    for above in range(0, last, CUSTOMERS_AT_ONCE):
        yield above, above + CUSTOMERS_AT_ONCE


def _hold(connection: Connection, above: int, upto: int) -> None:
    """Keep scoring from rebuilding the same customers meanwhile."""
    connection.execute(
        text("SELECT id FROM customer WHERE id > :above AND id <= :upto ORDER BY id FOR NO KEY UPDATE"),
        {"above": above, "upto": upto},
    )
