"""Silence: what a model saw silent in the morning, less what has been bought since or was told late."""

from typing import Any

import ibis


def still_silent(
    facts: Any,  # noqa: ANN401 - of any of our facts
    rows: ibis.Table,
    *key: str,
) -> ibis.Table:
    """Leave out rows whose `silent_days` are broken by a purchase of the key: customer, and product_id or category.

    A customer of `rows` stands for its branches too where there is no more in the key.
    """
    bought = facts.accounts
    if len(key) == 1:
        heads = bought.join(facts.customers.select("customer_id", "head_id"), "customer_id")
        bought = heads.mutate(customer_id=heads.head_id)
    else:
        bought = bought.join(facts.products.select("product_id", "category"), "product_id")
    last = bought.group_by(*key).agg(last_day=bought.day.max())
    both = rows.left_join(last, list(key))
    silent = ibis.literal(facts.today).delta(both.last_day, unit="day")
    kept = both.filter(both.last_day.isnull() | (silent >= both.silent_days))
    return kept.select(rows.columns)
