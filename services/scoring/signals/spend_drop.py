"""Spend drop: a customer who still orders in their rhythm spends far less than is usual for them."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from services.scoring.effects import in_ten, valuation
from services.scoring.facts import OrderFacts
from services.scoring.margins import at_own_margin
from services.scoring.outcomes import spend_recovered
from shared.domain.signal import DaySignalKind, Episode, Evidence, Signal, Trigger

MODEL = "spend_drop"
HORIZON = timedelta(days=90)
SHOWS_FOR = timedelta(days=14)
UNUSUAL = -2.0
"""Deviations below the usual: by chance alone fewer than one customer in forty falls so far."""

LEAST_GAIN = 10.0
"""What a call costs."""


def candidates(facts: Any, as_of: datetime) -> Any:  # noqa: ANN401, ARG001 - an ibis table; it was made as of then
    """Return customers whose spend dropped, with p0; those fire whose drop is unusual and merits a call."""
    rows = facts.predictions.table(MODEL)
    if rows is None:
        return facts.customers.limit(0).mutate(fires=facts.customers.customer_id < 0)
    rows = at_own_margin(facts, rows, of_heads=True)
    return rows.mutate(fires=(rows.deviation <= UNUSUAL) & (rows.gain >= LEAST_GAIN), score=-rows.deviation)


def tell(row: Mapping[str, Any]) -> Signal:
    """Word a drop: the last quarter beside the usual one."""
    worth = valuation("spend_drop", row["p0"], max(row["revenue"], 0.0) * row["margin_rate"])
    return Signal(
        kind=KIND.name,
        customer_id=row["customer_id"],
        subject="spend",
        cause="drop",
        probability=row["p0"],
        basis="measured",
        stake=worth.stake,
        value=worth.gain,
        low=worth.low,
        high=worth.high,
        horizon=HORIZON,
        headline=f"Spent {row['drop']:.0%} less than usual in 13 weeks",
        question="What do they buy elsewhere now?",
        evidence=(
            Evidence(
                "Their trade",
                f"{row['last_quarter']:,.0f} in the last 13 weeks, usually {row['usual_quarter']:,.0f} at this time;"
                f" they ordered on {row['orders_quarter']} days.",
            ),
            Evidence(
                "Customers like this",
                f"{in_ten(row['p0']).capitalize()} are back to four fifths of the usual within 90 days by themselves.",
            ),
        ),
        as_of=row["as_of"],
        expires_at=row["as_of"] + SHOWS_FOR,
        assumed_margin=row["is_margin_assumed"],
        detail={"drop": round(row["drop"], 4), "p0": round(row["p0"], 4)},
    )


def outcome(facts: Any, as_of: datetime, rows: Any) -> Any:  # noqa: ANN401 - ibis tables
    """Return per customer `happened`: their spend of the 90 days after is four fifths of the usual."""
    return spend_recovered(facts, as_of, rows)


def ends(facts: OrderFacts, episode: Episode) -> str | None:  # noqa: ARG001 - one order does not make a quarter
    """End by the night that finds their spend recovered."""
    return None


KIND: DaySignalKind[OrderFacts] = DaySignalKind(
    name="spend_drop",
    version="1",
    trigger=Trigger.CUSTOMER_DAY,
    candidates=candidates,
    tell=tell,
    ends=ends,
    outcome=outcome,
    episode_ttl=timedelta(days=90),
    is_selling=True,
    is_absence=True,
    needs=("orders", "history", "regulars"),
    needs_model=MODEL,
)
