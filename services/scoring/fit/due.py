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
import pyarrow as pa

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
    past = [facts.today - timedelta(days=WITHIN_DAYS * (step + 1)) for step in range(JUDGED_MOMENTS)]
    moments = _moments(facts, [facts.today, *past])
    due = facts.engine.keep("due", _due(facts, days, moments))
    steps = bands(facts.engine.rows(bins_of(_judged(facts, days, due, moments), BINS)))
    if steps is None:
        return None
    known = facts.engine.load("due_step", steps.to_reader())
    now = due.filter(due.moment == ibis.literal(facts.today)).drop("moment")
    lists = now.group_by("customer_id").agg(score=_score(now))
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


def _due(facts: Facts, days: ibis.Table, moment: ibis.Table) -> ibis.Table:
    """Return what was due on the morning of each day: the first ten of a customer, by what they usually spend on it."""
    known = days.join(moment, (days.day < moment.moment) & (days.day >= moment.remembered))
    pair = ["moment", "customer_id", "product_id"]
    earlier = ibis.window(group_by=pair, order_by="day")
    known = known.mutate(gap=known.day.delta(known.day.lag().over(earlier), unit="day").cast("float64"))
    usual = known.group_by(pair).agg(
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
    silent_days = usual.moment.delta(usual.last_day, unit="day").cast("int64")
    usual = usual.mutate(
        usual_days=span / (usual.days - 1),
        silent_days=silent_days,
        lasts=ibis.greatest(
            ibis.ifelse(
                usual.last_quantity >= STOCKED_UP * usual.quantity, usual.last_quantity / usual.quantity, 1.0
            ),
            1.0,
        ),
        revenue=usual.quantity * usual.unit_price,
        pace=ibis.least(WITHIN_DAYS * usual.days / (span + silent_days), 1.0),
    )
    gone_by = usual.silent_days / (usual.usual_days * usual.lasts)
    steady = (usual.usual_days <= LONGEST_GAP) & (usual.spread <= STEADY * usual.usual_days)
    due = usual.filter(steady & gone_by.between(DUE, LATEST))
    due = due.semi_join(_seen(facts, "customer_id", moment, moment.live), ["moment", "customer_id"])
    due = due.semi_join(_seen(facts, "product_id", moment, moment.selling), ["moment", "product_id"])
    first = ibis.window(group_by=["moment", "customer_id"], order_by=[ibis.desc("revenue"), "product_id"])
    placed = due.mutate(place=ibis.row_number().over(first))
    return placed.filter(placed.place < LONGEST_LIST).select(
        *pair, "days", "usual_days", "silent_days", "quantity", "revenue", "pace"
    )


def _moments(facts: Facts, moments: Sequence[date]) -> ibis.Table:
    """Return the days judged, each with those from which trade before it counts, and the end of what is judged."""
    ends = {
        "moment": 0,
        "remembered": -REMEMBERED_DAYS,
        "live": -LIVE_WITHIN_DAYS,
        "selling": -SELLING_DAYS,
        "until": WITHIN_DAYS,
    }
    rows = {
        name: pa.array([each + timedelta(days=span) for each in moments], pa.date32())
        for name, span in ends.items()
    }
    return facts.engine.load("due_moment", pa.table(rows).to_reader())


def _seen(facts: Facts, key: str, moment: ibis.Table, since: ibis.Value) -> ibis.Table:
    """Return the customers or products with a purchase in the days before each day."""
    bought = facts.accounts.select(key, "day").distinct()
    return bought.join(moment, (bought.day < moment.moment) & (bought.day >= since)).select("moment", key)


def _score(due: ibis.Table) -> ibis.Value:
    return due.pace.mean().round(9)


def _judged(facts: Facts, days: ibis.Table, due: ibis.Table, moment: ibis.Table) -> ibis.Table:
    """Return the lists of past days with their score, and `hit` where half of one was bought within 14 days."""
    past = due.filter(due.moment < ibis.literal(facts.today))
    later = days.join(moment, (days.day >= moment.moment) & (days.day < moment.until))
    bought = later.select("moment", "customer_id", "product_id").distinct().mutate(hit=1)
    marked = past.left_join(bought, ["moment", "customer_id", "product_id"])
    lists = marked.group_by("moment", "customer_id").agg(
        score=_score(marked), items=marked.count(), bought=marked.hit.count()
    )
    hit = ibis.ifelse(lists.bought >= HALF * lists["items"], 1, ibis.null("int8"))
    ago = ibis.literal(facts.today).delta(lists.moment, unit="day")
    return lists.select("score", tie=lists.customer_id, ago=ago, hit=hit)


def _capped(facts: Facts, rows: ibis.Table) -> ibis.Table:
    """Cap the revenue of a list at the customer's own 90th percentile of an order day."""
    trade = facts.order_days.filter(facts.order_days.orders > 0)
    most = trade.group_by("customer_id").agg(most=trade.net.quantile(0.9))
    together = rows.group_by("customer_id").agg(together=rows.revenue.sum())
    both = rows.join(together, "customer_id").join(most, "customer_id")
    share = ibis.greatest(ibis.ifelse(both.together > both.most, both.most / both.together, 1.0), 0.0)
    return both.mutate(revenue=both.revenue * share).drop("together", "most", "pace")
