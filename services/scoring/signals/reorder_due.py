"""Reorder due: what a live customer takes in a steady rhythm is due by its own gaps and not ordered yet.

One point a customer and day, summed, named by what weighs most. It is for whoever speaks with the customer anyway, or
has time for a list: most of it comes by itself, so it is read in the inbox and no message is sent of it.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import ibis

from services.scoring.day_signals import Wording, estimated, signal
from services.scoring.effects import in_ten
from services.scoring.facts import OrderFacts
from services.scoring.model_rows import at_own_margin, still_silent
from services.scoring.outcomes import half_bought
from services.scoring.value import headline, readable, shortened
from shared.domain.signal import Action, DaySignalKind, Episode, Evidence, Signal, Trigger

MODEL = "reorder"
"""It says what is due in a table of its own, named as the kind is."""

WITHIN = timedelta(days=14)
SHOWS_FOR = timedelta(days=7)
NAMED = 3
"""How many of the due items are named."""


def candidates(facts: Any, as_of: datetime) -> Any:  # noqa: ANN401, ARG001 - an ibis table; it was made as of then
    """Return a row per customer: the due items, the most money first, and the chance that half of them come unasked."""
    rows = facts.predictions.table(KIND.name)
    if rows is None:
        return facts.nobody
    rows = at_own_margin(facts, still_silent(facts, rows, "customer_id", "product_id"))
    named = rows.join(facts.products.select("product_id", "name"), "product_id")
    told = ("product_id", "name", "days", "usual_days", "silent_days", "quantity")
    best_first = [ibis.desc(named.revenue), named.product_id]
    lists = named.group_by("customer_id").agg(
        items=ibis.struct({name: named[name] for name in told}).collect(order_by=best_first),
        products=named.product_id.collect(order_by=best_first),
        p0=named.p0.max(),
        revenue=named.revenue.sum(),
        margin_rate=named.margin_rate.max(),
        is_margin_assumed=named.is_margin_assumed.any(),
        gain=named.gain.sum(),
    )
    return lists.mutate(fires=ibis.literal(value=True), score=lists.gain, product_id=lists.products[0])


def tell(row: Mapping[str, Any]) -> Signal:
    """Name what is due: how often each is taken, and how long ago it last was."""
    items = row["items"]
    first, *others = items
    name = _name(first)
    wording = Wording(
        kind=KIND.name,
        subject=f"product:{first['product_id']}",
        cause="due",
        headline=headline("Due:", name, f"and {len(others)} more" if others else ""),
        question=f"Shall we send the usual {first['quantity']:g} of {shortened(name)}?",
        evidence=(
            *(
                Evidence(
                    shortened(_name(each)),
                    f"On {each['days']} days of a year, usually {each['quantity']:g} every"
                    f" {max(1, round(each['usual_days']))} days; last {each['silent_days']} days ago.",
                )
                for each in items[:NAMED]
            ),
            Evidence(
                "Lists like this",
                f"Of {in_ten(row['p0'])} at least half is ordered within 14 days by itself{estimated(row)}.",
            ),
        ),
        shows_for=SHOWS_FOR,
        horizon=WITHIN,
        product_id=first["product_id"],
        detail={"products": list(row["products"])},
    )
    return signal(row, wording, stake=row["revenue"] * row["margin_rate"])


def _name(item: Mapping[str, Any]) -> str:
    return readable(item["name"] or f"item {item['product_id']}")


def outcome(facts: Any, as_of: datetime, rows: Any) -> Any:  # noqa: ANN401 - ibis tables
    """Return per customer and first item `happened`: they bought half of the due items in the 14 days after."""
    return half_bought(facts, as_of, rows, WITHIN)


def ends(facts: OrderFacts, episode: Episode) -> str | None:
    """End when the customer buys the item that named it; the hour looks at the others."""
    return "the customer bought it" if episode.product_id in facts.basket else None


KIND: DaySignalKind[OrderFacts] = DaySignalKind(
    name="reorder_due",
    version="2",
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
    needs=("orders", "history", "regulars"),
    needs_model=MODEL,
    action=Action.CALL,
)
