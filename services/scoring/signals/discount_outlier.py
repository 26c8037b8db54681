"""Discount outlier: a customer pays far less than the accounts that buy alike: for an item, or for all they buy.

Compared are accounts in the same product, quantity band, channel and currency, six months, ten or more of them, one
price each. A discount stands out when it is three robust deviations below the median price and three points beyond
the upper quartile of discounts. Left out: a price that others have too (a break of the list, a clearance), and what
they have not bought for 90 days.

What a customer's terms give them on everything is no discount of an item. The terms are the median discount over five
items or more, each held against three accounts or more; the same test, at five points, holds them against those of ten
or more accounts that buy for about as much. Terms that others have too are no accident. To change what was agreed
is a negotiation: terms are a talking point unless a twentieth of the trade hangs on them.
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
from services.scoring.price_gaps import CELL, FEWEST_PEERS, QUARTER, Sales, priced
from shared.domain.signal import DaySignalKind, Episode, Evidence, Signal, Trigger

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

SHARED_BY_SHARE = 0.02
"""Of many accounts so large a share may have such terms, and each of them still stands apart."""

TERMS_BEYOND_QUARTILE = 0.05
"""Terms are rarely written down here, and size earns some: only what is far beyond the others' is asked about."""

MATERIAL = 0.05
"""Terms that cost less of the trade than this are raised when somebody speaks with the customer anyway."""

SAME_TERMS = 0.01
FEWEST_ITEMS = 5
MOST = 0.60
"""A discount beyond this is another pack or a wrong unit, not a price somebody gave."""


def candidates(facts: Sales, as_of: datetime) -> ibis.Table:
    """Return a row per customer who is comparable in some item: the items that stand out, and what they lose."""
    day = as_of.date()
    sales = priced(facts, day, YEAR)
    compared = without_agreed(_compared(sales.filter(sales.age <= PERIOD)), facts.agreements, day)
    compared = facts.keep("compared_price", lambda: compared)
    cells = _judged(compared, facts.keep("account_terms", lambda: _terms(compared)))
    found = cells.filter(cells.fires)
    accounts = cells.group_by("customer_id").agg(
        currency=cells.currency.max(),
        rate=cells.rate.max(),
        net_recent=cells.net.sum(),
        score=cells.score.max(),
        loss=ibis.coalesce(cells.loss.sum(where=cells.fires), 0.0),
        found=cells.fires.any(),
        **{name: cells[name].max(where=cells.is_apart) for name in _OF_TERMS},
    )
    rows = valued(
        accounts.join(usual_quarter(sales, float(facts.assumptions.margin)), "customer_id"), KIND.name
    )
    lately = sales.filter(sales.age <= PERIOD)
    trade = lately.group_by("customer_id").agg(trade=lately.net.sum() * QUARTER / PERIOD)
    rows = rows.join(trade, "customer_id")
    return rows.left_join(listed(found, facts.products, _SHOWN), "customer_id").drop("customer_id_right")


_SHOWN = ("price", "median_price", "accounts", "quantity", "discount", "last_day", "right_price")
_OF_TERMS = ("terms", "terms_items", "terms_accounts", "terms_quartile")


def _compared(sales: ibis.Table) -> ibis.Table:
    """Return a row per customer and cell that others buy in too: the price, and the discount on the median price."""
    own = sales.group_by("customer_id", *CELL).agg(
        price=sales.price.median(),
        quantity=sales.quantity.sum() * QUARTER / PERIOD,
        net=sales.net.sum() * QUARTER / PERIOD,
        rate=sales.base_net.sum() / sales.net.sum(),
        last_day=sales.day.max(),
        age=sales.age.min(),
    )
    medians = own.group_by(*CELL).agg(
        median_price=own.price.median(), upper_price=own.price.quantile(0.75), accounts=own.count()
    )
    rows = own.join(medians.filter(medians.accounts >= FEWEST_PEERS), list(CELL))
    return rows.mutate(discount=1 - rows.price / rows.median_price)


def _terms(compared: ibis.Table) -> ibis.Table:
    """Return per account with enough items its terms, and whether they stand apart.

    `usual_discount` is the median of its discounts. The terms are the same against the upper quartile of prices: of
    three accounts the customer is one, and would pull a median down. They are held against those of accounts that buy
    for about as much money, within a factor of four.
    """
    rows = compared.filter(compared.discount <= MOST)
    own = rows.group_by("customer_id").agg(
        terms=ibis.greatest((1 - rows.price / rows.upper_price).median(), 0.0),
        usual_discount=ibis.greatest(rows.discount.median(), 0.0),
        terms_items=rows.product_id.nunique(),
        # at what others pay: who gets a discount is held against those who buy as much
        size=((rows.quantity * rows.median_price * rows.rate).sum().log2() / 2).floor(),
    )
    own = own.filter(own.terms_items >= FEWEST_ITEMS)
    usual = own.group_by("size").agg(
        usual_terms=own.terms.median(), of_others=own.usual_discount.median(), terms_accounts=own.count()
    )
    both = own.join(usual, "size")
    spread = both.group_by("size").agg(
        deviation=NORMAL * (both.terms - both.usual_terms).abs().median(),
        terms_quartile=both.terms.quantile(0.75),
    )
    both = both.join(spread, "size").select(*both.columns, "deviation", "terms_quartile")
    lower = ibis.window(group_by="size", order_by=ibis.desc(both.terms), range=(None, SAME_TERMS))
    sharers = both.count().over(lower) - 1
    is_apart = (
        (both.terms_accounts >= FEWEST_ACCOUNTS)
        & (both.terms - both.usual_terms >= OUTLYING * ibis.greatest(both.deviation, LEAST_DEVIATION))
        & (both.terms >= both.terms_quartile + TERMS_BEYOND_QUARTILE)
        & (sharers < ibis.greatest(SHARED_BY, SHARED_BY_SHARE * both.terms_accounts))
    )
    # what stands apart is held against what the others get
    usual_discount = ibis.ifelse(is_apart, both.of_others, both.usual_discount)
    return both.select("customer_id", *_OF_TERMS, usual_discount=usual_discount, is_apart=is_apart)


def _judged(compared: ibis.Table, terms: ibis.Table) -> ibis.Table:
    """Add to the compared cells how far each stands out, and whether it fires.

    Usual are the account's own terms; where these stand apart, those of the others.
    """
    spread = compared.group_by(*CELL).agg(
        deviation=NORMAL * compared.discount.abs().median(), upper_quartile=compared.discount.quantile(0.75)
    )
    rows = compared.join(spread, list(CELL)).join(_sharers(compared), ["customer_id", *CELL])
    rows = rows.left_join(terms, "customer_id").drop("customer_id_right")
    rows = rows.mutate(is_apart=rows.is_apart.fill_null(ibis.literal(value=False)))
    usual = rows.usual_discount.fill_null(0.0)
    excess = rows.discount - usual
    rows = rows.mutate(
        score=excess / ibis.greatest(rows.deviation, LEAST_DEVIATION),
        loss=(rows.median_price * (1 - usual) - rows.price) * rows.quantity,
        right_price=(rows.median_price * (1 - usual) + rows.price) / 2,
        excess=excess,
    )
    stands_out = (
        (rows.accounts >= FEWEST_ACCOUNTS)
        & (rows.score >= OUTLYING)
        & (rows.excess >= rows.upper_quartile + BEYOND_QUARTILE)
        & (rows.sharers < SHARED_BY)
    )
    fires = (
        (stands_out | rows.is_apart & (rows.excess >= BEYOND_QUARTILE))
        & (rows.discount <= MOST)
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
    worst, terms = items[0], row.get("terms")
    if terms is not None:
        return signal(row, _of_terms(row, terms))
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


def _of_terms(row: Mapping[str, Any], terms: float) -> Wording:
    """Word a discount on everything: beside what accounts of their size get."""
    items, currency = row["items"], row["currency"]
    others = (
        f"They pay {terms:.0%} less than others, the median of {row['terms_items']} items. Of {row['terms_accounts']}"
        f" accounts that buy for about as much, three in four get {max(row['terms_quartile'], 0):.0%} or less."
    )
    total = (
        f"At the terms of such accounts, {item_count(items)} would have come to about"
        f" {money(lost(row), currency)} more in 90 days, at the pace of the last six months."
    )
    return Wording(
        kind=KIND.name,
        subject="prices",
        shows_for=SHOWS_FOR,
        cause="terms",
        headline=f"Pays {terms:.0%} less than accounts of their size",
        question=f"Who agreed {terms:.0%} off everything, and for what?",
        is_talking_point=row["loss"] < MATERIAL * row.get("trade", 0.0),
        evidence=(
            Evidence("Their terms", others),
            *by_item(items, lambda item: _item(item, currency)),
            Evidence("Against the usual terms", total),
        ),
    )


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
    version="3",
    trigger=Trigger.CUSTOMER_DAY,
    candidates=candidates,
    tell=tell,
    ends=ends,
    outcome=outcome,
    episode_ttl=timedelta(days=45),
    is_selling=False,
)
