"""Below floor: a line was sold below the least margin we sell at, cost ÷ (1 - floor).

It is a mistake on the order, not a sale to win: it says what is lost on this order, at once, to whom can correct it. A
question of its own: what is answered about an odd price never hides it.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from services.scoring import prices
from services.scoring.facts import LineFacts, OrderFacts
from services.scoring.value import THIS_ORDER, headline, shortened, valuation
from shared.domain.signal import Action, Episode, Evidence, OrderSignalKind, Severity, Signal


def detect(facts: OrderFacts) -> Iterator[Signal]:
    """Find the lines below their floor."""
    for line in facts.lines:
        if line.base_unit_cost is not None and prices.is_below_floor(facts, line):
            yield _signal(facts, line)


def _signal(facts: OrderFacts, line: LineFacts) -> Signal:
    """Lost is what lies between the price and what it should have been: never less than the floor."""
    usual = prices.usual_price(facts, line)
    cost, price = line.base_unit_cost or Decimal(0), prices.base_price(line)
    least = prices.floor_price(facts, line) or cost
    right = max(least, usual.price) if usual is not None else least
    worth = valuation(
        KIND.name,
        (right - price) * line.line.quantity,
        prices.UNAIDED,
        facts.assumptions,
        is_assumed=False,
    )
    is_below_cost = price < cost
    sold, bought, floor = (prices.own(facts, each) for each in (price, cost, least))
    measure = f"cost {bought}" if is_below_cost else f"floor {floor}"
    text = f"Sold at {sold}; cost {bought}, floor {floor}."
    return Signal(
        kind=KIND.name,
        customer_id=facts.customer.id,
        subject=f"product:{line.product.id}",
        cause=f"line:{line.line.id}",
        probability=prices.UNAIDED.value,
        basis=prices.UNAIDED.basis,
        stake=worth.stake,
        value=worth.gain,
        low=worth.low,
        high=worth.high,
        horizon=THIS_ORDER,
        headline=headline("", line.product.name, f"{sold}, {measure}").strip(),
        question=f"Is the price of {shortened(line.product.name)} agreed, or an error we can still correct?",
        evidence=(
            Evidence("Below cost" if is_below_cost else "Below floor", text),
            prices.lost(facts, line, right),
            *prices.shown(facts, line, usual),
        ),
        as_of=facts.as_of,
        expires_at=facts.as_of + prices.CORRECTABLE,
        severity=Severity.URGENT,
        revenue=line.base_net,
        product_id=line.product.id,
        detail={"price": str(line.unit_price), "floor": str(least)},
    )


def outcome(facts: Any, _as_of: datetime, rows: Any) -> Any:  # noqa: ANN401 - ibis tables
    """Return per order and item `happened`: the order was amended to the right price while it could be."""
    return prices.put_right(facts, rows, "floor")


def ends(facts: OrderFacts, episode: Episode) -> str | None:
    """End when the product is sold to this customer and no line of it is below its floor."""
    lines = [each for each in facts.lines if each.product.id == episode.product_id and each.line.net > 0]
    if not lines or any(prices.is_below_floor(facts, each) for each in lines):
        return None
    return "sold above its floor again"


KIND = OrderSignalKind(
    name="below_floor",
    version="1",
    detect=detect,
    ends=ends,
    outcome=outcome,
    outcome_within=prices.CORRECTABLE,
    episode_ttl=timedelta(days=30),
    is_selling=False,
    needs=("orders", "costs"),
    action=Action.CORRECTION,
)
