"""Spend drop: a customer who still orders in their rhythm spends far less than is usual for them."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from services.scoring.day_signals import Wording, estimated, signal
from services.scoring.effects import in_ten
from services.scoring.facts import OrderFacts
from services.scoring.model_rows import at_own_margin
from services.scoring.outcomes import spend_recovered
from services.scoring.value import rounded
from shared.domain.signal import DaySignalKind, Episode, Evidence, Signal, Trigger

MODEL = "spend_drop"
SHOWS_FOR = timedelta(days=14)
UNUSUAL = -2.0
"""Deviations below the usual: by chance alone fewer than one customer in forty falls so far."""


def candidates(facts: Any, as_of: datetime) -> Any:  # noqa: ANN401, ARG001 - an ibis table; it was made as of then
    """Return customers whose spend dropped, with p0; those fire whose drop is unusual."""
    rows = facts.predictions.table(MODEL)
    if rows is None:
        return facts.nobody
    rows = at_own_margin(facts, rows, of_heads=True)
    return rows.mutate(fires=rows.deviation <= UNUSUAL, score=-rows.deviation)


def tell(row: Mapping[str, Any]) -> Signal:
    """Word a drop: the last quarter beside the usual one."""
    currency = row["assumptions"].base_currency
    last, usual = (rounded(Decimal(row[name]), currency) for name in ("last_quarter", "usual_quarter"))
    wording = Wording(
        kind=KIND.name,
        subject="spend",
        cause="drop",
        headline=f"Spent {row['drop']:.0%} less than usual in 13 weeks",
        question="What do they buy elsewhere now?",
        evidence=(
            Evidence(
                "Their trade",
                f"{last} in the last 13 weeks, usually {usual} at this time;"
                f" they ordered on {row['orders_quarter']} days.",
            ),
            Evidence(
                "Customers like this",
                f"{in_ten(row['p0']).capitalize()} are back to four fifths of the usual within 90 days by themselves"
                f"{estimated(row)}.",
            ),
        ),
        shows_for=SHOWS_FOR,
        detail={"drop": round(row["drop"], 4)},
    )
    return signal(row, wording, stake=row["revenue"] * row["margin_rate"])


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
