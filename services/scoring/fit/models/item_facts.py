"""Item facts: what is usual for a product among accounts: first order, quantity, price, margin, repeats."""

from collections.abc import Iterator
from datetime import timedelta

import ibis

from services.scoring.fit.facts import Facts, naive
from services.scoring.fit.model import Derived, Model

RECENT = timedelta(days=60)
YEAR = timedelta(days=365)
PRICED = timedelta(days=180)
REPEATS_WITHIN_DAYS = 90


def build(facts: Facts) -> Iterator[Derived]:
    """Yield a row for every product; what nobody knows is NULL."""
    rows = facts.products.select("product_id", "name", "category")
    for part in (
        _buyers(facts),
        _first_quantity(facts),
        _quantity(facts),
        _price(facts),
        _margin(facts, "product_id", "margin_rate"),
        _repeats(facts),
    ):
        rows = rows.left_join(part, "product_id").drop("product_id_right")
    rows = rows.left_join(_margin(facts, "category", "category_margin_rate"), "category").drop(
        "category_right"
    )
    counted = rows.mutate(buyers=rows.buyers.fill_null(0), recent_buyers=rows.recent_buyers.fill_null(0))
    yield Derived("item_fact", counted.drop("category"))


MODEL = Model("item_facts", build, keys={"item_fact": ("product_id",)})


def _since(facts: Facts, span: timedelta) -> ibis.Table:
    return facts.accounts.filter(facts.accounts.at >= naive(facts.as_of - span))


def _buyers(facts: Facts) -> ibis.Table:
    accounts = facts.accounts
    is_recent = accounts.at >= naive(facts.as_of - RECENT)
    return accounts.group_by("product_id").agg(
        buyers=accounts.customer_id.nunique(), recent_buyers=accounts.customer_id.nunique(where=is_recent)
    )


def _first_quantity(facts: Facts) -> ibis.Table:
    firsts = facts.accounts.join(facts.history, ["customer_id", "product_id"])
    firsts = firsts.filter(firsts.day == firsts.first_day)
    first = firsts.group_by("customer_id", "product_id").agg(quantity=firsts.quantity.sum())
    return first.group_by("product_id").agg(first_quantity=first.quantity.median())


def _quantity(facts: Facts) -> ibis.Table:
    lines = _since(facts, YEAR)
    return lines.group_by("product_id").agg(line_quantity=lines.quantity.median())


def _price(facts: Facts) -> ibis.Table:
    """In base currency, so that offers in any currency can be valued."""
    lines = _since(facts, PRICED)
    return lines.group_by("product_id").agg(unit_price=(lines.base_net / lines.quantity).median())


def _margin(facts: Facts, key: str, name: str) -> ibis.Table:
    """Margin rate of the middle line whose cost is known: 1 - cost / net."""
    lines = _since(facts, YEAR).join(facts.products.select("product_id", "category"), "product_id")
    known = lines.filter(lines.unit_cost.notnull() & (lines.base_net > 0) & lines[key].notnull())
    rate = 1 - known.unit_cost * known.quantity / known.base_net
    return known.group_by(key).agg(rate.median().name(name))


def _repeats(facts: Facts) -> ibis.Table:
    """Further order days in the 90 days after a first purchase, among first purchases that had their 90 days."""
    within = ibis.interval(days=REPEATS_WITHIN_DAYS)
    history = facts.history
    ripe = history.filter(history.first_day + within <= ibis.literal(facts.today))
    lines = facts.accounts.join(
        ripe.select("customer_id", "product_id", "first_day"), ["customer_id", "product_id"]
    )
    later = lines.filter((lines.day > lines.first_day) & (lines.day <= lines.first_day + within))
    days = later.select("customer_id", "product_id", "day").distinct()
    again = days.group_by("product_id").agg(days=days.count())
    firsts = ripe.group_by("product_id").agg(firsts=ripe.count())
    joined = firsts.left_join(again, "product_id")
    return joined.select("product_id", repeats=joined.days.fill_null(0) / joined.firsts)
