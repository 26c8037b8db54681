"""Corrections: what the kinds that find goods sold too cheaply have in common.

Each finds items of a customer whose price should be put right. What an item loses in a quarter is `loss`, in the
currency of its prices; acting is expected to win (p1 - p0) x the loss, which is capped at the customer's own
90th percentile of a quarter's margin.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import ibis

from services.scoring import day_signals
from services.scoring.day_signals import Wording
from services.scoring.effects import EFFECTS, gain
from services.scoring.price_gaps import QUARTER, Sales, priced_after
from services.scoring.value import CENT, exact, number, readable, rounded, shortened
from shared.domain.signal import Evidence, Signal

P0 = 0.20
"""Chance that a price is put right although nobody acts: assumed until measured."""

NAMED = 3
"""How many items a message names."""

FIRST_WIDE = 3
"""Bands of smaller quantities hold one number each."""

SHOWS_FOR = timedelta(days=30)
HALF = 0.5
_BAND = ("product_id", "min_quantity")


def usual_quarter(purchases: ibis.Table, assumed_margin: float) -> ibis.Table:
    """Return per customer `quarter_margin`, the 90th percentile of a quarter's margin, in base currency.

    `purchases` are priced ones; where a cost is unknown, the assumed margin rate holds.
    """
    cost_share = purchases.unit_cost * purchases.quantity / purchases.net
    known = purchases.base_net * (1 - cost_share)
    margin = ibis.coalesce(known, purchases.base_net * assumed_margin)
    quarter = (purchases.age / QUARTER).floor()
    rows = purchases.select("customer_id", quarter=quarter, margin=margin)
    quarters = rows.group_by("customer_id", "quarter").agg(margin=rows.margin.sum())
    cap = quarters.group_by("customer_id").agg(quarter_margin=quarters.margin.quantile(0.9))
    return cap.mutate(quarter_margin=ibis.greatest(cap.quarter_margin, 0.0))


def valued(rows: ibis.Table, kind: str) -> ibis.Table:
    """Add `p0`, `stake` and `gain` to rows with `found`, `loss` (own currency), `rate` (to base), `quarter_margin`.

    What is found `fires`; `gain` ranks rows, at the effect of acting that is assumed where nothing is set.
    """
    stake = ibis.least(ibis.greatest(rows.loss, 0.0) * rows.rate, rows.quarter_margin)
    return rows.mutate(
        p0=ibis.literal(P0, "float64"),
        stake=stake,
        gain=stake * gain(P0, 1.0, EFFECTS[kind]),
        fires=rows.found,
    )


def without_agreed(rows: ibis.Table, agreements: ibis.Table | None, as_of: date) -> ibis.Table:
    """Leave out the items whose price is agreed with the customer on that day: an agreed price is no leak.

    `agreements` has customer_id, product_id, valid_from and valid_to (NULL: open); None where none was ever agreed.
    """
    if agreements is None:
        return rows
    day = ibis.literal(as_of)
    valid = agreements.filter(
        (agreements.valid_from <= day) & (agreements.valid_to.isnull() | (agreements.valid_to >= day))
    )
    return rows.anti_join(valid, ["customer_id", "product_id"])


def listed(items: ibis.Table, products: ibis.Table, columns: Sequence[str]) -> ibis.Table:
    """Return per customer the list `items`, the greatest loss first: product, name, band and the columns."""
    named = items.left_join(products.select("product_id", "name"), "product_id").drop("product_id_right")
    told = ["product_id", "name", "min_quantity", "loss", *columns]
    rows = ibis.struct({name: named[name] for name in told}).collect(
        order_by=[ibis.desc(named.loss), named.product_id, named.min_quantity]
    )
    return named.group_by("customer_id").agg(items=rows)


def put_right(facts: Sales, as_of: datetime, rows: ibis.Table) -> ibis.Table:
    """Return per customer of a kind's `rows` of `as_of` whether the prices were put right in the 90 days after.

    `facts` reach over those days. `happened`: at least half, by money, of what was bought again of the items that lost
    was at `right_price` or above; NULL where none was bought again, so that nobody knows. `revenue` and `margin` are of
    what was bought again and has a known cost.
    """
    after = priced_after(facts, as_of.date())
    each = rows.select("customer_id", item=rows["items"].unnest())
    wrong = each.select("customer_id", **{name: each.item[name] for name in (*_BAND, "loss", "right_price")})
    again = wrong.filter(wrong.loss > 0).join(after, ["customer_id", *_BAND])
    right = ibis.coalesce(again.net.sum(where=again.price >= again.right_price), 0.0) / again.net.sum()
    judged = again.group_by("customer_id").agg(
        happened=right >= HALF,
        revenue=again.base_net.sum(),
        margin=(again.base_net * (1 - again.unit_cost * again.quantity / again.net)).sum(),
    )
    both = rows.select("customer_id").left_join(judged, "customer_id")
    return both.select("customer_id", "happened", "revenue", "margin")


def signal(row: Mapping[str, Any], words: Wording) -> Signal:
    """Return the signal of a row in these words, valued by its `stake`."""
    revenue = _cents(row["net_recent"] * row["rate"])
    return day_signals.signal(row, replace(words, revenue=revenue), stake=row["stake"], basis="estimated")


def lost(row: Mapping[str, Any]) -> float:
    """Return what is at stake in the currency of the prices."""
    return float(row["stake"] / row["rate"])


def money(amount: float, currency: str) -> str:
    """An amount as people write it."""
    return rounded(Decimal(str(amount)), currency)


def price(amount: float, currency: str) -> str:
    """A unit price."""
    return exact(_cents(amount), currency)


def on(day: date | datetime) -> str:
    """A day as people write it."""
    return f"{day:%-d %b %Y}"


def name_of(item: Mapping[str, Any]) -> str:
    """The item's name, shortened; its number where nobody named it."""
    return shortened(readable(item["name"] or f"item {item['product_id']}"))


def by_item(
    items: Sequence[Mapping[str, Any]], words: Callable[[Mapping[str, Any]], str]
) -> Iterator[Evidence]:
    """Name the first three products of the items, each once: at several quantities, it is told of each of them."""
    of_product: dict[int, list[Mapping[str, Any]]] = {}
    for each in items:
        of_product.setdefault(each["product_id"], []).append(each)
    for several in list(of_product.values())[:NAMED]:
        by_band = sorted(several, key=lambda each: float(each["min_quantity"]))
        texts = [f"{_band(each['min_quantity'])}: {words(each)}" for each in by_band]
        yield Evidence(name_of(several[0]), " ".join(texts) if len(several) > 1 else words(several[0]))


def item_count(items: Sequence[Mapping[str, Any]]) -> str:
    """How many products the items are of, in words."""
    found = products_in(items)
    return f"{found} items" if found != 1 else "one item"


def products_in(items: Sequence[Mapping[str, Any]]) -> int:
    """How many products the items are of: one bought at two quantities is one."""
    return len({each["product_id"] for each in items})


def _band(start: float) -> str:
    """A quantity band in words, by its least quantity: `price_gaps` has them."""
    if start < 1:
        return "less than 1 at a time"
    last = start if start < FIRST_WIDE else 2 * start - 1
    return f"{start:g} at a time" if last == start else f"{start:g} to {last:g} at a time"


def units(quantity: float) -> str:
    """A quantity in words."""
    return number(Decimal(str(round(quantity, 1 if quantity < 10 else 0))))


def _cents(amount: float) -> Decimal:
    return Decimal(str(amount)).quantize(CENT, ROUND_HALF_UP)
