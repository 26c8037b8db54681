"""Read the facts a fit may know: trade before `as_of`, nothing at or after it.

A purchase is one product in one confirmed sale: its priced lines summed, less what was given back of them by then, in
the sale or in a return of the same customer that names it. What is left must have a quantity and a price above zero;
goods that came free are no purchase. (`services.scoring.store.items` finds the same for one customer.) Merged customers
count as the one they were merged into; a guest has no customer; internal accounts are no trade; freight and fees are
no products. Days are those of the company's zone.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import ibis
from adbc_driver_postgresql import dbapi

from services.scoring.engine import Engine
from services.scoring.facts import Assumptions
from services.scoring.runs import USABLE

REMEMBERED = timedelta(days=730)
"""Two years: older habits say little about what a customer buys now."""

# Numeric would arrive as text, so it is cast here; four decimals are exact in a double up to 10^11.
# `told_at` is when a line itself was ordered or given back, the other times are those of the sale it belongs to.
_LINES = """
SELECT coalesce(original.id, sale.id) AS order_id, line.product_id, account.id AS customer_id,
       line.ordered_at AT TIME ZONE 'UTC' AS told_at, (line.ordered_at AT TIME ZONE {zone})::date AS told_day,
       coalesce(original.ordered_at, line.ordered_at) AT TIME ZONE 'UTC' AS at,
       (coalesce(original.ordered_at, line.ordered_at) AT TIME ZONE {zone})::date AS day,
       line.quantity::float8, line.net::float8, line.base_net::float8, line.base_unit_cost::float8 AS unit_cost,
       coalesce(original.channel, sale.channel, account.channel, '') AS channel, sale.currency,
       original.id IS NOT NULL OR sale.kind = 'sale' AS is_of_sale {receipt}
FROM order_line AS line
JOIN sales_order AS sale ON sale.id = line.order_id
LEFT JOIN customer AS named ON named.id = line.customer_id
LEFT JOIN customer AS account ON account.id = coalesce(named.merged_into_id, named.id)
LEFT JOIN (
    SELECT sold.*, coalesce(buyer.merged_into_id, buyer.id) AS account_id
    FROM sales_order AS sold LEFT JOIN customer AS buyer ON buyer.id = sold.customer_id
) AS original
       ON original.source = sale.source
      AND original.external_id = coalesce(line.returns_order_id, sale.original_order_id)
      AND line.quantity < 0 AND original.id <> sale.id AND original.kind = 'sale' AND original.is_counted
      AND original.ordered_at <= line.ordered_at AND original.currency = sale.currency
      AND original.account_id IS NOT DISTINCT FROM account.id
WHERE line.ordered_at < {as_of} AND line.ordered_at >= {since} {received}
  AND line.is_counted AND line.kind = 'product' AND line.product_id IS NOT NULL
  AND sale.kind IN ('sale', 'return', 'credit')
  AND (account.id IS NULL OR NOT account.is_internal)
"""

# What an import brought was history already; what came live was known from the moment it was received.
_RECEIVED = """
  AND (sale.is_history OR EXISTS (SELECT FROM event WHERE event.id = sale.event_id AND event.received_at < {by}))
"""

# NULL: it was history already.
_RECEIPT = """
       , (SELECT received_at AT TIME ZONE 'UTC' FROM event WHERE event.id = sale.event_id AND NOT sale.is_history)
       AS received_at
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

# Branches count for the head office that is named for them, unless that one was merged away.
_CUSTOMERS = """
SELECT customer.id AS customer_id, coalesce(customer.segment, '') AS segment,
       coalesce(head.merged_into_id, head.id, customer.id) AS head_id, customer.status = 'active' AS is_active
FROM customer LEFT JOIN customer AS head ON head.id = customer.parent_id
WHERE customer.merged_into_id IS NULL
"""


_OWNERS = """
SELECT customer.id AS customer_id, owner.rep_id
FROM customer
CROSS JOIN LATERAL (
    SELECT rep_id FROM assignment
    WHERE valid_from <= ({as_of} AT TIME ZONE {zone})::date
      AND (customer_id = customer.id OR territory_id = customer.territory_id)
    ORDER BY customer_id IS NULL, valid_from DESC LIMIT 1
) AS owner
WHERE customer.merged_into_id IS NULL
"""


_AGREEMENTS = """
SELECT coalesce(customer.merged_into_id, customer.id) AS customer_id, agreement.segment, agreement.product_id,
       agreement.category, valid_from, valid_to
FROM price_agreement AS agreement LEFT JOIN customer ON customer.id = agreement.customer_id
"""


_NO_LIMIT = datetime(9999, 12, 31, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Predictions:
    """What the models learnt, as tables: of their newest runs as of a moment, or what an unpublished fit made."""

    engine: Engine
    connection: dbapi.Connection | None
    made: dict[str, ibis.Table] = field(default_factory=dict)
    as_of: datetime = _NO_LIMIT

    def table(self, name: str) -> ibis.Table | None:
        """Return a derived table; None where it has never been written."""
        if name not in self.made and self.connection is not None:
            self._load_newest(self.connection, name)
        return self.made.get(name)

    def _load_newest(self, connection: dbapi.Connection, name: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass($1) IS NOT NULL", (name,))
            if cursor.fetchone() != (True,):
                return
            cursor.execute(
                f'SELECT held.* FROM "{name}" AS held WHERE model_run_id = ('  # noqa: S608 (names are ours)
                f" SELECT run.id FROM ({USABLE}) AS run WHERE run.as_of <= {literal(self.as_of)} AND run.model = ("
                f'  SELECT model FROM "{name}" AS any_row JOIN model_run ON model_run.id = model_run_id LIMIT 1)'
                " ORDER BY run.as_of DESC, run.id DESC LIMIT 1)"
            )
            self.made[name] = self.engine.load(name, cursor.fetch_record_batch())


@dataclass(frozen=True, slots=True)
class Facts:
    """What models and day kinds are built from.

    `lines` are products sold and given back, `history` has a row per account and product, `order_days` one per
    customer and day, `owners` the rep of each customer that somebody looks after. Times are UTC without a zone, days
    those of `zone`. `agreements` has what customers bought at prices agreed with them, and when these hold; None where
    none was ever agreed. `assumptions` are the settings.
    """

    engine: Engine
    as_of: datetime
    zone: str
    lines: ibis.Table
    purchases: ibis.Table
    history: ibis.Table
    order_days: ibis.Table
    products: ibis.Table
    customers: ibis.Table
    owners: ibis.Table
    predictions: Predictions
    agreements: ibis.Table | None = None
    assumptions: Assumptions = field(default_factory=Assumptions)
    kept: dict[str, ibis.Table] = field(default_factory=dict)

    def keep(self, name: str, rows: Callable[[], ibis.Table]) -> ibis.Table:
        """Return a table of these facts by its name, computed when it is first asked for."""
        if name not in self.kept:
            self.kept[name] = self.engine.keep(name, rows())
        return self.kept[name]

    @property
    def accounts(self) -> ibis.Table:
        """Purchases by known customers: guests are no peers."""
        return self.purchases.filter(self.purchases.customer_id.notnull())

    @property
    def nobody(self) -> ibis.Table:
        """No customer: what a kind finds that has not learnt yet."""
        return self.customers.limit(0).mutate(fires=ibis.literal(value=False))

    @property
    def today(self) -> date:
        """The day of `as_of` in the company's zone: what is of that day and known is of its morning."""
        return self.as_of.astimezone(ZoneInfo(self.zone)).date()


def read_facts(
    engine: Engine,
    connection: dbapi.Connection,
    as_of: datetime,
    *,
    zone: str = "UTC",
    received_by: datetime | None = None,
    since: datetime | None = None,
) -> Facts:
    """Stream the facts before `as_of` from PostgreSQL (an ADBC connection) into the engine.

    With `received_by`, only what had been received by then: to judge a day long past as it was. With `since`, lines
    reach back two years before that day and say when they were received: to judge many days (`backtest`).
    """
    received = "" if received_by is None else _RECEIVED.format(by=literal(received_by))
    words = {
        "as_of": literal(as_of),
        "since": literal((since or as_of) - REMEMBERED),
        "receipt": "" if since is None else _RECEIPT,
        "zone": "'" + ZoneInfo(zone).key.replace("'", "''") + "'",
        "received": received,
    }

    def load(name: str, query: str) -> ibis.Table:
        with connection.cursor() as cursor:
            cursor.execute(query.format(**words))
            return engine.load(name, cursor.fetch_record_batch())

    with connection.cursor() as cursor:
        for setting in _PLANNED:
            cursor.execute(setting)
    lines = load("line", _LINES)
    purchases = engine.keep("purchase", purchases_of(lines))
    history = engine.keep("history", history_of(purchases))
    products, customers = load("product", _PRODUCTS), load("customer", _CUSTOMERS)
    agreed = load("price_agreement", _AGREEMENTS)
    return Facts(
        engine=engine,
        as_of=as_of,
        zone=zone,
        lines=lines,
        purchases=purchases,
        history=history,
        order_days=engine.keep("order_day", order_days_of(lines, purchases)),
        products=products,
        customers=customers,
        owners=load("owner", _OWNERS),
        predictions=Predictions(engine, connection, as_of=as_of),
        agreements=engine.keep("agreed", agreements_of(history, customers, products, agreed))
        if engine.count(agreed)
        else None,
    )


def purchases_of(lines: ibis.Table) -> ibis.Table:
    """Sum the lines of a product in a sale, with what was given back of them.

    `base_net` is NULL where the rate of any of them is unknown.
    """
    lines = lines.filter(lines.is_of_sale & ((lines.net != 0) | (lines.quantity < 0)))

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


def agreements_of(
    history: ibis.Table, customers: ibis.Table, products: ibis.Table, agreed: ibis.Table
) -> ibis.Table:
    """Return the pairs of customer and product bought whose price is agreed, and from when to when.

    It is agreed with the customer, its head office or its segment, for the product or its category.
    """
    pairs = history.select("customer_id", "product_id")
    pairs = pairs.join(customers.select("customer_id", "head_id", "segment"), "customer_id")
    pairs = pairs.join(products.select("product_id", "category"), "product_id")
    found = [
        pairs.join(
            agreed, [pairs[own] == agreed[party], pairs[thing] == agreed[thing]], rname="agreed_{name}"
        ).select("customer_id", "product_id", "valid_from", "valid_to")
        for own, party in (("customer_id", "customer_id"), ("head_id", "customer_id"), ("segment", "segment"))
        for thing in ("product_id", "category")
    ]
    return ibis.union(*found, distinct=True)


def order_days_of(lines: ibis.Table, purchases: ibis.Table) -> ibis.Table:
    """Return per customer and day how many orders and products were bought, and the net in base currency.

    `net` counts what was given back on the day it was, whatever sale it belongs to: sums over any span are those that
    were known at its end. A day of returns alone has no orders.
    """
    bought = purchases.filter(purchases.customer_id.notnull())
    orders = bought.group_by("customer_id", "day").agg(
        orders=bought.order_id.nunique(), items=bought.product_id.nunique()
    )
    known = lines.filter(lines.customer_id.notnull())
    # in ten-thousandths: sums of integers do not depend on their order
    net = (known.base_net * 10_000).round().cast("int64").sum().cast("float64") / 10_000
    money = known.group_by("customer_id", day=known.told_day).agg(net=net.fill_null(0.0))
    both = money.outer_join(orders, ["customer_id", "day"])
    return both.select(
        customer_id=both.customer_id.coalesce(both.customer_id_right),
        day=both.day.coalesce(both.day_right),
        orders=both.orders.fill_null(0),
        items=both["items"].fill_null(0),
        net=both.net.fill_null(0.0),
    )


def literal(moment: datetime) -> str:
    """Return the moment as SQL: drivers differ in how they bind a time, and a datetime cannot hold a quote."""
    return f"TIMESTAMPTZ '{moment.isoformat()}'"


def naive(moment: datetime) -> datetime:
    """Return the moment as the engine holds times: UTC, without a zone."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def before(facts: Facts, as_of: datetime) -> Facts:
    """Return the facts as they stood at an earlier moment, to judge a model on what came after."""
    engine = facts.engine
    lines = facts.lines.filter(facts.lines.told_at < naive(as_of))
    purchases = engine.keep("earlier_purchase", purchases_of(lines))
    return replace(
        facts,
        as_of=as_of,
        lines=lines,
        purchases=purchases,
        history=engine.keep("earlier_history", history_of(purchases)),
        order_days=engine.keep("earlier_order_day", order_days_of(lines, purchases)),
        predictions=Predictions(engine, None),
        kept={},
    )


def history_of(purchases: ibis.Table) -> ibis.Table:
    """Return per account and product: first and last day, and on how many days it was ordered."""
    accounts = purchases.filter(purchases.customer_id.notnull())
    return accounts.group_by("customer_id", "product_id").agg(
        first_day=accounts.day.min(), last_day=accounts.day.max(), days=accounts.day.nunique()
    )
