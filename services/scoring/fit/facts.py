"""Read the facts a fit may know: trade before `as_of`, nothing at or after it.

A purchase is one product in one confirmed sale: its lines summed, quantity and net above zero. Merged customers
count as the one they were merged into; a guest has no customer; internal accounts are no trade.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import ibis
from adbc_driver_postgresql import dbapi

from services.scoring.engine import Engine

REMEMBERED = timedelta(days=730)
"""Two years: older habits say little about what a customer buys now."""

# Numeric would arrive as text, so it is cast here; four decimals are exact in a double up to 10^11.
_LINES = """
SELECT sale.id AS order_id, line.product_id, account.id AS customer_id,
       line.ordered_at AT TIME ZONE 'UTC' AS at, (line.ordered_at AT TIME ZONE 'UTC')::date AS day,
       line.quantity::float8, line.net::float8, line.base_net::float8, line.base_unit_cost::float8 AS unit_cost,
       coalesce(sale.channel, account.channel, '') AS channel, sale.currency
FROM order_line AS line
JOIN sales_order AS sale ON sale.id = line.order_id
LEFT JOIN customer AS named ON named.id = line.customer_id
LEFT JOIN customer AS account ON account.id = coalesce(named.merged_into_id, named.id)
WHERE line.ordered_at < {as_of} AND line.ordered_at >= {since}
  AND line.is_counted AND line.kind = 'product' AND line.product_id IS NOT NULL AND sale.kind = 'sale'
  AND (account.id IS NULL OR NOT account.is_internal)
"""

# Right after an import the planner has no statistics and would look up every line's order one by one.
_PLANNED = ("SET LOCAL enable_nestloop = off", "SET LOCAL work_mem = '64MB'", "SET LOCAL jit = off")

_PRODUCTS = """
SELECT product.id AS product_id, product.category, product.status = 'active' AS is_active,
       coalesce(product.name, titled.title) AS name
FROM product
LEFT JOIN (
    SELECT DISTINCT ON (product_id) product_id, title
    FROM (SELECT product_id, title, count(*) AS lines FROM order_line
          WHERE ordered_at < {as_of} AND ordered_at >= {since} AND is_counted AND kind = 'product'
            AND net > 0 AND quantity > 0 AND title <> ''
            AND product_id IN (SELECT id FROM product WHERE name IS NULL)
          GROUP BY product_id, title) AS counted
    ORDER BY product_id, lines DESC, title
) AS titled ON titled.product_id = product.id
"""

_CUSTOMERS = (
    "SELECT id AS customer_id, coalesce(segment, '') AS segment FROM customer WHERE merged_into_id IS NULL"
)


_OWNERS = """
SELECT customer.id AS customer_id, owner.rep_id
FROM customer
CROSS JOIN LATERAL (
    SELECT rep_id FROM assignment
    WHERE valid_from <= ({as_of} AT TIME ZONE 'UTC')::date
      AND (customer_id = customer.id OR territory_id = customer.territory_id)
    ORDER BY customer_id IS NULL, valid_from DESC LIMIT 1
) AS owner
WHERE customer.merged_into_id IS NULL
"""


@dataclass(frozen=True, slots=True)
class Facts:
    """What models and day kinds are built from.

    `history` has a row per account and product, `owners` the rep of each customer that somebody looks after; times
    are UTC without a zone.
    """

    engine: Engine
    as_of: datetime
    purchases: ibis.Table
    history: ibis.Table
    products: ibis.Table
    customers: ibis.Table
    owners: ibis.Table

    @property
    def accounts(self) -> ibis.Table:
        """Purchases by known customers: guests are no peers."""
        return self.purchases.filter(self.purchases.customer_id.notnull())


def read_facts(engine: Engine, connection: dbapi.Connection, as_of: datetime) -> Facts:
    """Stream the facts before `as_of` from PostgreSQL (an ADBC connection) into the engine."""

    def load(name: str, query: str) -> ibis.Table:
        with connection.cursor() as cursor:
            cursor.execute(query.format(as_of=literal(as_of), since=literal(as_of - REMEMBERED)))
            return engine.load(name, cursor.fetch_record_batch())

    with connection.cursor() as cursor:
        for setting in _PLANNED:
            cursor.execute(setting)
    purchases = engine.keep("purchase", purchases_of(load("line", _LINES)))
    engine.drop("line")
    return Facts(
        engine=engine,
        as_of=as_of,
        purchases=purchases,
        history=engine.keep("history", history_of(purchases)),
        products=load("product", _PRODUCTS),
        customers=load("customer", _CUSTOMERS),
        owners=load("owner", _OWNERS),
    )


def purchases_of(lines: ibis.Table) -> ibis.Table:
    """Sum the lines of a product in an order. `base_net` is NULL where the rate of any of them is unknown."""

    def total(column: str) -> ibis.Value:
        return lines[column].sum().round(4)  # a sum of floats depends on their order, but not so far

    # the order decides these: a small key is grouped faster
    told = {
        name: lines[name].max() for name in ("customer_id", "at", "day", "channel", "currency", "unit_cost")
    }
    base_net = ibis.ifelse(lines.base_net.count() == lines.count(), total("base_net"), ibis.null("float64"))
    summed = lines.group_by("order_id", "product_id").agg(
        **told, quantity=total("quantity"), net=total("net"), base_net=base_net
    )
    return summed.filter((summed.quantity > 0) & (summed.net > 0))


def literal(moment: datetime) -> str:
    """Return the moment as SQL: drivers differ in how they bind a time, and a datetime cannot hold a quote."""
    return f"TIMESTAMPTZ '{moment.isoformat()}'"


def naive(moment: datetime) -> datetime:
    """Return the moment as the engine holds times: UTC, without a zone."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def before(facts: Facts, as_of: datetime) -> Facts:
    """Return the facts as they stood at an earlier moment, to judge a model on what came after."""
    engine = facts.engine
    rows = facts.purchases
    purchases = engine.keep("earlier_purchase", rows.filter(rows.at < naive(as_of)))
    history = engine.keep("earlier_history", history_of(purchases))
    return Facts(engine, as_of, purchases, history, facts.products, facts.customers, facts.owners)


def history_of(purchases: ibis.Table) -> ibis.Table:
    """Return per account and product: first and last day, and on how many days it was ordered."""
    accounts = purchases.filter(purchases.customer_id.notnull())
    return accounts.group_by("customer_id", "product_id").agg(
        first_day=accounts.day.min(), last_day=accounts.day.max(), days=accounts.day.nunique()
    )
