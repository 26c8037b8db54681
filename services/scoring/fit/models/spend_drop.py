"""Spend drop: a customer who still orders in their rhythm spent far less in the last 13 weeks than is usual for them.

Usual is their rate over the 52 weeks before, times how the trade of all such customers moved: a slow season is no drop.
How unusual it is says a deviation: orders come at their rate, as regularly as customers order (rhythm.REGULARITY), each
as large as theirs vary.
"""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from services.scoring.effects import ASSUMED_MARGIN, EFFECTS
from services.scoring.fit import rhythm
from services.scoring.fit.chance import Learnt, Matrix, learn, matrix
from services.scoring.fit.facts import Facts
from services.scoring.fit.model import Derived, Model

Mask = np.ndarray[Any, np.dtype[np.bool_]]

QUARTER = 91
YEAR = 364
LEAST_BEFORE_DAYS = 180
LEAST_ORDERS_BEFORE = 4
LEAST_DROP = 0.3
UNUSUAL = -1.0
"""Deviations below the usual from which a drop is looked at and learnt from; a kind may ask for more."""

RECOVERED = 0.8
IN_RHYTHM, IN_RHYTHM_DAYS = 1.5, 14
"""Times the usual gap, and days at least: who is silent for longer is going quiet, which says more."""

FEATURES = {
    "deviation": 1, "drop": -1, "usual_quarter": 0, "last_quarter": 0, "orders_before": 0, "orders_quarter": 1,
    "silent_days": -1, "gap": 0,
}  # fmt: skip


def build(facts: Facts) -> Iterator[Derived]:
    """Yield customers whose spend dropped, with p0: it comes back to four fifths of the usual in 90 days."""
    yield from predict(facts, learn_recovery(facts))


def learn_recovery(facts: Facts) -> Learnt | None:
    """Learn from past drops which came back; None where there is too little to learn from."""
    days = rhythm.trade_days(facts)
    first = facts.engine.rows(days.agg(first=days.day.min()))[0]["first"]
    if first is None:
        return None
    begin = rhythm.EPOCH + timedelta(days=first + QUARTER + LEAST_BEFORE_DAYS - 60)
    moments = rhythm.training_moments(begin, facts.today)
    if not moments:
        return None
    past = _dropped(facts, moments)
    return learn(_features(past), past["came_back"], list(FEATURES.values()))


def predict(facts: Facts, learnt: Learnt | None) -> Iterator[Derived]:
    """Yield this morning's drops, by what was learnt."""
    if learnt is None:
        return
    now = _dropped(facts, [facts.today])
    back = learnt.predict(_features(now))
    revenue = now["usual_quarter"] - now["last_quarter"]
    inside = np.clip(back, 1e-6, 1 - 1e-6)
    after = 1 / (1 + np.exp(-(np.log(inside / (1 - inside)) + EFFECTS["spend_drop"])))
    rows = {
        "customer_id": pa.array(now["customer_id"].astype(np.int64)),
        **{name: pa.array(now[name]) for name in ("usual_quarter", "last_quarter", "deviation", "drop")},
        "orders_quarter": pa.array(now["orders_quarter"].astype(np.int64)),
        "p0": pa.array(back),
        "revenue": pa.array(revenue),
        "gain": pa.array((after - back) * revenue * ASSUMED_MARGIN),
    }
    yield Derived("spend_drop", facts.engine.load("spend_drop_rows", pa.table(rows).to_reader()))


def _dropped(facts: Facts, moments: Sequence[date]) -> rhythm.Columns:
    """Return the customers whose spend had dropped on the morning of each day, and whether it came back."""
    stood = _standing(facts, moments)
    span = np.minimum(stood["moment"] - QUARTER - stood["first_day"], YEAR)
    with np.errstate(divide="ignore", invalid="ignore"):
        usual = stood["net_before"] / span * QUARTER
        fits = (span >= LEAST_BEFORE_DAYS) & (stood["orders_before"] >= LEAST_ORDERS_BEFORE) & (usual > 0)
        expected = usual * _market(stood, usual, fits)
        orders = stood["orders_before"] / span * QUARTER
        mean = stood["net_before"] / stood["orders_before"]
        spread = stood["squares_before"] / stood["orders_before"] - mean**2 + mean**2 / rhythm.REGULARITY
        more = {
            "usual_quarter": expected,
            "last_quarter": np.maximum(stood["net_quarter"], 0),
            "deviation": (stood["net_quarter"] - expected) / np.sqrt(orders * np.maximum(spread, 1e-9)),
            "drop": 1 - stood["net_quarter"] / expected,
            "gap": (stood["last_day"] - stood["first_day"]) / np.maximum(stood["order_days"] - 1, 1),
            "silent_days": stood["moment"] - stood["last_day"],
            "came_back": (stood["net_after"] >= RECOVERED * usual).astype(np.float64),
        }
        stood = stood | more
        dropped = fits & (stood["drop"] >= LEAST_DROP) & (stood["deviation"] <= UNUSUAL)
        in_rhythm = stood["silent_days"] <= np.maximum(IN_RHYTHM * stood["gap"], IN_RHYTHM_DAYS)
        dropped &= (stood["orders_quarter"] > 0) & in_rhythm
    return rhythm.select(stood, dropped)


def _market(stood: rhythm.Columns, usual: Matrix, fits: Mask) -> Matrix:
    """Return for each row how the trade of all moved by that day: their last quarter beside their usual one."""
    factor = np.ones(len(usual))
    for moment in np.unique(stood["moment"]):
        same = fits & (stood["moment"] == moment)
        if usual[same].sum() > 0:
            moved = stood["net_quarter"][same].sum() / usual[same].sum()
            factor[stood["moment"] == moment] = np.clip(moved, 0.5, 1.5)
    return factor


def _standing(facts: Facts, moments: Sequence[date]) -> rhythm.Columns:
    """Return each customer's trade in the last quarter, in the year before it, and in the 90 days after each day."""
    engine = facts.engine
    days = rhythm.trade_days(facts)
    numbers = pa.table({"moment": pa.array([rhythm.number(each) for each in moments], pa.int64())})
    moment = engine.load("drop_moment", numbers.to_reader())
    known = days.join(moment, days.day < moment.moment + rhythm.HORIZON_DAYS)
    age = known.moment - known.day
    ordered = known.is_order & (age > 0)
    before = (age > QUARTER) & (age <= QUARTER + YEAR)
    rows = known.group_by("moment", "customer_id").agg(
        first_day=known.day.min(where=ordered),
        last_day=known.day.max(where=ordered),
        order_days=ordered.cast("int64").sum(),
        orders_quarter=(ordered & (age <= QUARTER)).cast("int64").sum(),
        orders_before=(ordered & before).cast("int64").sum(),
        net_quarter=known.net.sum(where=(age > 0) & (age <= QUARTER)).fill_null(0.0),
        net_before=known.net.sum(where=before).fill_null(0.0),
        squares_before=(known.net * known.net).sum(where=before & known.is_order).fill_null(0.0),
        net_after=known.net.sum(where=age <= 0).fill_null(0.0),
    )
    found = engine.stream(rows.filter(rows.order_days > 1).order_by("moment", "customer_id")).read_all()
    engine.drop("drop_moment")
    return {
        name: np.asarray(found.column(name).cast(pa.float64()).to_numpy(), dtype=np.float64)
        for name in found.column_names
    }


def _features(stood: rhythm.Columns) -> Matrix:
    return matrix(stood | {"deviation": stood["deviation"] + 10}, list(FEATURES))


MODEL = Model(
    "spend_drop",
    build,
    keys={"spend_drop": ("customer_id",)},
    learn=learn_recovery,
    predict=predict,
)
