"""Outcomes: what the orders after a moment say about what was said then.

Each returns a row for every row that was said, with `happened`: the good outcome came although nobody acted; and with
the `revenue` and `margin` that were seen, in base currency, the margin where every cost is known. `facts` reach over
the days within which an outcome is looked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import ibis

if TYPE_CHECKING:
    from services.scoring.engine import Engine

QUARTER = timedelta(days=90)
RECOVERED = 0.8
STILL_DOWN = 0.7
HALF = 0.5

SEEN = ("happened", "confirmed", "revenue", "margin")
"""What an outcome says of a row; its other columns name the row."""

Key = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of one row. None where nobody knows."""

    happened: bool | None
    confirmed: bool | None
    revenue: float | None
    margin: float | None


def looked_up(engine: "Engine", judged: ibis.Table) -> tuple[list[str], dict[Key, Seen]]:
    """Compute what an outcome returned; return the columns that name its rows, and what became of each."""
    names = [name for name in judged.columns if name not in SEEN]
    found = {}
    for row in engine.rows(judged):
        happened = row["happened"]
        opposite = None if happened is None else not happened
        found[tuple(row[name] for name in names)] = Seen(
            happened, row.get("confirmed", opposite), row.get("revenue"), row.get("margin")
        )
    return names, found


def ordered_again(facts: Any, as_of: datetime, rows: ibis.Table) -> ibis.Table:  # noqa: ANN401 - of any of our facts
    """Tell of each customer whether they, or a branch of theirs, ordered."""
    bought = _after(facts.accounts, as_of, QUARTER)
    bought = bought.join(facts.customers.select("customer_id", "head_id"), "customer_id")
    return _found(rows, ("customer_id",), bought.mutate(customer_id=bought.head_id))


def bought_again(
    facts: Any,  # noqa: ANN401
    as_of: datetime,
    rows: ibis.Table,
    key: str,
    within: timedelta = QUARTER,
) -> ibis.Table:
    """Tell of each customer and `key` (product_id or category) whether they bought it."""
    bought = _after(facts.accounts, as_of, within)
    bought = bought.join(facts.products.select("product_id", "category"), "product_id")
    return _found(rows, ("customer_id", key), bought)


def half_bought(facts: Any, as_of: datetime, rows: ibis.Table, within: timedelta) -> ibis.Table:  # noqa: ANN401
    """Tell of each customer and product (the one that names the rest) whether they bought half of `products`."""
    bought = _sums(_after(facts.accounts, as_of, within), ("customer_id", "product_id"))
    named = rows.select("customer_id", "product_id", item=rows.products.unnest().cast("int64"))
    both = named.left_join(
        bought, [named.customer_id == bought.customer_id, named["item"] == bought.product_id]
    )
    return both.group_by("customer_id", "product_id").agg(
        happened=both.seen.count() >= HALF * both.count(),
        revenue=both.revenue.sum(),
        margin=both.margin.sum(),
    )


def quantity_reached(
    facts: Any,  # noqa: ANN401
    as_of: datetime,
    rows: ibis.Table,
    least: str,
    within: timedelta,
) -> ibis.Table:
    """Tell of each customer and product whether one of their orders took the quantity in the column `least`."""
    key = ("customer_id", "product_id")
    bought = _after(facts.accounts, as_of, within)
    wanted = rows.select(*key, wanted=rows[least].cast("float64"))
    reached = bought.join(wanted, list(key))
    return _found(rows, key, reached.filter(reached.quantity >= reached.wanted).drop("wanted"))


def spend_recovered(facts: Any, as_of: datetime, rows: ibis.Table) -> ibis.Table:  # noqa: ANN401
    """Tell of each customer whether their spend is back to four fifths of `usual_quarter`.

    `confirmed`: it stayed 30 % or more below. Between the two neither was right.
    """
    days = _after(facts.order_days, as_of, QUARTER).join(
        facts.customers.select("customer_id", "head_id"), "customer_id"
    )
    spent = days.group_by(customer_id=days.head_id).agg(spent=days.net.sum())
    both = rows.select("customer_id", "usual_quarter").left_join(spent, "customer_id")
    both = both.mutate(revenue=both.spent.fill_null(0.0))
    share = both.revenue / both.usual_quarter
    return both.select("customer_id", "revenue", happened=share >= RECOVERED, confirmed=share <= STILL_DOWN)


def _after(rows: ibis.Table, as_of: datetime, within: timedelta) -> ibis.Table:
    first = as_of.date()
    return rows.filter(rows.day.between(first, first + within - timedelta(days=1)))


def _found(rows: ibis.Table, key: tuple[str, ...], bought: ibis.Table) -> ibis.Table:
    both = rows.select(*key).left_join(_sums(bought, key), list(key))
    return both.select(
        *key, happened=both.seen.notnull(), revenue=both.revenue.fill_null(0.0), margin=both.margin
    )


def _sums(bought: ibis.Table, key: Sequence[str]) -> ibis.Table:
    """Sum purchases; the margin is NULL where one of the costs is unknown."""
    margin = (bought.base_net - bought.unit_cost * bought.quantity).sum()
    is_known = bought.unit_cost.count() == bought.count()
    return bought.group_by(*key).agg(
        seen=bought.count(),
        revenue=bought.base_net.sum(),
        margin=ibis.ifelse(is_known, margin, ibis.null("float64")),
    )
