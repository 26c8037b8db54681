"""Stopped category: a customer who still orders no longer takes a category they always took, though others do."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import ibis

from services.scoring.effects import in_ten, valuation
from services.scoring.facts import OrderFacts
from services.scoring.margins import at_own_margin
from services.scoring.outcomes import bought_again
from shared.domain.signal import DaySignalKind, Episode, Evidence, Signal, Trigger

MODEL = "stopped_category"
HORIZON = timedelta(days=90)
SHOWS_FOR = timedelta(days=14)
GAPS_ABSENT = 3
SHORTEST_ABSENCE_DAYS = 45
LEAST_GAIN = 10.0
"""What a call costs."""


def candidates(facts: Any, as_of: datetime) -> Any:  # noqa: ANN401, ARG001 - an ibis table; it was made as of then
    """Return all that live customers stopped taking, with p0; what merits a call fires."""
    rows = facts.predictions.table(MODEL)
    if rows is None:
        return facts.customers.limit(0).mutate(fires=facts.customers.customer_id < 0)
    rows = at_own_margin(facts, rows)
    stopped_at = (GAPS_ABSENT * rows.usual_days).ceil().cast("int64")
    since = rows.silent_days - ibis.greatest(stopped_at, SHORTEST_ABSENCE_DAYS)
    return rows.mutate(fires=rows.gain >= LEAST_GAIN, score=rows.revenue, since_days=since)


def tell(row: Mapping[str, Any]) -> Signal:
    """Word what was stopped: since when, beside how often it was taken."""
    name = _short(row["category"])
    silent, usual = row["silent_days"], max(1, round(row["usual_days"]))
    worth = valuation("stopped_category", row["p0"], max(row["revenue"], 0.0) * row["margin_rate"])
    return Signal(
        kind=KIND.name,
        customer_id=row["customer_id"],
        subject=f"category:{row['category']}",
        cause="absence",
        probability=row["p0"],
        basis="measured",
        stake=worth.stake,
        value=worth.gain,
        low=worth.low,
        high=worth.high,
        horizon=HORIZON,
        headline=f"No {name} for {silent} days",
        question=f"Where do you get {name} now?",
        evidence=(
            Evidence(
                "What they took",
                f"{name} on {row['days']} days, usually {usual} days apart; {silent} days since the last.",
            ),
            Evidence("They still order", f"{row['orders_since']} order days since, all without it."),
            Evidence("Others", f"{row['buyers']} other customers bought it in the last 45 days."),
            Evidence(
                "Cases like this",
                f"{in_ten(row['p0']).capitalize()} take it again within 90 days by themselves.",
            ),
        ),
        as_of=row["as_of"],
        expires_at=row["as_of"] + SHOWS_FOR,
        assumed_margin=row["is_margin_assumed"],
        detail={"silent_days": silent, "usual_days": usual, "p0": round(row["p0"], 4)},
    )


def _short(name: str | None) -> str:
    """Return a name that fits a headline."""
    words = " ".join((name or "it").split())
    return words if len(words) <= 36 else words[:35].rsplit(" ", 1)[0] + "…"


def outcome(facts: Any, as_of: datetime, rows: Any) -> Any:  # noqa: ANN401 - ibis tables
    """Return per customer and category `happened`: they bought of it in the 90 days after."""
    return bought_again(facts, as_of, rows, "category")


def ends(facts: OrderFacts, episode: Episode) -> str | None:  # noqa: ARG001 - an order does not tell categories
    """End by the night that finds it bought again."""
    return None


KIND: DaySignalKind[OrderFacts] = DaySignalKind(
    name="stopped_category",
    version="1",
    trigger=Trigger.CUSTOMER_DAY,
    candidates=candidates,
    tell=tell,
    ends=ends,
    outcome=outcome,
    episode_ttl=timedelta(days=90),
    is_selling=True,
    is_absence=True,
    needs=("orders", "history", "regulars", "categories"),
    needs_model=MODEL,
)
