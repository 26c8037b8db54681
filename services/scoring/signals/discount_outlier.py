"""Discount outlier: a customer pays far less for an item than the accounts that buy like quantities of it.

Compared are accounts in the same product, quantity band, channel and currency, six months, ten or more of them, one
price each. A discount stands out when it is three robust deviations below the median price and three points beyond
the upper quartile of discounts. Left out: a price that others have too (a break of the list, a clearance), what the
customer's terms give them on everything, and what they have not bought for 90 days.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import ibis

from services.scoring.corrections import (
    SHOWS_FOR,
    by_item,
    item_count,
    listed,
    lost,
    money,
    name_of,
    on,
    price,
    products_in,
    put_right,
    signal,
    units,
    usual_quarter,
    valued,
    without_agreed,
)
from services.scoring.day_signals import Wording
from services.scoring.facts import OrderFacts
from services.scoring.price_gaps import CELL, QUARTER, Sales, priced
from shared.domain.signal import Action, DaySignalKind, Episode, Evidence, Signal, Trigger

PERIOD = 182
YEAR = 365
FEWEST_ACCOUNTS = 10
OUTLYING = 3.0
BEYOND_QUARTILE = 0.03
NORMAL = 1.4826
"""A median absolute deviation x this estimates a standard deviation."""

LEAST_DEVIATION = 0.01
"""Where most pay the same price the deviation is nothing, and a cent would stand out."""

SHARED_BY = 2
"""A price that two others have too is no accident."""

FEWEST_CELLS = 5
MOST = 0.60
"""A discount beyond this is another pack or a wrong unit, not a price somebody gave."""


def candidates(facts: Sales, as_of: datetime) -> ibis.Table:
    """Return a row per customer who is comparable in some item: the items that stand out, and what they lose."""
    day = as_of.date()
    sales = priced(facts, day, YEAR)
    cells = without_agreed(_cells(sales.filter(sales.age <= PERIOD)), facts.agreements, day)
    found = cells.filter(cells.fires)
    accounts = cells.group_by("customer_id").agg(
        currency=cells.currency.max(),
        rate=cells.rate.max(),
        net_recent=cells.net.sum(),
        score=cells.score.max(),
        loss=ibis.coalesce(cells.loss.sum(where=cells.fires), 0.0),
        found=cells.fires.any(),
    )
    rows = valued(
        accounts.join(usual_quarter(sales, float(facts.assumptions.margin)), "customer_id"), KIND.name
    )
    return rows.left_join(listed(found, facts.products, _SHOWN), "customer_id").drop("customer_id_right")


_SHOWN = ("price", "median_price", "accounts", "quantity", "discount", "last_day", "right_price")


def _cells(sales: ibis.Table) -> ibis.Table:
    """Return a row per customer and cell: the discount on the median price, and how far it stands out."""
    own = sales.group_by("customer_id", *CELL).agg(
        price=sales.price.median(),
        quantity=sales.quantity.sum() * QUARTER / PERIOD,
        net=sales.net.sum() * QUARTER / PERIOD,
        rate=sales.base_net.sum() / sales.net.sum(),
        last_day=sales.day.max(),
        age=sales.age.min(),
    )
    medians = own.group_by(*CELL).agg(median_price=own.price.median(), accounts=own.count())
    rows = own.join(medians.filter(medians.accounts >= FEWEST_ACCOUNTS), list(CELL))
    rows = rows.mutate(discount=1 - rows.price / rows.median_price)
    spread = rows.group_by(*CELL).agg(
        deviation=NORMAL * rows.discount.abs().median(), upper_quartile=rows.discount.quantile(0.75)
    )
    rows = rows.join(spread, list(CELL)).join(_sharers(rows), ["customer_id", *CELL])
    terms = rows.group_by("customer_id").agg(cells=rows.count(), usual=rows.discount.median())
    rows = rows.join(terms, "customer_id")
    usual = ibis.ifelse(rows.cells >= FEWEST_CELLS, ibis.greatest(rows.usual, 0.0), 0.0)
    excess = rows.discount - usual
    rows = rows.mutate(
        score=excess / ibis.greatest(rows.deviation, LEAST_DEVIATION),
        loss=(rows.median_price * (1 - usual) - rows.price) * rows.quantity,
        right_price=(rows.median_price * (1 - usual) + rows.price) / 2,
        excess=excess,
    )
    fires = (
        (rows.score >= OUTLYING)
        & (rows.excess >= rows.upper_quartile + BEYOND_QUARTILE)
        & (rows.discount <= MOST)
        & (rows.sharers < SHARED_BY)
        & (rows.age <= QUARTER)
    )
    return rows.mutate(fires=fires)


def _sharers(rows: ibis.Table) -> ibis.Table:
    """Return per customer and cell how many others pay as little, to a hundredth."""
    ranked = ibis.window(group_by=CELL, order_by=rows.price, range=(None, rows.price * 0))
    return rows.select("customer_id", *CELL, sharers=(rows.count().over(ranked) - 1))


def tell(row: Mapping[str, Any]) -> Signal:
    """Name the three items that lose most, with the customer's price and what others pay."""
    items, currency = row["items"], row["currency"]
    worst = items[0]
    what = item_count(items)
    total = (
        f"At what accounts usually pay for such quantities, {what} would have come to about"
        f" {money(lost(row), currency)} more in 90 days, at the pace of the last six months."
    )
    words = Wording(
        kind=KIND.name,
        subject="prices",
        shows_for=SHOWS_FOR,
        cause="discount",
        headline=f"{what} up to {max(item['discount'] for item in items):.0%} below others"
        if products_in(items) > 1
        else f"Pays {worst['discount']:.0%} less than others for one item",
        question=f"Is {price(worst['price'], currency)} for {name_of(worst)} agreed, or left from an offer?",
        evidence=(
            *by_item(items, lambda item: _item(item, currency)),
            Evidence("Against the usual price", total),
        ),
    )
    return signal(row, words)


def _item(item: Mapping[str, Any], currency: str) -> str:
    return (
        f"{price(item['price'], currency)}, last on {on(item['last_day'])}; {item['accounts']} accounts buying like"
        f" quantities usually pay {price(item['median_price'], currency)} ({item['discount']:.0%} less;"
        f" about {units(item['quantity'])} in 90 days)."
    )


def outcome(facts: Sales, as_of: datetime, rows: ibis.Table) -> ibis.Table:
    """Return per customer `happened`: the price went half way up in the 90 days after; NULL: not bought."""
    return put_right(facts, as_of, rows)


def ends(facts: OrderFacts, episode: Episode) -> None:
    """Return None: the night ends the episode when no item stands out any more."""


KIND: DaySignalKind[OrderFacts] = DaySignalKind(
    name="discount_outlier",
    version="1",
    trigger=Trigger.CUSTOMER_DAY,
    candidates=candidates,
    tell=tell,
    ends=ends,
    outcome=outcome,
    episode_ttl=timedelta(days=45),
    is_selling=False,
    action=Action.CORRECTION,
)
