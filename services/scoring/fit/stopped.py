"""Stopped: what a live customer always took and no longer takes, and the chance that they take it again by themselves.

The same for an item and for a category. A rhythm takes five purchases, those within a week of each other being one;
a large last purchase lasts longer; and what others take half as often as they did then has gone out of season or out
of fashion, and is no question to this customer. On a gift wholesaler (Mondays, May to November, £300 a quarter or more)
half of such items were taken again by themselves; of those bought in bulk the last time 62 %, of those of fewer than
four purchases 17 %.
"""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta

import ibis
import numpy as np
import pyarrow as pa

from services.scoring.effects import ASSUMED_MARGIN, EFFECTS
from services.scoring.fit import rhythm
from services.scoring.fit.chance import Learnt, Matrix, learn, matrix
from services.scoring.fit.facts import A_YEAR, Facts
from services.scoring.fit.model import Derived
from services.scoring.stopped import ABSENT_DAYS, GAPS_ABSENT

FEWEST_CUSTOMER_DAYS = 6
LIVE_WITHIN_DAYS = 45
FEWEST_PURCHASES = 5
ONE_PURCHASE_DAYS = 7
"""What is bought again within so many days completes the purchase before, and is no sign of a rhythm."""

STOCKED_UP = 1.75
"""A last quantity of so many times the usual lasts that much longer."""

ORDERS_ABSENT = 3
STILL_BOUGHT_BY = 5
"""Others who bought it in the last 45 days: without them a fifth of what seems stopped is no longer sold."""

YEAR = A_YEAR.days
HALF = 0.5
WEEK = 7
MOST_PACE = 4.0

FEATURES = {
    "silent_days": -1, "gap": 0, "gaps_absent": -1, "days": 1, "orders_since": -1, "buyers": 0, "quarter": 0,
    "customer_days": 0, "customer_silent": 0, "share": 0, "lasts": 0, "pace": 0,
}  # fmt: skip


def learn_return(facts: Facts, key: str) -> Learnt | None:
    """Learn which of what was stopped, by `key` (product_id or category), was bought again; None: too little."""
    pairs = _pair_days(facts, key)
    span = facts.engine.rows(pairs.agg(first=pairs.day.min()))[0]["first"]
    if span is None:
        return None
    moments = rhythm.training_moments(rhythm.EPOCH + timedelta(days=span), facts.today)
    if not moments:
        return None
    past, _ = _standing(facts, pairs, key, moments)
    return learn(_features(past), past["bought_again"], list(FEATURES.values()))


def rows_of(facts: Facts, key: str, table: str, learnt: Learnt | None) -> Iterator[Derived]:
    """Yield customer and `key` of what is stopped this morning, with p0, revenue at stake and gain.

    The chance is learnt from more: from all that was bought on five days, however close together, and then absent for
    three times the mean gap of these days.
    """
    if learnt is None:
        return
    now, keys = _standing(facts, _pair_days(facts, key), key, [facts.today])
    is_told = (
        (now["days"] >= FEWEST_PURCHASES)
        & (now["silent_days"] >= GAPS_ABSENT * now["gap"] * now["lasts"])
        & (now["pace"] >= HALF)
    )
    now, keys = rhythm.select(now, is_told), keys.filter(pa.array(is_told))
    back = learnt.predict(_features(now))
    revenue = np.maximum(now["quarter"], 0)
    inside = np.clip(back, 1e-6, 1 - 1e-6)
    after = 1 / (1 + np.exp(-(np.log(inside / (1 - inside)) + EFFECTS[table])))
    rows = {
        "customer_id": pa.array(now["customer_id"].astype(np.int64)),
        key: keys,
        **{
            name: pa.array(now[name].astype(np.int64))
            for name in ("silent_days", "days", "orders_since", "buyers")
        },
        "usual_days": pa.array(now["gap"]),
        "p0": pa.array(back),
        "revenue": pa.array(revenue),
        "gain": pa.array((after - back) * revenue * ASSUMED_MARGIN),
    }
    yield Derived(table, facts.engine.load(f"{table}_rows", pa.table(rows).to_reader()))


def _pair_days(facts: Facts, key: str) -> ibis.Table:
    """Return the days on which a customer bought of a key, as numbers; `is_new` where a purchase begins.

    `visit` counts the customer's days from 1, whatever they bought.
    """
    sold = facts.accounts.join(facts.products.select("product_id", "category", "is_active"), "product_id")
    sold = sold.filter(sold[key].notnull() & (sold.is_active if key == "product_id" else True))
    day = sold.day.delta(ibis.literal(rhythm.EPOCH), unit="day").cast("int64")
    bought = sold.group_by("customer_id", key, day=day).agg(
        net=sold.base_net.sum().fill_null(0.0), quantity=sold.quantity.sum()
    )
    return facts.keep(f"{key}_day", lambda: _numbered(facts.engine.keep("pair_day", bought), key))


def _numbered(bought: ibis.Table, key: str) -> ibis.Table:
    visits = bought.select("customer_id", "day").distinct()
    nth = ibis.row_number().over(ibis.window(group_by="customer_id", order_by="day")) + 1
    gap = bought.day - bought.day.lag().over(ibis.window(group_by=["customer_id", key], order_by="day"))
    bought = bought.mutate(is_new=(gap.isnull() | (gap > ONE_PURCHASE_DAYS)).cast("int64"))
    return bought.join(visits.mutate(visit=nth), ["customer_id", "day"])


def _standing(
    facts: Facts, pairs: ibis.Table, key: str, moments: Sequence[date]
) -> tuple[rhythm.Columns, pa.ChunkedArray]:
    """Return what was stopped on the morning of each day, and the keys; `bought_again` is known 90 days later."""
    engine = facts.engine
    days = pa.table({"moment": pa.array([rhythm.number(each) for each in moments], pa.int64())})
    moment = engine.load("stop_moment", days.to_reader())
    absent = _absent(facts, pairs, key, moment)
    visits = pairs.select("customer_id", "day", "visit").distinct()
    seen = visits.join(moment, visits.day < moment.moment)
    customers = seen.group_by("moment", "customer_id").agg(
        customer_days=seen.visit.max(), customer_last=seen.day.max()
    )
    selling = pairs.join(
        moment, (pairs.day < moment.moment) & (pairs.day >= moment.moment - LIVE_WITHIN_DAYS)
    )
    buyers = selling.group_by("moment", key).agg(
        buyers=selling.customer_id.nunique(), sold_now=selling.count()
    )
    pair = ["moment", "customer_id", key]
    later = absent.select(pair).join(pairs.select("customer_id", key, "day"), ["customer_id", key])
    later = later.filter((later.day >= later.moment) & (later.day < later.moment + rhythm.HORIZON_DAYS))
    again = later.select(pair).distinct().mutate(bought_again=1.0)
    whole = absent.join(customers, ["moment", "customer_id"]).join(buyers, ["moment", key])
    whole = whole.mutate(
        orders_since=whole.customer_days - whole.last_visit,
        orders_from_first=whole.customer_days - whole.first_visit + 1,
    ).drop("first_visit", "last_visit")
    whole = whole.filter(
        (whole.customer_days >= FEWEST_CUSTOMER_DAYS)
        & (whole.moment - whole.customer_last <= LIVE_WITHIN_DAYS)
        & (whole.orders_since >= ORDERS_ABSENT)
        & (whole.buyers >= STILL_BOUGHT_BY)
    )
    whole = _beside_others(engine.keep("absent_still_sold", whole), pairs, key)
    labelled = whole.left_join(again, pair).select(
        *(whole[name] for name in whole.columns), bought_again=again.bought_again.fill_null(0.0)
    )
    found = engine.stream(labelled.order_by(pair)).read_all()
    engine.drop("stop_moment")
    keys = found.column(key)
    numbers = found.drop_columns([key])
    columns = {
        name: np.asarray(numbers.column(name).cast(pa.float64()).to_numpy(), dtype=np.float64)
        for name in numbers.column_names
    }
    return columns | _derived(columns), keys


def _absent(facts: Facts, pairs: ibis.Table, key: str, moment: ibis.Table) -> ibis.Table:
    """Return what customers took often and have not taken for long, but for what a season or a substitute explains."""
    often = pairs.group_by("customer_id", key).agg(times=pairs.count())
    regular = pairs.semi_join(often.filter(often.times >= FEWEST_PURCHASES), ["customer_id", key])
    known = regular.join(moment, regular.day < moment.moment)
    stood = known.group_by("moment", "customer_id", key).agg(
        days=known.is_new.sum(),
        own_days=known.count(),
        first=known.day.min(),
        last=known.day.max(),
        first_visit=known.visit.min(),
        last_visit=known.visit.max(),
        net=known.net.sum(),
        usual_quantity=known.quantity.median(),
        last_quantity=known.quantity.argmax(known.day),
    )
    times = stood.last_quantity / stood.usual_quantity
    stood = stood.mutate(
        silent_days=stood.moment - stood["last"],
        gap=(stood["last"] - stood["first"]) / ibis.greatest(stood.days - 1, 1),
        day_gap=(stood["last"] - stood["first"]) / ibis.greatest(stood.own_days - 1, 1),
        # of a category, quantities of unlike goods say nothing
        lasts=ibis.ifelse((times >= STOCKED_UP) & (key == "product_id"), times, 1.0),
    )
    absent = facts.engine.keep(
        "absent",
        stood.filter(
            (stood.own_days >= FEWEST_PURCHASES)
            & stood.silent_days.between(*ABSENT_DAYS)
            & (stood.silent_days >= GAPS_ABSENT * stood.day_gap)
        ),
    )
    stopped = _without_last_year(absent, pairs, key)
    if key == "product_id" and facts.substitutes is not None:
        stopped = _without_substituted(stopped, pairs, facts.substitutes)
    return facts.engine.keep("absent_anew", stopped)


def _beside_others(absent: ibis.Table, pairs: ibis.Table, key: str) -> ibis.Table:
    """Add `pace`: how often others buy it now, as a share of how often they did while the customer took it."""
    weekly = pairs.group_by(key, week=pairs.day // WEEK).agg(sold=pairs.count())
    then = absent.join(weekly, key)
    then = then.filter(then.week.between(then["first"] // WEEK, then["last"] // WEEK))
    pair = ["moment", "customer_id", key]
    of_others = then.group_by(*pair).agg(
        before=(then.sold.sum() - then.own_days.max()) / (then["last"] - then["first"] + 1).max(),
        now=then.sold_now.max() / LIVE_WITHIN_DAYS,
    )
    pace = ibis.ifelse(
        of_others.before > 0, ibis.least(of_others.now / of_others.before, MOST_PACE), MOST_PACE
    )
    joined = absent.join(of_others.select(*pair, pace=pace), pair)
    return joined.select(*absent.columns, "pace")


def _without_last_year(absent: ibis.Table, pairs: ibis.Table, key: str) -> ibis.Table:
    """Leave out what was just as absent a year before, and then came back: its season is over."""
    known_then = absent.filter(absent["first"] + YEAR <= absent["last"])
    bought = pairs.select("customer_id", key, year_after=pairs.day + YEAR)
    seen = known_then.join(bought, ["customer_id", key])
    seen = seen.filter((seen.year_after > seen["last"] + seen.gap) & (seen.year_after < seen.moment))
    pair = ["moment", "customer_id", key]
    return absent.anti_join(known_then.anti_join(seen, pair), pair)


def _without_substituted(absent: ibis.Table, pairs: ibis.Table, substitutes: ibis.Table) -> ibis.Table:
    """Leave out items in whose place the customer has bought a substitute since, half as often or more."""
    instead = pairs.join(substitutes, pairs.product_id == substitutes.substitute_id, rname="of_{name}")
    instead = instead.select("customer_id", product_id="of_product_id", taken="day")
    pair = ["moment", "customer_id", "product_id"]
    taken = absent.join(instead, ["customer_id", "product_id"])
    taken = taken.filter((taken.taken > taken["last"]) & (taken.taken < taken.moment))
    often = taken.group_by(*pair).agg(gaps=(taken.silent_days / taken.gap).max(), days=taken.taken.nunique())
    return absent.anti_join(often.filter(often.days >= HALF * often.gaps), pair)


def _derived(stood: rhythm.Columns) -> rhythm.Columns:
    span = np.maximum(stood["last"] - stood["first"] + stood["gap"], rhythm.HORIZON_DAYS)
    return {
        "gaps_absent": stood["silent_days"] / np.maximum(stood["gap"], 1),
        "quarter": stood["net"] / span * rhythm.HORIZON_DAYS,
        "customer_silent": stood["moment"] - stood["customer_last"],
        "share": stood["days"] / np.maximum(stood["orders_from_first"], 1),
    }


def _features(stood: rhythm.Columns) -> Matrix:
    return matrix(stood, list(FEATURES))
