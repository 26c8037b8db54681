"""Stopped category: a customer who still orders no longer takes a category they always took, though others do."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from services.scoring import stopped
from services.scoring.facts import OrderFacts
from services.scoring.outcomes import bought_again
from shared.domain.signal import DaySignalKind, Episode, Signal, Trigger

MODEL = "stopped_category"


def candidates(facts: Any, as_of: datetime) -> Any:  # noqa: ANN401, ARG001 - an ibis table; it was made as of then
    """Return the categories that live customers stopped taking, with p0."""
    rows = stopped.candidates(facts, MODEL, "category")
    return facts.nobody if rows is None else rows


def tell(row: Mapping[str, Any]) -> Signal:
    """Name the category: since when it was not taken, beside how often it was."""
    return stopped.tell(row, KIND.name, f"category:{row['category']}", row["category"])


def outcome(facts: Any, as_of: datetime, rows: Any) -> Any:  # noqa: ANN401 - ibis tables
    """Return per customer and category `happened`: they bought of it in the 90 days after."""
    return bought_again(facts, as_of, rows, "category")


def ends(facts: OrderFacts, episode: Episode) -> str | None:  # noqa: ARG001 - an order does not tell categories
    """Return None: the night that finds it bought again ends the episode."""
    return None


KIND: DaySignalKind[OrderFacts] = DaySignalKind(
    name="stopped_category",
    version="2",
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
