"""Day signals: a row that a day kind finds, as a signal with its worth and the words its kind gives it.

The night and the backtest make them alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from services.scoring.facts import Assumptions, OrderFacts
from services.scoring.value import HORIZON, Probability, is_worth_keeping, valuation
from shared.domain.signal import DaySignalKind, Evidence, Signal


def found_in(
    kind: DaySignalKind[OrderFacts],
    row: Mapping[str, Any],
    as_of: datetime,
    assumptions: Assumptions,
    *,
    is_season_known: bool = True,
) -> Signal | None:
    """Return the signal of a row that fires, with the row as its facts; None where acting brings less than it costs.

    What was learnt in other seasons alone is *estimated*: a season not seen may be quite another.
    """
    # DuckDB returns a literal as a decimal, which JSON would keep as text
    plain = {name: float(each) if isinstance(each, Decimal) else each for name, each in row.items()}
    is_estimated = bool(plain.get("is_estimated")) or not is_season_known
    told = plain | {"as_of": as_of, "assumptions": assumptions, "is_estimated": is_estimated}
    found = kind.tell(told)
    if not is_worth_keeping(found, kind.action, assumptions):
        return None
    return found if found.facts is not None else replace(found, facts=told)


@dataclass(frozen=True, slots=True)
class Wording:
    """What a kind says of a row: the words, what they are about, and for how long they are shown."""

    kind: str
    subject: str
    cause: str
    headline: str
    question: str
    evidence: tuple[Evidence, ...]
    shows_for: timedelta
    horizon: timedelta = HORIZON
    product_id: int | None = None
    revenue: Decimal | None = None
    is_talking_point: bool = False
    detail: dict[str, Any] = field(default_factory=dict)


def estimated(row: Mapping[str, Any]) -> str:
    """Return what stands behind a chance learnt in other seasons alone."""
    return " (estimated: the first year this season is seen)" if row.get("is_estimated") else ""


def signal(row: Mapping[str, Any], wording: Wording, *, stake: float, basis: str = "measured") -> Signal:
    """Return the signal of a row: `stake` is the margin of its horizon in base currency, `basis` says how p0 is known.

    The row carries `p0`, `as_of` and `assumptions`, `is_estimated` where p0 is not measured in such a season, and
    `is_margin_assumed` where the margin rate may be the setting's.
    """
    basis = "estimated" if row.get("is_estimated") else basis
    p0 = Probability(float(row["p0"]), basis)
    is_assumed = bool(row.get("is_margin_assumed"))
    margin = Decimal(str(max(stake, 0.0)))
    worth = valuation(wording.kind, margin, p0, row["assumptions"], is_assumed=is_assumed)
    return Signal(
        kind=wording.kind,
        customer_id=row["customer_id"],
        subject=wording.subject,
        cause=wording.cause,
        probability=p0.value,
        basis=basis,
        stake=worth.stake,
        value=worth.gain,
        low=worth.low,
        high=worth.high,
        horizon=wording.horizon,
        headline=wording.headline,
        question=wording.question,
        evidence=wording.evidence,
        as_of=row["as_of"],
        expires_at=row["as_of"] + wording.shows_for,
        assumed_margin=is_assumed,
        is_talking_point=wording.is_talking_point,
        revenue=wording.revenue,
        product_id=wording.product_id,
        detail=wording.detail,
    )
