"""Going quiet: the chance that each live customer orders no more within 90 days, learnt from how earlier ones stood.

On a gift wholesaler (five monthly cutoffs) it ranks better than days since the last order, gap over own mean gap and
spend times BG/NBD's chance of being gone: docs/signal-quality.md.
"""

from collections.abc import Iterator
from datetime import date, timedelta

import ibis
import numpy as np
import pyarrow as pa

from services.scoring.effects import ASSUMED_MARGIN, EFFECTS
from services.scoring.fit import bgnbd, rhythm
from services.scoring.fit.chance import Learnt, Matrix, learn, matrix
from services.scoring.fit.drift_grade import DriftGrade, Judged, grade
from services.scoring.fit.facts import Facts
from services.scoring.fit.model import Derived, Model

FEATURES = {
    "order_days": -1, "silent_days": 1, "tenure": 0, "own_gap": 0, "usual_gap": 1, "gap_ratio": 1, "tail": -1,
    "gap_variation": 0, "gap_most": 0, "gap_last": 0, "silent_over_most": 1, "orders_30": -1, "orders_60": -1,
    "orders_90": -1, "orders_180": -1, "net_90": -1, "net_270": 0, "trend": 0, "order_net": 0, "last_over_mean": 0,
    "items_mean": -1, "items_last_over_mean": 0, "share_given_back": 0, "order_rate": -1,
}  # fmt: skip
"""What is known of a customer, and whether the chance to lose them rises or falls with it, where that is sure."""

JUDGED_EVERY_DAYS = 30
JUDGED = 3
QUARTER_OF_270 = 3


def build(facts: Facts) -> Iterator[Derived]:
    """Yield a row for each live customer: their rhythm, the chance that they are lost, and what is at stake."""
    yield from predict(facts, learn_lost(facts))


def learn_lost(facts: Facts) -> Learnt | None:
    """Learn from past days who is lost; None where there is too little to learn from."""
    days = rhythm.trade_days(facts)
    first = _first_day(facts, days)
    return None if first is None else _learn(facts, days, first, facts.today)


def predict(facts: Facts, learnt: Learnt | None) -> Iterator[Derived]:
    """Yield how each live customer stands this morning, by what was learnt."""
    if learnt is None:
        return
    days = rhythm.trade_days(facts)
    now = rhythm.standing(facts, days, [facts.today], all_customers=True)
    lost = learnt.predict(_features(now))
    back = 1 - lost
    stake = _quarter(now)
    rows = {
        "customer_id": pa.array(now["customer_id"].astype(np.int64)),
        "silent_days": pa.array(now["silent_days"].astype(np.int64)),
        "usual_days": pa.array(now["usual_gap"]),
        "longest_days": pa.array(now["gap_most"].astype(np.int64)),
        "order_days": pa.array(now["order_days"].astype(np.int64)),
        "tail": pa.array(now["tail"]),
        "p_lost": pa.array(lost),
        "p0": pa.array(back),
        "revenue": pa.array(stake),
        "gain": pa.array(gains(back, stake)),
    }
    loaded = facts.engine.load("quiet_customer", pa.table(rows).to_reader())
    masked = _seasonal(facts.today, days, loaded)
    capped = _capped(days, masked)
    yield Derived("going_quiet", capped)


def gains(back: Matrix, revenue: Matrix) -> Matrix:
    """Return the margin a call is expected to bring, at the assumed margin rate."""
    inside = np.clip(back, 1e-6, 1 - 1e-6)
    after = 1 / (1 + np.exp(-(np.log(inside / (1 - inside)) + EFFECTS["going_quiet"])))
    return np.asarray((after - back) * np.maximum(revenue, 0) * ASSUMED_MARGIN, dtype=np.float64)


def graded(facts: Facts) -> DriftGrade:
    """Judge it on three past days a month apart, learnt from what was over before the earliest of them."""
    days = rhythm.trade_days(facts)
    first = _first_day(facts, days)
    if first is None:
        return grade([])
    for number in range(JUDGED, 0, -1):
        cutoffs = [
            facts.today - timedelta(days=rhythm.HORIZON_DAYS + JUDGED_EVERY_DAYS * step)
            for step in range(number)
        ]
        learnt = _learn(facts, days, first, cutoffs[-1])
        if learnt is not None:
            return grade([judged(facts, days, learnt, cutoff) for cutoff in cutoffs])
    return grade([])


def judged(facts: Facts, days: ibis.Table, learnt: Learnt, cutoff: date) -> Judged:
    """Return how customers stood on a past day, what each method said of them, and what became of them."""
    then = rhythm.standing(facts, days, [cutoff], all_customers=True)
    lost = learnt.predict(_features(then))
    money = _quarter(then)
    return Judged(
        lost=1 - then["came_back"],
        money=money,
        chance=lost,
        gain=gains(1 - lost, money),
        baselines={
            "recency": then["silent_days"],
            "own_gap": then["silent_days"] / then["own_gap"],
            "spend_x_p_dead": money * (1 - _alive(then)),
        },
    )


def _learn(facts: Facts, days: ibis.Table, first: date, today: date) -> Learnt | None:
    moments = rhythm.training_moments(first, today)
    if not moments:
        return None
    past = rhythm.standing(facts, days, moments, all_customers=False)
    return learn(_features(past), 1 - past["came_back"], list(FEATURES.values()))


def _features(standing: rhythm.Columns) -> Matrix:
    with np.errstate(divide="ignore", invalid="ignore"):
        tenure = standing["moment"] - standing["first_day"]
        net = np.maximum(standing["net"], 0)
        order_net = net / standing["order_days"]
        more = {
            "tenure": tenure,
            "gap_ratio": standing["silent_days"] / standing["usual_gap"],
            "gap_variation": standing["gap_deviation"] / standing["own_gap"],
            "silent_over_most": standing["silent_days"] / standing["gap_most"],
            "trend": _log(standing["net_90"]) - _log(standing["net_90_before"]),
            "order_net": order_net,
            "last_over_mean": standing["net_last"] / np.maximum(order_net, 1),
            "items_last_over_mean": standing["items_last"] / standing["items_mean"],
            "share_given_back": -np.nan_to_num(standing["given_back"]) / np.maximum(net, 1),
            "order_rate": standing["order_days"] / np.maximum(tenure, 30),
            "net_90": np.maximum(np.nan_to_num(standing["net_90"]), 0),
            "net_270": np.maximum(np.nan_to_num(standing["net_270"]), 0),
        }
    return matrix(standing | more, list(FEATURES))


def _log(money: Matrix) -> Matrix:
    return np.asarray(np.log1p(np.maximum(np.nan_to_num(money), 0)), dtype=np.float64)


def _quarter(standing: rhythm.Columns) -> Matrix:
    return np.maximum(np.nan_to_num(standing["net_270"]), 0) / QUARTER_OF_270


def _alive(standing: rhythm.Columns) -> Matrix:
    """Return BG/NBD's chance that each customer is not gone, fitted on those of the same day, in weeks."""
    known = (
        standing["order_days"] - 1,
        (standing["last_day"] - standing["first_day"]) / 7,
        (standing["moment"] - standing["first_day"]) / 7,
    )
    return np.asarray(bgnbd.fit(*known).alive(*known), dtype=np.float64)


def _first_day(facts: Facts, days: ibis.Table) -> date | None:
    first = facts.engine.rows(days.agg(first=days.day.min()))[0]["first"]
    return None if first is None else rhythm.EPOCH + timedelta(days=first)


def _seasonal(today: date, days: ibis.Table, rows: ibis.Table) -> ibis.Table:
    """Mark who was silent at this time last year too, as long as now or longer, and came back."""
    last_year = rhythm.number(today) - 364
    spanning = days.filter((days.day >= last_year) & (days.day - days.gap < last_year))
    pauses = spanning.group_by("customer_id").agg(pause=spanning.gap.max())
    joined = rows.left_join(pauses, "customer_id").drop("customer_id_right")
    paused = (joined.pause >= 1.5 * joined.usual_days) & (joined.pause >= joined.silent_days)
    return joined.mutate(is_off_season=paused.fill_null(False).cast("int64")).drop("pause")


def _capped(days: ibis.Table, rows: ibis.Table) -> ibis.Table:
    """Cap what is at stake at the customer's own 90th percentile of 90 days' trade."""
    span = ibis.range_window(
        preceding=rhythm.HORIZON_DAYS - 1, following=0, group_by="customer_id", order_by="day"
    )
    sums = days.mutate(quarter=days.net.sum().over(span))
    most = sums.group_by("customer_id").agg(most=sums.quarter.quantile(0.9))
    joined = rows.left_join(most, "customer_id").drop("customer_id_right")
    share = ibis.ifelse(joined.revenue > joined.most, joined.most / joined.revenue, 1.0)
    capped = joined.mutate(share=ibis.greatest(share, 0.0))
    return capped.mutate(revenue=capped.revenue * capped.share, gain=capped.gain * capped.share).drop(
        "most", "share"
    )


MODEL = Model(
    "going_quiet",
    build,
    keys={"going_quiet": ("customer_id",)},
    grade=graded,
    learn=learn_lost,
    predict=predict,
)
