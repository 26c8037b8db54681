"""Due: what live customers take again and again in a steady rhythm, and would have taken again by now.

Steady are five days or more, not more than six weeks apart, whose gaps vary by no more than six tenths of their mean.
On a gift wholesaler that leaves one list in seven of those worth a call. At least half of a list was then bought within
14 days in 0.42 of cases, against 0.20 of all (lists of 230 pounds and more, ten Mondays from September 2010: the weeks
on which the rule was chosen).

The chance is that of the customer's whole list: that half of it is bought within 14 days by itself, as often as lists
of about the same pace were in the company's last twelve weeks.
"""

from collections.abc import Sequence
from datetime import date, timedelta

import ibis

from services.scoring.effects import ASSUMED_MARGIN, EFFECTS
from services.scoring.fit.calibration import bands, bins_of
from services.scoring.fit.facts import Facts

REMEMBERED_DAYS = 365
FEWEST_DAYS = 5
LONGEST_GAP = 42
STEADY = 0.6
"""The standard deviation of the gaps beside their mean, at most: of what varies more nobody can say when it is due."""

DUE, LATEST = 1.0, 2.0
"""Gaps since the last from which an item is due, and from which it is no longer due, but bought elsewhere."""

STOCKED_UP = 1.75
"""A last quantity of so many times the usual lasts that much longer."""

LIVE_WITHIN_DAYS = 90
SELLING_DAYS = 60
LONGEST_LIST = 10
WITHIN_DAYS = 14
JUDGED_MOMENTS = 6
BINS = 10
HALF = 0.5


def due_items(facts: Facts) -> ibis.Table | None:
    """Return the due items of each customer, with the chance of their list; None where no past day had any."""
    days = facts.engine.keep("due_day", _days(facts))
    moments = [facts.today - timedelta(days=WITHIN_DAYS * (step + 1)) for step in range(JUDGED_MOMENTS)]
    steps = bands(facts.engine.rows(bins_of(_judged(facts, days, moments), BINS)))
    if steps is None:
        return None
    known = facts.engine.load("due_step", steps.to_reader())
    now = facts.engine.keep("due_now", _due(facts, days, facts.today))
    lists = _lists(now)
    chances = lists.join(known, (lists.score >= known.least) & (lists.score < known.until))
    rows = _capped(facts, now.join(chances.select("customer_id", "p0"), "customer_id"))
    odds = rows.p0 / (1 - rows.p0) * ibis.literal(EFFECTS["reorder_due"]).exp()
    gained = odds / (1 + odds) - rows.p0
    return rows.mutate(gain=gained * rows.revenue * ASSUMED_MARGIN)


def _days(facts: Facts) -> ibis.Table:
    """Return what each customer bought of a product on a day, of those bought on five days or more."""
    bought = facts.accounts.filter(facts.accounts.base_net > 0)
    by_day = bought.group_by("customer_id", "product_id", "day").agg(
        quantity=bought.quantity.sum(), net=bought.base_net.sum()
    )
    often = facts.history.filter(facts.history.days >= FEWEST_DAYS)
    active = facts.products.filter(facts.products.is_active)
    return by_day.semi_join(often, ["customer_id", "product_id"]).semi_join(active, "product_id")


def _due(facts: Facts, days: ibis.Table, moment: date) -> ibis.Table:
    """Return what was due on the morning of a day: the first ten of each customer, by what they usually spend on it."""
    today = ibis.literal(moment)
    known = days.filter(
        (days.day < today) & (days.day >= ibis.literal(moment - timedelta(days=REMEMBERED_DAYS)))
    )
    earlier = ibis.window(group_by=["customer_id", "product_id"], order_by="day")
    known = known.mutate(gap=known.day.delta(known.day.lag().over(earlier), unit="day").cast("float64"))
    usual = known.group_by("customer_id", "product_id").agg(
        days=known.count(),
        first=known.day.min(),
        last_day=known.day.max(),
        quantity=known.quantity.median(),
        unit_price=(known.net / known.quantity).median(),
        last_quantity=known.quantity.argmax(known.day),
        spread=known.gap.std(),
    )
    usual = usual.filter(usual.days >= FEWEST_DAYS)
    span = usual.last_day.delta(usual["first"], unit="day").cast("int64")
    usual = usual.mutate(
        usual_days=span / (usual.days - 1),
        silent_days=today.delta(usual.last_day, unit="day").cast("int64"),
        lasts=ibis.greatest(
            ibis.ifelse(
                usual.last_quantity >= STOCKED_UP * usual.quantity, usual.last_quantity / usual.quantity, 1.0
            ),
            1.0,
        ),
        revenue=usual.quantity * usual.unit_price,
        pace=ibis.least(WITHIN_DAYS * usual.days / (span + today.delta(usual.last_day, unit="day")), 1.0),
    )
    bought = facts.accounts.filter(facts.accounts.day < today)
    live = bought.filter(bought.day >= ibis.literal(moment - timedelta(days=LIVE_WITHIN_DAYS)))
    selling = bought.filter(bought.day >= ibis.literal(moment - timedelta(days=SELLING_DAYS)))
    gone_by = usual.silent_days / (usual.usual_days * usual.lasts)
    steady = (usual.usual_days <= LONGEST_GAP) & (usual.spread <= STEADY * usual.usual_days)
    due = usual.filter(steady & gone_by.between(DUE, LATEST))
    due = due.semi_join(live, "customer_id").semi_join(selling, "product_id")
    first = ibis.window(group_by="customer_id", order_by=[ibis.desc("revenue"), "product_id"])
    placed = due.mutate(place=ibis.row_number().over(first))
    return placed.filter(placed.place < LONGEST_LIST).select(
        "customer_id", "product_id", "days", "usual_days", "silent_days", "quantity", "revenue", "pace"
    )


def _lists(due: ibis.Table) -> ibis.Table:
    return due.group_by("customer_id").agg(score=due.pace.mean().round(9))


def _judged(facts: Facts, days: ibis.Table, moments: Sequence[date]) -> ibis.Table:
    """Return the lists of past days with their score, and `hit` where half of one was bought within 14 days."""
    found = []
    for number, moment in enumerate(moments):
        due = facts.engine.keep(f"due_{number}", _due(facts, days, moment))
        end = moment + timedelta(days=WITHIN_DAYS)
        later = days.filter((days.day >= ibis.literal(moment)) & (days.day < ibis.literal(end)))
        marked = due.left_join(
            later.select("customer_id", "product_id").distinct().mutate(hit=1), ["customer_id", "product_id"]
        )
        counted = marked.group_by("customer_id").agg(items=marked.count(), bought=marked.hit.count())
        lists = _lists(due).join(counted, "customer_id")
        hit = ibis.ifelse(lists.bought >= HALF * lists["items"], 1, ibis.null("int8"))
        found.append(lists.select("score", tie=lists.customer_id, moment=ibis.literal(number), hit=hit))
    return ibis.union(*found) if len(found) > 1 else found[0]


def _capped(facts: Facts, rows: ibis.Table) -> ibis.Table:
    """Cap the revenue of a list at the customer's own 90th percentile of an order day."""
    trade = facts.order_days.filter(facts.order_days.orders > 0)
    most = trade.group_by("customer_id").agg(most=trade.net.quantile(0.9))
    together = rows.group_by("customer_id").agg(together=rows.revenue.sum())
    both = rows.join(together, "customer_id").join(most, "customer_id")
    share = ibis.greatest(ibis.ifelse(both.together > both.most, both.most / both.together, 1.0), 0.0)
    return both.mutate(revenue=both.revenue * share).drop("together", "most", "pace")
