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
from services.scoring.fit.extracts import literal, read_lines
from services.scoring.runs import USABLE

REMEMBERED = timedelta(days=730)
"""Two years: older habits say little about what a customer buys now."""

A_YEAR = timedelta(days=364)
WARM_UP = timedelta(days=60)
"""So much trade must be known before a day that something is learnt from."""

# Older sales are there for the returns that name them. `told_at` is when something was ordered or given back.
_ORDERS = """
SELECT sale.id AS order_id, sale.source, sale.external_id, sale.original_order_id, sale.kind = 'sale' AS is_sale,
       sale.ordered_at >= {since} AND NOT coalesce(account.is_internal, false) AS is_asked, account.id AS customer_id,
       sale.ordered_at AT TIME ZONE 'UTC' AS told_at, (sale.ordered_at AT TIME ZONE {zone})::date AS told_day,
       sale.channel, account.channel AS account_channel, sale.currency {receipt}
FROM sales_order AS sale
LEFT JOIN customer AS named ON named.id = sale.customer_id
LEFT JOIN customer AS account ON account.id = coalesce(named.merged_into_id, named.id)
WHERE sale.ordered_at < {as_of} AND sale.is_counted
  AND (sale.kind = 'sale' OR sale.kind IN ('return', 'credit') AND sale.ordered_at >= {since}) {received}
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

# What is read is of one moment. Right after an import the planner has no statistics and would look up rows one by one.
_PLANNED = (
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "SET LOCAL enable_nestloop = off",
    "SET LOCAL work_mem = '64MB'",
    "SET LOCAL jit = off",
)

_PRODUCTS = """
SELECT id AS product_id, category, status = 'active' AS is_active, name FROM product
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

# Said once, it holds both ways.
_SUBSTITUTES = """
SELECT product_id, substitute_id FROM product_substitute
UNION SELECT substitute_id, product_id FROM product_substitute
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
    those of `zone`. `agreements` has what customers bought at prices agreed with them, and when these hold,
    `substitutes` what stands in for a product; None where nobody ever told. `assumptions` are the settings.
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
    substitutes: ibis.Table | None = None
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

    def first_day(self) -> date | None:
        """Return the day of the first purchase that is known; None where there is none."""
        (row,) = self.engine.rows(self.accounts.agg(first=self.accounts.day.min()))
        first: date | None = row["first"]
        return first

    def is_season_known(self) -> bool:
        """Has the history seen these days of the year, with 60 days of trade before them?"""
        first = self.first_day()
        return first is not None and first + WARM_UP <= self.today - A_YEAR

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
    """Stream the facts before `as_of` from PostgreSQL (an ADBC connection) into the engine, in one transaction.

    With `received_by`, only what had been received by then: to judge a day long past as it was. With `since`, lines
    reach back two years before that day and say when they were received: to judge many days (`backtest`).
    """
    received = "" if received_by is None else _RECEIVED.format(by=literal(received_by))
    begin = (since or as_of) - REMEMBERED
    words = {
        "as_of": literal(as_of),
        "since": literal(begin),
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
    orders, held = load("sales_order", _ORDERS), read_lines(engine, connection, begin, as_of)
    listed, customers = load("listed_product", _PRODUCTS), load("customer", _CUSTOMERS)
    owners, agreed = load("owner", _OWNERS), load("price_agreement", _AGREEMENTS)
    substitutes = load("substitute", _SUBSTITUTES)
    connection.commit()
    lines = engine.keep("line", lines_of(held, orders))
    products = engine.keep("product", named(listed, held, orders))
    engine.drop("sales_order")
    purchases = engine.keep("purchase", purchases_of(lines))
    history = engine.keep("history", history_of(purchases))
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
        owners=owners,
        predictions=Predictions(engine, connection, as_of=as_of),
        agreements=engine.keep("agreed", agreements_of(history, customers, products, agreed))
        if engine.count(agreed)
        else None,
        substitutes=substitutes if engine.count(substitutes) else None,
    )


def lines_of(held: ibis.Table, orders: ibis.Table) -> ibis.Table:
    """Return the product lines of the orders asked for, each with what its order says and the sale it belongs to.

    What is given back belongs to the sale that it names, if that is one of trade with the same customer in the same
    currency, and no later.
    """
    told = held.drop("title").join(orders.filter(orders.is_asked).drop("external_id", "is_asked"), "order_id")
    told = told.mutate(
        names=ibis.ifelse(
            told.quantity < 0, told.returns_order_id.coalesce(told.original_order_id), ibis.null("string")
        )
    )
    sales = orders.filter(orders.is_sale).select(
        sale_id="order_id", sale_source="source", sale_name="external_id", sale_at="told_at", sale_day="told_day",
        sale_channel="channel", sale_currency="currency", sale_customer="customer_id",
    )  # fmt: skip
    both = told.left_join(
        sales,
        [
            told.source == sales.sale_source,
            told.names == sales.sale_name,
            told.order_id != sales.sale_id,
            told.told_at >= sales.sale_at,
            told.currency == sales.sale_currency,
            told.customer_id.identical_to(sales.sale_customer),
        ],
    )
    receipt = {"received_at": both.received_at} if "received_at" in orders.columns else {}
    return both.select(
        "product_id",
        "customer_id",
        "told_at",
        "told_day",
        "quantity",
        "net",
        "base_net",
        "unit_cost",
        "currency",
        order_id=both.sale_id.coalesce(both.order_id),
        at=both.sale_at.coalesce(both.told_at),
        day=both.sale_day.coalesce(both.told_day),
        channel=ibis.coalesce(both.sale_channel, both.channel, both.account_channel, ""),
        is_of_sale=both.sale_id.notnull() | both.is_sale,
        **receipt,
    )


def named(products: ibis.Table, held: ibis.Table, orders: ibis.Table) -> ibis.Table:
    """Return the products; one without a name has the title that most of its lines were sold under."""
    sold = held.filter((held.net > 0) & (held.quantity > 0) & (held.title != ""))
    sold = sold.semi_join(orders.filter(orders.is_asked), "order_id")
    sold = sold.semi_join(products.filter(products.name.isnull()), "product_id")
    counted = sold.group_by("product_id", "title").agg(lines=ibis._.count())
    first = ibis.row_number().over(group_by="product_id", order_by=[counted.lines.desc(), "title"])
    titled = counted.mutate(place=first).filter(ibis._.place == 0).select("product_id", "title")
    both = products.left_join(titled, "product_id")
    return both.select("product_id", "category", "is_active", name=both.name.coalesce(both.title))


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


def naive(moment: datetime) -> datetime:
    """Return the moment as the engine holds times: UTC, without a zone."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def before(facts: Facts, as_of: datetime) -> Facts:
    """Return the facts as they stood at an earlier moment, to judge a model on what came after."""
    engine, moment = facts.engine, naive(as_of)
    lines = facts.lines.filter(facts.lines.told_at < moment)
    # most purchases have not changed since: only those with lines told later are summed anew
    later = facts.lines.filter((facts.lines.told_at >= moment) & (facts.lines.at < moment))
    changed = engine.keep("changed_since", later.select("order_id", "product_id").distinct())
    same = facts.purchases.filter(facts.purchases.at < moment).anti_join(changed, ["order_id", "product_id"])
    summed = purchases_of(lines.semi_join(changed, ["order_id", "product_id"]))
    purchases = same.union(engine.keep("earlier_purchase", summed))
    return replace(
        facts,
        as_of=as_of,
        lines=lines,
        purchases=purchases,
        history=history_of(purchases),
        order_days=order_days_of(lines, purchases),
        predictions=Predictions(engine, None),
        kept={},
    )


def history_of(purchases: ibis.Table) -> ibis.Table:
    """Return per account and product: first and last day, and on how many days it was ordered."""
    accounts = purchases.filter(purchases.customer_id.notnull())
    return accounts.group_by("customer_id", "product_id").agg(
        first_day=accounts.day.min(), last_day=accounts.day.max(), days=accounts.day.nunique()
    )
