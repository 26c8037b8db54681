"""Cost not passed on: what the goods cost us rose, and a customer pays as before a month and more later.

For each item a customer bought in the year before its last rise and again 30 days or more after it, in the same
quantity band: pass-through = rise of the price over rise of the cost, in money, so that the margin of a unit is kept,
not its rate. Below a half it fires, unless most accounts of the item pay as before: then its list price did not
follow, and no rep can put that right with one customer. What is missing is (rise of cost - rise of price, where it
rose) x what the customer buys in 90 days.
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
    put_right,
    signal,
    units,
    usual_quarter,
    valued,
    without_agreed,
)
from services.scoring.day_signals import Wording
from services.scoring.facts import OrderFacts
from services.scoring.price_gaps import QUARTER, Sales, priced
from shared.domain.signal import DaySignalKind, Episode, Evidence, Signal, Trigger

PASSED_ON = 0.50
NOTABLE_RISE = 0.02
SETTLING = 30
"""Days a customer is given after a rise: orders agreed before it, and price lists sent out, take a month."""

LARGEST_FALL = 0.10
"""A price that fell further was an offer or a clearance, whatever the cost did."""

FEW_ACCOUNTS = 5
"""Fewer show nothing of the price list."""
LIST_PASSED_ON = 0.50
"""Where most accounts pay as before, the list did not follow the cost: a decision about a product, not a customer."""

PERIOD = 365
BEFORE = 365
ITEM = ("customer_id", "product_id", "min_quantity")


def candidates(facts: Sales, as_of: datetime) -> ibis.Table:
    """Return a row per customer who bought an item before and after its cost rose: what of it they pay."""
    day = as_of.date()
    sales = priced(facts, day, PERIOD + BEFORE)
    items = without_agreed(_items(sales), facts.agreements, day)
    accounts = items.group_by("customer_id").agg(
        currency=items.currency.max(),
        rate=items.base_net.sum() / items.net.sum(),
        net_recent=items.net.sum() * QUARTER / PERIOD,
        score=1
        - (ibis.greatest(items.price_rise, 0.0) * items.quantity).sum()
        / (items.cost_rise * items.quantity).sum(),
        loss=ibis.coalesce(items.loss.sum(where=items.fires), 0.0),
        found=items.fires.any(),
    )
    rows = valued(
        accounts.join(usual_quarter(sales, float(facts.assumptions.margin)), "customer_id"), KIND.name
    )
    found = items.filter(items.fires)
    return rows.left_join(listed(found, facts.products, _SHOWN), "customer_id").drop("customer_id_right")


_SHOWN = (
    "old_price old_cost old_day new_price new_cost new_day risen_on quantity cost_rise price_rise right_price"
).split()


def rises(sales: ibis.Table) -> ibis.Table:
    """Return per product the day of its last rise of cost within the year, 2 % or more and 30 days old at least.

    A product's cost on a day is the median of its lines, in base currency; a fall after the rise makes it none.
    """
    costed = sales.filter(sales.unit_cost.notnull() & (sales.unit_cost > 0))
    cost = costed.unit_cost * costed.base_net / costed.net
    days = costed.group_by("product_id", "day").agg(cost=cost.median(), age=costed.age.max())
    in_time = ibis.window(group_by=days.product_id, order_by=days.day)
    steps = days.mutate(before=days.cost.lag().over(in_time))
    change = steps.cost / steps.before - 1
    moved = steps.filter(change.abs() >= NOTABLE_RISE).mutate(is_rise=change > 0)
    last = moved.group_by("product_id").agg(
        risen_on=moved.day.max(), risen_age=moved.age.min(), is_rise=moved.is_rise.argmax(moved.day)
    )
    return last.filter(last.is_rise & (last.risen_age >= SETTLING) & (last.risen_age <= PERIOD)).drop(
        "is_rise"
    )


def _items(sales: ibis.Table) -> ibis.Table:
    """Return what customers bought before a rise and 30 days or more after it: prices, costs, what is missing."""
    rows = sales.join(rises(sales), "product_id")
    is_before = (rows.age > rows.risen_age) & (rows.age <= rows.risen_age + BEFORE)
    is_after = rows.age <= rows.risen_age - SETTLING
    items = rows.group_by(*ITEM).agg(
        currency=rows.currency.max(),
        old_price=rows.price.argmax(rows["at"], where=is_before),
        old_cost=rows.unit_cost.argmax(rows["at"], where=is_before),
        old_day=rows.day.max(where=is_before),
        new_price=rows.price.argmax(rows["at"], where=is_after),
        new_cost=rows.unit_cost.argmax(rows["at"], where=is_after),
        new_day=rows.day.max(where=is_after),
        risen_on=rows.risen_on.max(),
        quantity=rows.quantity.sum(where=rows.age <= PERIOD) * QUARTER / PERIOD,
        net=rows.net.sum(where=rows.age <= PERIOD),
        base_net=rows.base_net.sum(where=rows.age <= PERIOD),
        latest=rows.age.min(),
    )
    items = items.mutate(
        cost_rise=items.new_cost - items.old_cost, price_rise=items.new_price - items.old_price
    )
    items = items.filter(items.cost_rise > 0, items.price_rise.notnull())
    # a price that fell is another question, and its money is not counted here
    missing = items.cost_rise - ibis.greatest(items.price_rise, 0.0)
    fires = (
        (items.price_rise < PASSED_ON * items.cost_rise)
        & (items.price_rise > -LARGEST_FALL * items.old_price)
        & (items.latest <= PERIOD / 2)
    )
    all_accounts = ibis.window(group_by=items.product_id)
    passed_on = (items.price_rise >= PASSED_ON * items.cost_rise).cast("float64").mean().over(all_accounts)
    accounts = items.customer_id.count().over(all_accounts)
    return items.mutate(
        fires=fires & ((accounts < FEW_ACCOUNTS) | (passed_on >= LIST_PASSED_ON)),
        loss=missing * items.quantity,
        right_price=items.new_price + missing / 2,
    )


def tell(row: Mapping[str, Any]) -> Signal:
    """Name the three items that lose most, with price and cost before and after the rise."""
    items, currency = row["items"], row["currency"]
    worst = items[0]
    what = item_count(items)
    total = (
        f"With the rise passed on, {what} would bring about {money(lost(row), currency)} more in 90 days, at the pace"
        " of the last year."
    )
    words = Wording(
        kind=KIND.name,
        subject="prices",
        shows_for=SHOWS_FOR,
        cause="cost",
        headline=f"Cost rose on {what}, their price did not",
        question=f"Can {name_of(worst)} go up with what it now costs us?",
        evidence=(*by_item(items, lambda item: _item(item, currency)), Evidence("What is missing", total)),
    )
    return signal(row, words)


def _item(item: Mapping[str, Any], currency: str) -> str:
    before, now = price(item["old_cost"], currency), price(item["new_cost"], currency)
    return (
        f"Cost {now} since {on(item['risen_on'])}, before {before}."
        f" They paid {price(item['new_price'], currency)} on {on(item['new_day'])},"
        f" {price(item['old_price'], currency)} on {on(item['old_day'])}; about {units(item['quantity'])} in 90 days."
    )


def outcome(facts: Sales, as_of: datetime, rows: ibis.Table) -> ibis.Table:
    """Return per customer `happened`: half of the rise was paid in the 90 days after; NULL: not bought."""
    return put_right(facts, as_of, rows)


def ends(facts: OrderFacts, episode: Episode) -> None:
    """Return None: the night ends the episode when the rise is passed on."""


KIND: DaySignalKind[OrderFacts] = DaySignalKind(
    name="cost_not_passed_on",
    version="1",
    trigger=Trigger.CUSTOMER_DAY,
    candidates=candidates,
    tell=tell,
    ends=ends,
    outcome=outcome,
    episode_ttl=timedelta(days=45),
    is_selling=False,
    needs=("orders", "history", "costs"),
)
