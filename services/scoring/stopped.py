"""Stopped: what the kinds of stopped items and stopped categories have in common."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import ibis

from services.scoring.day_signals import Wording, estimated, signal
from services.scoring.effects import in_ten
from services.scoring.model_rows import at_own_margin, still_silent
from services.scoring.price_gaps import QUARTER
from services.scoring.value import readable, shortened
from shared.domain.signal import Evidence, Signal

GAPS_ABSENT = 3
"""Absent for so many of its own gaps, it counts as stopped."""

ABSENT_DAYS = (45, 240)
SMALL = 0.02
"""What was less of the customer's trade is a word with their next order, not a reason to call: they are well. On a gift
wholesaler seven in ten such items were taken again by themselves, of larger ones fewer than four.
"""

TRADE_DAYS = 270

SHOWS_FOR = timedelta(days=14)
LONGEST_NAME = 36


def candidates(facts: Any, table: str, key: str) -> ibis.Table | None:  # noqa: ANN401 - of any of our facts
    """Return all that live customers stopped taking (`key`: product_id or category), each firing; None: not learnt."""
    rows = facts.predictions.table(table)
    if rows is None:
        return None
    rows = at_own_margin(facts, still_silent(facts, rows, "customer_id", key))
    rows = _beside_their_trade(facts, rows)
    stopped_at = (GAPS_ABSENT * rows.usual_days).ceil().cast("int64")
    since = rows.silent_days - ibis.greatest(stopped_at, ABSENT_DAYS[0])
    return rows.mutate(fires=ibis.literal(value=True), score=rows.revenue, since_days=since)


def _beside_their_trade(facts: Any, rows: ibis.Table) -> ibis.Table:  # noqa: ANN401 - of any of our facts
    """Add `share`, how much of the customer's trade of a quarter it was."""
    lately = facts.order_days.filter(facts.order_days.day >= facts.today - timedelta(days=TRADE_DAYS))
    trade = lately.group_by("customer_id").agg(trade=lately.net.sum() * QUARTER / TRADE_DAYS)
    both = rows.left_join(trade, "customer_id").drop("customer_id_right")
    return both.mutate(share=ibis.ifelse(both.trade > 0, both.revenue / both.trade, 1.0)).drop("trade")


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
                f"{name} {row['days']} times, usually {usual} days apart; {silent} days since the last.",
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
        is_talking_point=row.get("share", 1.0) < SMALL,
        detail={"silent_days": silent, "usual_days": usual},
    )
    return signal(row, wording, stake=row["revenue"] * row["margin_rate"])
