"""Stopped: what the kinds of stopped items and stopped categories have in common."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import ibis

from services.scoring.day_signals import Wording, estimated, signal
from services.scoring.effects import in_ten
from services.scoring.model_rows import at_own_margin, still_silent
from services.scoring.value import readable, shortened
from shared.domain.signal import Evidence, Signal

GAPS_ABSENT = 3
"""Absent for so many of its own gaps, it counts as stopped."""

ABSENT_DAYS = (45, 240)
SHOWS_FOR = timedelta(days=14)
LONGEST_NAME = 36


def candidates(facts: Any, table: str, key: str) -> ibis.Table | None:  # noqa: ANN401 - of any of our facts
    """Return all that live customers stopped taking (`key`: product_id or category), each firing; None: not learnt."""
    rows = facts.predictions.table(table)
    if rows is None:
        return None
    rows = at_own_margin(facts, still_silent(facts, rows, "customer_id", key))
    stopped_at = (GAPS_ABSENT * rows.usual_days).ceil().cast("int64")
    since = rows.silent_days - ibis.greatest(stopped_at, ABSENT_DAYS[0])
    return rows.mutate(fires=ibis.literal(value=True), score=rows.revenue, since_days=since)


def tell(
    row: Mapping[str, Any], kind: str, subject: str, name: str | None, product_id: int | None = None
) -> Signal:
    """Word what was stopped: since when, beside how often it was taken."""
    name = shortened(readable(name or "it"), LONGEST_NAME)
    silent, usual = row["silent_days"], max(1, round(row["usual_days"]))
    wording = Wording(
        kind=kind,
        subject=subject,
        cause="absence",
        headline=f"No {name} for {silent} days, usually {usual}",
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
                f"{in_ten(row['p0']).capitalize()} take it again within 90 days by themselves{estimated(row)}.",
            ),
        ),
        shows_for=SHOWS_FOR,
        product_id=product_id,
        detail={"silent_days": silent, "usual_days": usual},
    )
    return signal(row, wording, stake=row["revenue"] * row["margin_rate"])
