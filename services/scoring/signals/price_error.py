"""Price error: a line far below what this customer agreed or usually pays for the quantity, or below its usual margin.

It is a mistake on the order: what is lost on this order alone is at stake. Prices of the list for the day and quantity,
a price most others got, and agreed prices are no mistakes; what is below its floor is `below_floor`'s.

It must matter: all such lines of the order together lose a hundredth of it, or ten times what a correction costs.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from services.scoring import prices
from services.scoring.facts import LineFacts, OrderFacts
from services.scoring.prices import UsualPrice
from services.scoring.value import THIS_ORDER, headline, shortened, valuation
from shared.domain.signal import Action, Episode, Evidence, OrderSignalKind, Signal

MATERIAL_SHARE = Decimal("0.01")
MATERIAL_COSTS = 10
"""What is lost on an order matters from this share of it on, or from so many times what a correction costs."""


def detect(facts: OrderFacts) -> Iterator[Signal | None]:
    """Find the lines whose price somebody may have got wrong, where that matters on the order."""
    lines = [(line, usual) for line in facts.lines if (usual := _mistaken(facts, line)) is not None]
    lost = sum((_lost(line, usual) for line, usual in lines), Decimal(0))
    ordered = sum((each.base_net or Decimal(0) for each in facts.lines), Decimal(0))
    matters = lost >= min(MATERIAL_SHARE * ordered, MATERIAL_COSTS * facts.assumptions.correction_cost)
    for line, usual in lines:
        yield _signal(facts, line, usual) if matters else None


def _lost(line: LineFacts, usual: UsualPrice) -> Decimal:
    return (usual.price - prices.base_price(line)) * line.line.quantity


def _mistaken(facts: OrderFacts, line: LineFacts) -> UsualPrice | None:
    """What the line should have cost, when it is far below it and nothing explains that."""
    if line.line.net <= 0 or not prices.is_priced(facts, line):
        return None
    usual = prices.usual_price(facts, line)
    if usual is None or not _is_far_below(line, usual):
        return None
    if line.agreed_price is None and (prices.is_list_price(facts, line) or prices.most_paid_it(facts, line)):
        return None
    return None if prices.is_below_floor(facts, line) else usual


def _is_far_below(line: LineFacts, usual: UsualPrice) -> bool:
    """Ten parts in a hundred of the price; by the usual margin alone, ten points of margin."""
    price = prices.base_price(line)
    margin = prices.usual_margin(line)
    if usual.own or line.agreed_price is not None or margin is None or line.base_unit_cost is None:
        return price <= usual.price * (1 - prices.NOTABLE_GAP)
    return margin - (1 - line.base_unit_cost / price) >= prices.NOTABLE_GAP


def _signal(facts: OrderFacts, line: LineFacts, usual: UsualPrice) -> Signal:
    price = prices.base_price(line)
    worth = valuation(
        KIND.name,
        _lost(line, usual),
        prices.UNAIDED,
        facts.assumptions,
        is_assumed=False,
    )
    sold, right = prices.own(facts, price), prices.own(facts, usual.price)
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
        headline=headline("", line.product.name, f"{sold}, usually {right}").strip(),
        question=f"Who agreed this price for {shortened(line.product.name)}, or is it an error?",
        evidence=(
            Evidence("Price", f"{sold} a unit; {right} would be usual."),
            prices.lost(facts, line, usual.price),
            *prices.shown(facts, line, usual),
        ),
        as_of=facts.as_of,
        expires_at=facts.as_of + prices.CORRECTABLE,
        revenue=line.base_net,
        product_id=line.product.id,
        detail={"price": str(line.unit_price), "usual": str(usual.price)},
    )


def outcome(facts: Any, _as_of: datetime, rows: Any) -> Any:  # noqa: ANN401 - ibis tables
    """Return per order and item `happened`: the order was amended to the right price while it could be."""
    return prices.put_right(facts, rows, "usual")


def ends(facts: OrderFacts, episode: Episode) -> str | None:
    """End when the product is sold to this customer and no line of it is far below what they usually pay."""
    lines = [each for each in facts.lines if each.product.id == episode.product_id and each.line.net > 0]
    if not lines or any(_mistaken(facts, each) is not None for each in lines):
        return None
    return "sold at the usual price again"


KIND = OrderSignalKind(
    name="price_error",
    version="1",
    detect=detect,
    ends=ends,
    outcome=outcome,
    outcome_within=prices.CORRECTABLE,
    episode_ttl=timedelta(days=30),
    is_selling=False,
    action=Action.CORRECTION,
)
