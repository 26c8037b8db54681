"""Going quiet: a live customer has been silent well beyond their own rhythm, and may not come back by themselves."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import ibis

from services.scoring.day_signals import Wording, estimated, signal
from services.scoring.effects import in_ten
from services.scoring.facts import OrderFacts
from services.scoring.margins import at_own_margin
from services.scoring.outcomes import ordered_again
from services.scoring.silence import still_silent
from shared.domain.signal import DaySignalKind, Episode, Evidence, Signal, Trigger

MODEL = "going_quiet"
SHOWS_FOR = timedelta(days=7)

OVERDUE = 1.5
"""Times the usual gap: sooner, "no order for 24 days, usually 22" tells a rep nothing."""

BEYOND_THEIR_LONGEST = 1.25
"""Who was away as long before and came back is no news: a silence is, from so many times their longest gap on. On a
gift wholesaler (Mondays, June to November) that names 85 customers, of whom 22 stayed away for 90 days, where a day
beyond the longest, or 2.5 usual gaps, names 129, of whom 23 did; with as much lost trade.
"""

WHATEVER_THEY_DID = 4.0
"""From so many usual gaps on, one long pause of theirs, a holiday say, excuses no silence."""

SHORTEST_SILENCE_DAYS = 14
FEWEST_ORDER_DAYS = 5


def candidates(facts: Any, as_of: datetime) -> Any:  # noqa: ANN401, ARG001 - an ibis table; it was made as of then
    """Return every live customer with the chance that they are lost; those fire who are overdue."""
    rows = facts.predictions.table(MODEL)
    if rows is None:
        return facts.nobody
    rows = at_own_margin(facts, still_silent(facts, rows, "customer_id"), of_heads=True)
    unusual = ibis.least(BEYOND_THEIR_LONGEST * rows.longest_days, WHATEVER_THEY_DID * rows.usual_days)
    overdue_at = ibis.greatest(SHORTEST_SILENCE_DAYS, OVERDUE * rows.usual_days, unusual).ceil().cast("int64")
    since = rows.silent_days - overdue_at
    fires = (since >= 0) & (rows.order_days >= FEWEST_ORDER_DAYS) & (rows.is_off_season == 0)
    return rows.mutate(fires=fires, score=rows.p_lost, since_days=since)


def tell(row: Mapping[str, Any]) -> Signal:
    """Word a customer who fires: the fact, then how many such customers come back by themselves."""
    silent, usual = row["silent_days"], round(row["usual_days"])
    wording = Wording(
        kind=KIND.name,
        subject="orders",
        cause="silence",
        headline=f"No order for {silent} days, usually {usual}",
        question="What has changed since their last order?",
        evidence=(
            Evidence(
                "Their rhythm",
                f"{row['order_days']} order days, usually {usual} days apart, at most {row['longest_days']};"
                f" {silent} days since the last.",
            ),
            Evidence(
                "Customers like this",
                f"{in_ten(row['p0']).capitalize()} order again within 90 days by themselves{estimated(row)}.",
            ),
        ),
        shows_for=SHOWS_FOR,
        detail={"silent_days": silent, "usual_days": usual},
    )
    return signal(row, wording, stake=row["revenue"] * row["margin_rate"])


def outcome(facts: Any, as_of: datetime, rows: Any) -> Any:  # noqa: ANN401 - ibis tables
    """Return per customer `happened`: they ordered in the 90 days after."""
    return ordered_again(facts, as_of, rows)


def ends(facts: OrderFacts, episode: Episode) -> str | None:  # noqa: ARG001 - every order answers the question
    """End with any order."""
    return "they ordered"


KIND: DaySignalKind[OrderFacts] = DaySignalKind(
    name="going_quiet",
    version="2",
    trigger=Trigger.CUSTOMER_DAY,
    candidates=candidates,
    tell=tell,
    ends=ends,
    outcome=outcome,
    episode_ttl=timedelta(days=60),
    is_selling=False,
    is_absence=True,
    needs=("orders", "history", "regulars"),
    needs_model=MODEL,
)
