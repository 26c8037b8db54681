"""Rows of a model as they hold this morning: less silences broken since, and at the customer's own margin."""

from datetime import timedelta
from typing import Any

import ibis

from services.scoring.effects import ASSUMED_MARGIN

WINDOW = timedelta(days=365)
LEAST_KNOWN = 0.5
"""The cost of half of what they bought, by money, must be known to speak for the rest."""


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


def at_own_margin(facts: Any, rows: ibis.Table, *, of_heads: bool = False) -> ibis.Table:  # noqa: ANN401 - of any of our facts
    """Restate `gain` of a model's rows, reckoned at ASSUMED_MARGIN, at the customer's own margin.

    Adds `margin_rate` and `is_margin_assumed`. With `of_heads` the rows are of head offices: their branches count too.
    """
    bought = facts.accounts
    bought = bought.filter((bought.base_net > 0) & (bought.day >= facts.today - WINDOW))
    heads = facts.customers.select("customer_id", "head_id")
    bought = bought.join(heads, "customer_id")
    whose = bought.head_id if of_heads else bought.customer_id
    is_known = bought.unit_cost.notnull()
    sums = bought.group_by(whose=whose).agg(
        net=bought.base_net.sum(),
        known=bought.base_net.sum(where=is_known),
        cost=(bought.unit_cost * bought.quantity).sum(where=is_known),
    )
    costed = sums.filter(sums.known >= LEAST_KNOWN * sums.net)
    rates = costed.select("whose", own_rate=ibis.greatest(1 - costed.cost / costed.known, 0.0))
    joined = rows.left_join(rates, rows.customer_id == rates.whose).drop("whose")
    rate = joined.own_rate.fill_null(float(facts.assumptions.margin))
    return joined.mutate(
        margin_rate=rate,
        is_margin_assumed=joined.own_rate.isnull(),
        gain=joined.gain * rate / ASSUMED_MARGIN,
    ).drop("own_rate")
