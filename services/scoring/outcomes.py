"""Outcomes: what the orders of the 90 days after a moment say about what was said then.

Each returns a row for every row that was said, with `happened`: the good outcome came although nobody acted. `facts`
reach over those 90 days.
"""

from datetime import datetime, timedelta
from typing import Any

import ibis

HORIZON_DAYS = 90
RECOVERED = 0.8
STILL_DOWN = 0.7


def ordered_again(facts: Any, as_of: datetime, rows: ibis.Table) -> ibis.Table:  # noqa: ANN401 - of any of our facts
    """Tell of each customer whether they, or a branch of theirs, ordered."""
    orders = _after(facts.accounts, as_of).select("customer_id").distinct()
    orders = orders.join(facts.customers.select("customer_id", "head_id"), "customer_id")
    return _found(rows, ("customer_id",), orders.select(customer_id=orders.head_id))


def bought_again(facts: Any, as_of: datetime, rows: ibis.Table, key: str) -> ibis.Table:  # noqa: ANN401
    """Tell of each customer and `key` (product_id or category) whether they bought it."""
    bought = _after(facts.accounts, as_of).join(facts.products.select("product_id", "category"), "product_id")
    return _found(rows, ("customer_id", key), bought.select("customer_id", key))


def spend_recovered(facts: Any, as_of: datetime, rows: ibis.Table) -> ibis.Table:  # noqa: ANN401
    """Tell of each customer whether their spend is back to four fifths of `usual_quarter`.

    `confirmed`: it stayed 30 % or more below. Between the two neither was right.
    """
    days = _after(facts.order_days, as_of).join(
        facts.customers.select("customer_id", "head_id"), "customer_id"
    )
    spent = days.group_by(customer_id=days.head_id).agg(spent=days.net.sum())
    both = rows.select("customer_id", "usual_quarter").left_join(spent, "customer_id")
    share = both.spent.fill_null(0.0) / both.usual_quarter
    return both.select("customer_id", happened=share >= RECOVERED, confirmed=share <= STILL_DOWN)


def _after(rows: ibis.Table, as_of: datetime) -> ibis.Table:
    first = as_of.date()
    return rows.filter(rows.day.between(first, first + timedelta(days=HORIZON_DAYS - 1)))


def _found(rows: ibis.Table, key: tuple[str, ...], seen: ibis.Table) -> ibis.Table:
    marked = seen.distinct().mutate(seen=True)
    both = rows.select(*key).left_join(marked, list(key))
    return both.select(*key, happened=both.seen.fill_null(False))
