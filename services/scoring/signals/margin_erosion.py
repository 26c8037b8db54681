"""Margin erosion: a customer's prices slip, item by item, while the market's do not.

Cost known: the margin rate of the same items at the same quantity band, last 90 days against the 12 months before, less
what the item's margin moved for everybody. It fires when the revenue-weighted drop is 2 points or more, stands out from
the spread between the items, and 60 % of the revenue in them falls.

Cost unknown: the order day's median price gap to the market (`price_gaps`). It fires when the gap widens over the order
days by the Mann-Kendall test and by 2 points; or, where only some items slip, when the share of an order day's
items below the market does, by 25 points. Averages weighted by revenue are not used: mix drowns them.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import ibis

from services.scoring.bridge import CAUSES, Bridge, Sold, bridge
from services.scoring.corrections import (
    SHOWS_FOR,
    by_item,
    item_count,
    listed,
    lost,
    money,
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
from services.scoring.price_gaps import QUARTER, Sales, mann_kendall, priced, with_gaps
from shared.domain.signal import DaySignalKind, Episode, Evidence, Signal, Trigger

BEFORE = 365
"""Days that the last 90 are compared with."""

NOTABLE = 0.02
SIGNIFICANT = 1.96
FALLING = 0.60
BELOW = -0.015
"""An item counts as below the market from this gap on."""

NOTABLE_SHARE = 0.25
FEWEST_ORDER_DAYS = 6
FEWEST_BEFORE = 4
FEWEST_ITEMS = 3
FEWEST_PEERS = 4
COST_KNOWN = 0.80
SPREAD = 0.003
"""Least standard error of a drop: three items that fall alike are not proof beyond doubt."""

LARGEST_GAP = 0.5
LEAST_COST_SHARE = 0.05
"""Where the usual cost is next to nothing, the usual price is not reckoned from it."""

ITEM = ("customer_id", "product_id", "min_quantity")


def candidates(facts: Sales, as_of: datetime) -> ibis.Table:
    """Return a row per customer with enough order days: the drop, its significance, what it loses in 90 days."""
    day = as_of.date()
    sales = facts.keep(
        "priced", lambda: without_agreed(priced(facts, day, QUARTER + BEFORE), facts.agreements, day)
    )
    accounts = facts.keep("priced_account", lambda: _accounts(sales))
    gaps = facts.keep("price_gap", lambda: with_gaps(sales))
    trends = facts.keep("price_trend", lambda: _trends(accounts, gaps))
    known = facts.keep("costed_item", lambda: _items_with_cost(sales))
    slipping = trends.filter(trends.is_slipping)
    unknown = _items_by_gap(sales.semi_join(slipping, "customer_id"), gaps.semi_join(slipping, "customer_id"))
    rows = _by_margin(accounts, known).union(_by_gap(trends, unknown))
    usual = usual_quarter(sales, float(facts.assumptions.margin))
    rows = facts.keep("eroding", lambda: valued(rows.join(usual, "customer_id"), KIND.name))
    told = rows.filter(rows.found).select("customer_id", "cost_known")
    items = known.mutate(cost_known=True).union(unknown.mutate(cost_known=False))
    listing = listed(items.semi_join(told, ["customer_id", "cost_known"]), facts.products, _SHOWN)
    return rows.left_join(listing, "customer_id").drop("customer_id_right")


_SHOWN = (
    "quantity_before net_before cost_before quantity net cost old_price old_cost old_day new_price new_cost new_day"
    " right_price market_price"
).split()


def _accounts(sales: ibis.Table) -> ibis.Table:
    """Return per customer how much there is to judge: order days before and lately, sales, share with a cost."""
    is_recent = sales.age <= QUARTER
    rows = sales.group_by("customer_id").agg(
        currency=sales.currency.max(),
        days_before=sales.day.nunique(where=~is_recent),
        days_recent=sales.day.nunique(where=is_recent),
        net_recent=sales.net.sum(where=is_recent),
        rate=sales.base_net.sum() / sales.net.sum(),
        costed=ibis.coalesce(sales.net.sum(where=sales.unit_cost.notnull()), 0.0) / sales.net.sum(),
    )
    enough = (rows.days_before >= 1) & (rows.days_recent >= 1)
    return rows.filter(enough).mutate(cost_known=rows.costed >= COST_KNOWN).drop("costed")


def _items(sales: ibis.Table) -> ibis.Table:
    """Return per customer, product and band what was bought before and lately, the first price and the last."""
    is_recent = sales.age <= QUARTER
    cost = sales.unit_cost * sales.quantity
    totals = {
        "quantity": sales.quantity,
        "net": sales.net,
        "cost": cost,
    }
    before = {f"{name}_before": value.sum(where=~is_recent) for name, value in totals.items()}
    recent = {name: value.sum(where=is_recent) for name, value in totals.items()}
    return sales.group_by(*ITEM).agg(
        **before,
        **recent,
        old_price=sales.price.argmin(sales["at"], where=~is_recent),
        old_cost=sales.unit_cost.argmin(sales["at"], where=~is_recent),
        old_day=sales.day.min(where=~is_recent),
        new_price=sales.price.argmax(sales["at"], where=is_recent),
        new_cost=sales.unit_cost.argmax(sales["at"], where=is_recent),
        new_day=sales.day.max(where=is_recent),
    )


def _items_with_cost(sales: ibis.Table) -> ibis.Table:
    """Return the items whose cost is known, with `drop` of the margin rate beyond the item's own drop for everybody."""
    rows = _items(sales.filter(sales.unit_cost.notnull()))
    rate_before, rate = 1 - rows.cost_before / rows.net_before, 1 - rows.cost / rows.net
    rows = rows.mutate(fall=rate_before - rate, cost_share=1 - rate_before)
    everybody = rows.filter(rows.fall.notnull())
    market = everybody.group_by("product_id").agg(
        usual=everybody.fall.median(), buyers=everybody.customer_id.nunique()
    )
    market = market.filter(market.buyers >= FEWEST_PEERS)
    rows = rows.left_join(market, "product_id").drop("product_id_right", "buyers")
    usual = ibis.greatest(ibis.coalesce(rows.usual, 0.0), 0.0)
    rows = rows.mutate(drop=rows.fall - usual)
    # what the price would have to be for the usual rate: cost / (1 - rate), so more than the points of margin lost
    short = rows["drop"] / ibis.greatest(rows.cost_share, LEAST_COST_SHARE)
    rows = rows.mutate(
        loss=ibis.coalesce(rows.net * short, 0.0),
        right_price=rows.new_price * (1 + short / 2),
        market_price=ibis.null("float64"),
    )
    return rows.select(*ITEM, *_SHOWN, "drop", "loss")


def _by_margin(accounts: ibis.Table, items: ibis.Table) -> ibis.Table:
    """Judge the customers whose costs are known by their margin rates."""
    both = items.filter(items["drop"].notnull())
    drop, net = both["drop"], both.net
    sums = both.group_by("customer_id").agg(
        items=both.count(),
        net=net.sum(),
        mean=(net * drop).sum() / net.sum(),
        falling=net.sum(where=drop > 0) / net.sum(),
        squares=(net * net * drop * drop).sum(),
        crossed=(net * net * drop).sum(),
        weights=(net * net).sum(),
        loss=both.loss.sum(),
    )
    # sum of (w (x - mean))^2 over (sum of w)^2: the squared standard error of a weighted mean
    spread = (sums.squares - 2 * sums["mean"] * sums.crossed + sums["mean"] ** 2 * sums.weights) / sums.net**2
    error = (ibis.greatest(spread, 0.0) + SPREAD**2).sqrt()
    sums = sums.mutate(score=sums["mean"] / error)
    rows = accounts.filter(accounts.cost_known).join(sums, "customer_id")
    rows = rows.filter(
        (rows["items"] >= FEWEST_ITEMS) | (rows.days_recent >= 2) & (rows.days_before >= FEWEST_BEFORE)
    )
    return rows.select(
        *_ACCOUNT,
        score=rows.score,
        drop=rows["mean"],
        share=rows.falling,
        loss=ibis.greatest(rows.loss, 0.0),
        found=(rows["mean"] >= NOTABLE) & (rows.falling >= FALLING) & (rows.score >= SIGNIFICANT),
    )


_ACCOUNT = ("customer_id", "currency", "cost_known", "days_before", "days_recent", "net_recent", "rate")


def _items_by_gap(sales: ibis.Table, gaps: ibis.Table) -> ibis.Table:
    """Return the items with a market price: what the last 90 days would have brought at the customer's usual gap."""
    is_recent = gaps.age <= QUARTER
    own = gaps.group_by(*ITEM).agg(usual_gap=gaps.gap.median(where=~is_recent))
    overall = gaps.group_by("customer_id").agg(overall_gap=gaps.gap.median(where=~is_recent))
    lines = gaps.filter(is_recent).join(own, list(ITEM)).join(overall, "customer_id")
    change = ibis.coalesce(lines.usual_gap, lines.overall_gap) - lines.gap
    change = ibis.least(ibis.greatest(change, -LARGEST_GAP), LARGEST_GAP)
    lossy = lines.mutate(lost=ibis.coalesce(lines.net * (change.exp() - 1), 0.0))
    losses = lossy.group_by(*ITEM).agg(
        loss=lossy.lost.sum(), market_price=lossy.market_price.argmax(lossy["at"])
    )
    rows = _items(sales).join(losses, list(ITEM))
    drop = rows.loss / rows.net
    rows = rows.mutate(drop=drop, right_price=rows.new_price * (1 + drop / 2))
    return rows.select(*ITEM, *_SHOWN, "drop", "loss")


def _trends(accounts: ibis.Table, gaps: ibis.Table) -> ibis.Table:
    """Judge the customers whose costs are unknown by the trend of their price gaps."""
    orders = gaps.group_by("customer_id", "day").agg(
        age=gaps.age.max(), gap=gaps.gap.median(), below=(gaps.gap < BELOW).cast("float64").mean()
    )
    is_recent = orders.age <= QUARTER
    levels = orders.group_by("customer_id").agg(
        days=orders.count(),
        drop=orders.gap.median(where=~is_recent) - orders.gap.median(where=is_recent),
        share=orders.below.mean(where=is_recent) - orders.below.mean(where=~is_recent),
    )
    falls, spreads = mann_kendall(orders, "gap"), mann_kendall(orders, "below")
    rows = accounts.filter(~accounts.cost_known & (accounts.days_before >= FEWEST_BEFORE))
    rows = rows.join(levels.filter(levels.days >= FEWEST_ORDER_DAYS), "customer_id")
    rows = rows.join(falls.select("customer_id", falling=-falls.z), "customer_id")
    rows = rows.join(spreads.select("customer_id", spreading=spreads.z), "customer_id")
    is_falling = (rows.falling > SIGNIFICANT) & (rows["drop"] > NOTABLE)
    is_spreading = (rows.spreading > SIGNIFICANT) & (rows.share > NOTABLE_SHARE)
    return rows.mutate(is_slipping=is_falling | is_spreading)


def _by_gap(trends: ibis.Table, items: ibis.Table) -> ibis.Table:
    """Return the customers judged by their trend, with what those whose prices slip lose by it."""
    losses = items.group_by("customer_id").agg(loss=items.loss.sum())
    rows = trends.left_join(losses, "customer_id").drop("customer_id_right")
    loss = ibis.coalesce(rows.loss, 0.0)
    found = rows.is_slipping & (loss > 0)
    return rows.select(
        *_ACCOUNT,
        score=ibis.greatest(rows.falling, rows.spreading),
        drop=rows["drop"],
        share=rows.share,
        # what is no trend is noise, and its sum over many items may be anything
        loss=ibis.ifelse(found, loss, 0.0),
        found=found,
    )


def tell(row: Mapping[str, Any]) -> Signal:
    """Word the drop, its three worst items, and where the cost is known the bridge of the margin."""
    return signal(row, _by_bridge(row) if row["cost_known"] else _by_market(row))


def _by_market(row: Mapping[str, Any]) -> Wording:
    currency, since = row["currency"], on(row["as_of"] - timedelta(days=QUARTER))
    losing = [item for item in row["items"] if item["loss"] > 0]
    share = sum(item["loss"] for item in losing) / sum(item["net"] for item in losing)
    plain = [item for item in losing if _is_lower(item)]
    total = (
        f"Since {since} they bought for {money(row['net_recent'], currency)}. Measured by what other accounts pay, the"
        f" same goods at their terms of the year before would have come to about {money(lost(row), currency)} more"
        f" (estimated)."
    )
    return Wording(
        kind=KIND.name,
        subject="prices",
        shows_for=SHOWS_FOR,
        cause="price",
        headline=f"Prices {_percent(share)} lower on {products_in(losing)} of {item_count(row['items'])}",
        question="Who agreed the lower prices, and until when do they hold?",
        evidence=(Evidence("Prices since then", total), *by_item(plain, lambda item: _item(item, currency))),
        detail={"cause": "price", "items": products_in(losing)},
    )


def _is_lower(item: Mapping[str, Any]) -> bool:
    """Is the item's last price visibly below its first, or below what others pay?"""
    return any(
        before is not None and item["new_price"] < before * 0.995
        for before in (item["old_price"], item["market_price"])
    )


def _by_bridge(row: Mapping[str, Any]) -> Wording:
    currency, since = row["currency"], on(row["as_of"] - timedelta(days=QUARTER))
    found = bridge(
        (_key(item), _sold(item, "_before", BEFORE), _sold(item, "", QUARTER)) for item in row["items"]
    )
    cause = found.cause(("price", "cost")) or "price"
    items = {_key(item): item for item in row["items"]}
    same = [item for item in row["items"] if item["net_before"] and item["net"]]
    net = sum(item["net"] for item in same)
    usual = sum(item["net"] * (1 - item["cost_before"] / item["net_before"]) for item in same) / net
    now = 1 - sum(item["cost"] for item in same) / net
    total = (
        f"{_percent(now)} since {since}, {_percent(usual)} in the year before, on the {item_count(same)} bought in"
        f" both: {money(lost(row), currency)} less margin in 90 days."
    )
    losing = [name for name in found.culprits(("price", "cost"), len(items)) if items[name]["loss"] > 0]
    return Wording(
        kind=KIND.name,
        subject="prices",
        shows_for=SHOWS_FOR,
        cause=cause,
        headline=f"Margin {_percent(now)}, usually {_percent(usual)}, on the same items",
        question=_QUESTIONS[cause],
        evidence=(
            Evidence("Margin on the same items", total),
            *by_item([items[name] for name in losing], lambda item: _item(item, currency)),
            Evidence("Margin in 90 days beside a usual quarter", _spoken(found, currency)),
        ),
        detail={"cause": cause, "bridge": {name: str(getattr(found.effects, name)) for name in CAUSES}},
    )


_QUESTIONS = {
    "price": "Who agreed the lower prices, and until when do they hold?",
    "cost": "Which of these prices can follow what the goods now cost us?",
}


def _key(item: Mapping[str, Any]) -> str:
    return f"{item['product_id']}:{item['min_quantity']:g}"


def _sold(item: Mapping[str, Any], period: str, days: int) -> Sold:
    """What was sold in a period, scaled to 90 days."""
    amounts = (Decimal(str(item[f"{name}{period}"] or 0)) for name in ("quantity", "net", "cost"))
    return Sold(*(amount * QUARTER / days for amount in amounts))


def _spoken(found: Bridge, currency: str) -> str:
    """The bridge in one sentence: each effect that is not nothing, and what they sum to."""
    effects = {_SPOKEN[name]: getattr(found.effects, name) for name in CAUSES}
    parts = [f"{name} {_signed(effect, currency)}" for name, effect in effects.items() if effect]
    return f"{_signed(found.effects.total, currency)}: {', '.join(parts)}."


_SPOKEN = {
    "price": "price",
    "cost": "cost",
    "mix": "other items",
    "volume": "quantity",
    "new": "items or pack sizes new",
    "lost": "items or pack sizes not bought",
}


def _signed(amount: Decimal, currency: str) -> str:
    return f"{'-' if amount < 0 else '+'}{money(abs(float(amount)), currency)}"


def _item(item: Mapping[str, Any], currency: str) -> str:
    """What an item cost the customer, and us, before and lately."""
    new = f"{price(item['new_price'], currency)} on {on(item['new_day'])}, {units(item['quantity'])} bought"
    old = f"{price(item['old_price'], currency)} on {on(item['old_day'])}, now " if item["old_day"] else ""
    costs = ""
    if item["old_cost"] is not None and item["new_cost"] is not None:
        costs = f" It cost us {price(item['old_cost'], currency)}, now {price(item['new_cost'], currency)}."
    others = f" Others pay {price(item['market_price'], currency)}." if item["market_price"] else ""
    return f"{old}{new}: about {money(item['loss'], currency)} lost.{costs}{others}"


def _percent(share: float) -> str:
    return f"{share:.0%}" if abs(share) >= 0.1 else f"{share:.1%}"


def outcome(facts: Sales, as_of: datetime, rows: ibis.Table) -> ibis.Table:
    """Return per customer `happened`: half of what slipped came back in the 90 days after; NULL: not bought."""
    return put_right(facts, as_of, rows)


def ends(facts: OrderFacts, episode: Episode) -> None:
    """Return None: one order shows no trend, so the night ends the episode when the drop is over."""


KIND: DaySignalKind[OrderFacts] = DaySignalKind(
    name="margin_erosion",
    version="2",
    trigger=Trigger.CUSTOMER_DAY,
    candidates=candidates,
    tell=tell,
    ends=ends,
    outcome=outcome,
    episode_ttl=timedelta(days=45),
    is_selling=False,
    needs=("orders", "history"),
)
