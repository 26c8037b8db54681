"""Stopped item: a customer who still orders no longer takes an item they always took, though others do."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from services.scoring import stopped
from services.scoring.facts import OrderFacts
from services.scoring.outcomes import bought_again
from shared.domain.signal import DaySignalKind, Episode, Signal, Trigger

MODEL = "stopped_item"


def candidates(facts: Any, as_of: datetime) -> Any:  # noqa: ANN401, ARG001 - an ibis table; it was made as of then
    """Return the items that live customers stopped taking, with p0 and name."""
    rows = stopped.candidates(facts, MODEL, "product_id")
    if rows is None:
        return facts.nobody
    return rows.join(facts.products.select("product_id", "name"), "product_id")


def tell(row: Mapping[str, Any]) -> Signal:
    """Name the item: since when it was not taken, beside how often it was."""
    product_id = row["product_id"]
    return stopped.tell(row, KIND.name, f"product:{product_id}", row["name"], product_id)


def outcome(facts: Any, as_of: datetime, rows: Any) -> Any:  # noqa: ANN401 - ibis tables
    """Return per customer and item `happened`: they bought it in the 90 days after."""
    return bought_again(facts, as_of, rows, "product_id")


def ends(facts: OrderFacts, episode: Episode) -> str | None:
    """End when the customer buys the item."""
    return "the customer bought it" if episode.product_id in facts.basket else None


KIND: DaySignalKind[OrderFacts] = DaySignalKind(
    name="stopped_item",
    version="2",
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
