"""Half the usual: a customer took half of what they always take of an item, or less, and has not made up for it since.

It is not said of the order that shows it: more than one in four such lines are made up for unaided. What is left after
two weeks is read in the inbox, and no message is sent of it. At stake is what is missing of the purchases of 60 days;
it is less than their own usual quantity, so it needs no cap.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from math import log1p
from statistics import median
from typing import Any

import ibis

from services.scoring.day_signals import Wording, signal
from services.scoring.effects import ASSUMED_MARGIN, EFFECTS, in_ten
from services.scoring.facts import OrderFacts
from services.scoring.model_rows import at_own_margin
from services.scoring.outcomes import quantity_reached
from services.scoring.value import PRIOR_STRENGTH, headline, readable, shortened
from shared.domain.signal import Action, DaySignalKind, Episode, Evidence, Signal, Trigger

HALF = 0.5
BACK = 0.8
"""From this share of the usual on, a quantity is the usual one."""

COMPARED = 8
FEW_PURCHASES = 5
"""What is usual is the median of the last eight purchases before, five at least; and this is less than any of them."""

SETTLING_DAYS = 14
SEEN_DAYS = 30
"""Spoken of from two weeks after the purchase on, in which it may be made up for, until a month after."""

WITHIN = timedelta(days=60)
MOST_TIMES = 3
UNAIDED = 0.28
"""How often the quantity came back within 60 days at a wholesaler, until the company's own past says otherwise."""

PRIOR_RETURNS = PRIOR_STRENGTH * UNAIDED
PRIOR_DAYS = PRIOR_RETURNS * WITHIN.days / -log1p(-UNAIDED)
"""What twenty such purchases would have shown: so many came back, in so many days of waiting."""

FEWEST_OUTCOMES = 30
SHOWS_FOR = timedelta(days=14)
_ITEM = ("customer_id", "product_id")


def candidates(facts: Any, as_of: datetime) -> Any:  # noqa: ANN401, ARG001 - an ibis table; the facts are as of then
    """Return the smallest purchases of a customer and item that were not made up for, with p0; those of late.

    p0 is learnt from all of them, those too whose 60 days are not over: a constant chance a day, returns per day of
    waiting. Counting only what is over would leave out the last 74 days, and be behind every season.
    """
    seen = _halved(facts)
    seen = seen.filter(seen.silent_days >= SETTLING_DAYS)
    past = seen.agg(
        outcomes=(seen.silent_days >= SETTLING_DAYS + WITHIN.days).sum().fill_null(0),
        returns=seen.came_back.sum().fill_null(0),
        waited_for=seen.waited.sum().cast("float64").fill_null(0.0),
    )
    late = seen.filter((seen.silent_days <= SEEN_DAYS) & (seen.came_back == 0))
    named = late.join(
        facts.products.filter(facts.products.is_active).select("product_id", "name"), "product_id"
    )
    rows = named.cross_join(past)
    daily = (rows.returns + PRIOR_RETURNS) / (rows.waited_for + PRIOR_DAYS)
    times = ibis.least(ibis.greatest(WITHIN.days / rows.usual_days, 1.0), float(MOST_TIMES))
    rows = rows.mutate(
        p0=1 - (-WITHIN.days * daily).exp(),
        is_estimated=rows.outcomes < FEWEST_OUTCOMES,
        revenue=(rows.usual - rows.taken) * rows.unit_price * times,
        enough=BACK * rows.usual,
    )
    odds = rows.p0 / (1 - rows.p0) * ibis.literal(EFFECTS[KIND.name]).exp()
    rows = rows.mutate(gain=(odds / (1 + odds) - rows.p0) * rows.revenue * ASSUMED_MARGIN)
    rows = at_own_margin(
        facts, rows.drop("outcomes", "returns", "waited_for", "waited", "came_back", "last_day")
    )
    return rows.mutate(
        fires=ibis.literal(value=True), score=rows.gain, since_days=rows.silent_days - SETTLING_DAYS
    )


def _halved(facts: Any) -> ibis.Table:  # noqa: ANN401 - of any of our facts
    """Return every purchase of half the usual that was not made up for in two weeks, and whether the usual came back.

    `came_back` (0 or 1) looks at the 60 days after those two weeks, as far as there are facts; `waited` is how many of
    them went by before it did, or until now.
    """
    bought = facts.accounts.filter(facts.accounts.base_net > 0)
    days = bought.group_by(*_ITEM, "day").agg(taken=bought.quantity.sum(), net=bought.base_net.sum())
    before = ibis.window(group_by=_ITEM, order_by="day", preceding=(COMPARED, 1))
    compared = days.mutate(
        usual=days.taken.median().over(before),
        least=days.taken.min().over(before),
        purchases=days.count().over(before),
        first_day=days.day.min().over(before),
        last_day=days.day.max().over(before),
    )
    small = compared.filter(
        (compared.purchases >= FEW_PURCHASES)
        & (compared.taken <= HALF * compared.usual)
        & (compared.taken < compared.least)
    )
    span = small.last_day.delta(small.first_day, unit="day").cast("float64")
    small = small.mutate(
        unit_price=small.net / small.taken,
        usual_days=ibis.greatest(span / (small.purchases - 1), 1.0),
    ).drop("net", "least", "first_day")
    later = days.select(*_ITEM, later_day="day", later_taken="taken")
    both = small.left_join(
        later, [*(small[name] == later[name] for name in _ITEM), later.later_day > small.day]
    )
    after = both.later_day.delta(both.day, unit="day")
    is_back = (both.later_taken >= BACK * both.usual) & (after > SETTLING_DAYS)
    names = [name for name in small.columns if name not in _ITEM]
    summed = both.group_by(*_ITEM, *names).agg(
        made_up=both.later_taken.sum(where=after <= SETTLING_DAYS).fill_null(0.0),
        back_after=after.min(where=is_back),
    )
    missing = summed.filter(summed.taken + summed.made_up < BACK * summed.usual).drop("made_up")
    age = ibis.literal(facts.today).delta(missing.day, unit="day").cast("int64")
    waited = ibis.least(ibis.coalesce(missing.back_after, age) - SETTLING_DAYS, WITHIN.days)
    came_back = (missing.back_after < SETTLING_DAYS + WITHIN.days).fill_null(False).cast("int64")
    return missing.mutate(silent_days=age, waited=waited, came_back=came_back).drop("back_after")


def tell(row: Mapping[str, Any]) -> Signal:
    """Word what was taken beside what is usual, and since when it is not made up for."""
    name = readable(row["name"] or f"item {row['product_id']}")
    taken, usual = f"{row['taken']:g}", f"{row['usual']:g}"
    estimated = " (estimated)" if row["is_estimated"] else ""
    wording = Wording(
        kind=KIND.name,
        subject=f"product:{row['product_id']}",
        cause="half",
        headline=headline(f"Only {taken} of", name, f", usually {usual}"),
        question=f"Where does the rest of {shortened(name)} come from now?",
        evidence=(
            Evidence(
                "What they took",
                f"{taken} {row['silent_days']} days ago, before that usually {usual} every"
                f" {round(row['usual_days'])} days; not made up for since.",
            ),
            Evidence(
                "Cases like this",
                f"{in_ten(row['p0']).capitalize()} take the usual quantity again within 60 days by"
                f" themselves{estimated}.",
            ),
        ),
        shows_for=SHOWS_FOR,
        horizon=WITHIN,
        product_id=row["product_id"],
        detail={"taken": row["taken"], "usual": row["usual"]},
    )
    return signal(row, wording, stake=row["revenue"] * row["margin_rate"])


def outcome(facts: Any, as_of: datetime, rows: Any) -> Any:  # noqa: ANN401 - ibis tables
    """Return per customer and item `happened`: in the 60 days after, a purchase was of the usual quantity."""
    return quantity_reached(facts, as_of, rows, "enough", WITHIN)


def ends(facts: OrderFacts, episode: Episode) -> str | None:
    """End when the customer takes the usual quantity."""
    lines = [each for each in facts.lines if each.product.id == episode.product_id]
    if not lines or not lines[0].history:
        return None
    taken = sum((each.line.quantity for each in lines), Decimal(0))
    return (
        "they took the usual quantity"
        if taken >= Decimal(str(BACK)) * median(each.quantity for each in lines[0].history)
        else None
    )


KIND: DaySignalKind[OrderFacts] = DaySignalKind(
    name="half_usual",
    version="1",
    trigger=Trigger.CUSTOMER_DAY,
    candidates=candidates,
    tell=tell,
    ends=ends,
    outcome=outcome,
    outcome_within=WITHIN,
    episode_ttl=timedelta(days=30),
    is_selling=True,
    is_absence=True,
    is_inbox_only=True,
    needs=("orders", "history"),
    action=Action.CALL,
)
