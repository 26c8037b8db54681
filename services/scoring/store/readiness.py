"""What a company's data holds, counted: what the kinds need to speak."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from services.scoring.facts import ModelRun


@dataclass(frozen=True, slots=True)
class Holdings:
    """What is held. Shares are from 0 to 1, of the sales of the last year, and 0 where there are none."""

    months: int
    """Whole months from the first sale to the moment asked for."""
    customers: int
    regulars: int
    """Customers with five order days in the last two years."""
    costed: float
    categorised: float
    stocked: float
    """Share of the products sold whose stock is known."""
    owned: float
    """Share of the customers somebody looks after."""
    parents: int
    agreements: int
    price_breaks: int


_ORDERS = text("""
    WITH sale AS (
        SELECT coalesce(customer.merged_into_id, customer.id) AS customer_id, ordered_at,
               (ordered_at AT TIME ZONE :zone)::date AS day
        FROM sales_order JOIN customer ON customer.id = customer_id
        WHERE is_counted AND kind = 'sale' AND ordered_at < :as_of AND NOT customer.is_internal
    ), of_customer AS (
        SELECT customer_id, count(DISTINCT day) AS days FROM sale
        WHERE ordered_at >= CAST(:as_of AS timestamptz) - interval '2 years' GROUP BY customer_id
    )
    SELECT (SELECT coalesce(extract(year FROM age) * 12 + extract(month FROM age), 0)
            FROM (SELECT age(:as_of, min(ordered_at)) AS age FROM sale) AS span)::integer AS months,
           count(*) AS customers, count(*) FILTER (WHERE days >= 5) AS regulars,
           count(*) FILTER (WHERE EXISTS (
               SELECT FROM assignment WHERE assignment.customer_id = customer.id
                  OR assignment.territory_id = customer.territory_id))::float8 / greatest(count(*), 1) AS owned,
           count(customer.parent_id) AS parents
    FROM of_customer JOIN customer ON customer.id = customer_id
""")

# Lines of one product first: its category and stock are looked up once, not once a line.
_LINES = text("""
    WITH sold AS (
        SELECT line.product_id, sum(line.base_net) AS net,
               sum(line.base_net) FILTER (WHERE line.base_unit_cost IS NOT NULL) AS costed
        FROM order_line AS line JOIN sales_order ON sales_order.id = line.order_id
        WHERE line.ordered_at < :as_of AND line.ordered_at >= CAST(:as_of AS timestamptz) - interval '1 year'
          AND line.is_counted AND line.kind = 'product' AND line.base_net > 0 AND sales_order.kind = 'sale'
        GROUP BY line.product_id
    )
    SELECT coalesce(sum(costed) / nullif(sum(net), 0), 0)::float8 AS costed,
           coalesce(sum(net) FILTER (WHERE category IS NOT NULL) / nullif(sum(net), 0), 0)::float8 AS categorised,
           count(stock)::float8 / greatest(count(*), 1) AS stocked,
           (SELECT count(*) FROM price_agreement) AS agreements,
           (SELECT count(*) FROM price_break) AS price_breaks
    FROM sold JOIN product ON product.id = sold.product_id
""")

_RUNS = text(
    "SELECT DISTINCT ON (model) model, id, as_of, grade FROM model_run WHERE state IN ('current', 'rejected')"
    " ORDER BY model, state, id DESC"
)


def holdings(connection: Connection, as_of: datetime, zone: str) -> Holdings:
    """Count what is held of the time before a moment."""
    orders = connection.execute(_ORDERS, {"as_of": as_of, "zone": zone}).mappings().one()
    lines = connection.execute(_LINES, {"as_of": as_of}).mappings().one()
    return Holdings(**orders, **lines)


def latest_runs(connection: Connection) -> dict[str, ModelRun]:
    """Return the current run of every model, or where it has none the last that was rejected."""
    return {row.model: ModelRun(row.id, row.as_of, row.grade) for row in connection.execute(_RUNS)}
