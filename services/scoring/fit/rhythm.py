"""Rhythm: how regularly each customer orders, and how they stood at each of many days.

A customer's usual gap is the mean of their gaps, drawn to the median gap of all as if two such gaps had been seen.
Branches count for the head office named for them. `standing` is set-based: one row per customer and day judged.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
from scipy.special import gammaincc

from services.scoring.fit.facts import WARM_UP, Facts

Columns = dict[str, "np.ndarray[Any, np.dtype[np.float64]]"]

EPOCH = date(2000, 1, 1)
PSEUDO_GAPS = 2
REGULARITY = 2.6
"""Shape of the gamma distribution of gaps: more regular than chance (1). Measured on wholesalers, 2.6 to 2.7."""

LEAST_ORDER_DAYS = 4
LIVE_DAYS = 180
HORIZON_DAYS = 90
"""A customer is live with four order days, one of them in the last 180; lost when none follows in 90."""

TRAINING_CUSTOMERS = 20_000
"""Learning from more says nothing new; which ones is decided by their number, the same each time."""


def number(day: date) -> int:
    """Return a day as a number of days: differences of numbers are cheap in every engine."""
    return (day - EPOCH).days


def trade_days(facts: Facts) -> ibis.Table:
    """Return per head office and day (`day`, a number) orders, items and net, with the gap to the order day before."""
    return facts.keep("trade_day", lambda: _trade_days(facts))


def _trade_days(facts: Facts) -> ibis.Table:
    rows = facts.order_days.join(facts.customers.select("customer_id", "head_id"), "customer_id")
    by_day = rows.group_by(customer_id=rows.head_id, date=rows.day).agg(
        orders=rows.orders.sum(), items=rows["items"].sum(), net=rows.net.sum()
    )
    numbered = by_day.mutate(
        day=by_day.date.delta(ibis.literal(EPOCH), unit="day").cast("int64"), is_order=by_day.orders > 0
    ).drop("date")
    # days of returns alone are set apart, so that the day before is one of an order
    earlier = ibis.window(group_by=["customer_id", "is_order"], order_by="day")
    gap = numbered.day - numbered.day.lag().over(earlier)
    return numbered.mutate(gap=ibis.ifelse(numbered.is_order, gap, ibis.null("int64")))


def standing(facts: Facts, days: ibis.Table, moments: Sequence[date], *, all_customers: bool) -> Columns:
    """Return how every live customer stood on the morning of these days, by what was before them.

    With `came_back`: whether an order followed within 90 days; it means nothing where they are not over yet.
    """
    engine = facts.engine
    moment = engine.load(
        "moment", pa.table({"moment": pa.array(map(number, moments), pa.int64())}).to_reader()
    )
    if not all_customers:
        parts = 1 + engine.count(days.select("customer_id").distinct()) // TRAINING_CUSTOMERS
        days = days.filter(days.customer_id % parts == 0)
    known = days.join(moment, days.day < moment.moment)
    rows = known.group_by("moment", "customer_id").agg(**_counts(known), **_money(known))
    live = rows.filter((rows.order_days >= LEAST_ORDER_DAYS) & (rows.moment - rows.last_day <= LIVE_DAYS))
    orders = days.filter(days.is_order).select("customer_id", next_day="day")
    later = moment.join(
        orders, (orders.next_day >= moment.moment) & (orders.next_day < moment.moment + HORIZON_DAYS)
    )
    back = later.select("moment", "customer_id").distinct().mutate(came_back=1.0)
    usual = known.group_by("moment").agg(median_gap=known.gap.median())
    whole = live.left_join(back, ["moment", "customer_id"]).drop("moment_right", "customer_id_right")
    whole = whole.join(usual, "moment").order_by("moment", "customer_id")
    found = engine.stream(whole).read_all()
    engine.drop("moment")
    columns = {name: _numbers(found.column(name)) for name in found.column_names}
    columns["came_back"] = np.nan_to_num(columns["came_back"])
    return columns | _rhythm(columns)


def _counts(known: ibis.Table) -> Mapping[str, ibis.Value]:
    def since(days: int) -> ibis.Value:
        return (known.is_order & (known.day >= known.moment - days)).cast("int64").sum()

    return {
        "order_days": known.is_order.cast("int64").sum(),
        "first_day": known.day.min(where=known.is_order),
        "last_day": known.day.max(where=known.is_order),
        "gaps": known.gap.count(),
        "gap_sum": known.gap.sum(),
        "gap_deviation": known.gap.std(),
        "gap_most": known.gap.max(),
        "gap_last": known.gap.argmax(known.day, where=known.is_order),
        "orders_30": since(30),
        "orders_60": since(60),
        "orders_90": since(90),
        "orders_180": since(180),
        "items_mean": known["items"].mean(where=known.is_order),
        "items_last": known["items"].argmax(known.day, where=known.is_order),
    }


def _money(known: ibis.Table) -> Mapping[str, ibis.Value]:
    age = known.moment - known.day
    return {
        "net": known.net.sum(),
        "net_90": known.net.sum(where=age <= 90),
        "net_90_before": known.net.sum(where=(age > 90) & (age <= 180)),
        "net_270": known.net.sum(where=age <= 270),
        "given_back": known.net.sum(where=known.net < 0),
        "net_last": known.net.argmax(known.day, where=known.is_order),
    }


def _rhythm(columns: Columns) -> Columns:
    """Add the gap so far, the usual gap, and how unusual the one is beside the other."""
    silent = columns["moment"] - columns["last_day"]
    usual = (columns["gap_sum"] + PSEUDO_GAPS * columns["median_gap"]) / (columns["gaps"] + PSEUDO_GAPS)
    return {
        "silent_days": silent,
        "usual_gap": usual,
        "own_gap": columns["gap_sum"] / columns["gaps"],
        "tail": gap_tail(silent, usual),
    }


def gap_tail(silent: Any, usual: Any, shape: float = REGULARITY) -> Any:  # noqa: ANN401 - numbers or arrays
    """Return the chance that a gap of this customer lasts longer than it already does (gamma distribution)."""
    return gammaincc(shape, shape * silent / usual)


def training_moments(first: date, today: date, *, every: int = 14, most: int = 26) -> list[date]:
    """Return the past mornings to learn from: their 90 days are over, and 60 days of trade came before."""
    moments = (today - timedelta(days=HORIZON_DAYS + every * step) for step in range(most))
    return [moment for moment in moments if moment - first >= WARM_UP]


def _numbers(column: pa.ChunkedArray) -> "np.ndarray[Any, np.dtype[np.float64]]":
    return np.asarray(column.cast(pa.float64()).fill_null(float("nan")).to_numpy(), dtype=np.float64)


def select(columns: Columns, rows: Any) -> Columns:  # noqa: ANN401 - a mask or positions
    """Return some rows of every column."""
    return {name: column[rows] for name, column in columns.items()}
