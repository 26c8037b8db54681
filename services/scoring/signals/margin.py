"""Margin: a line was sold well below what this product usually earns, or below its floor.

Cost known: the line's margin rate against the product's usual rate, and the floor at once. Cost unknown: the price
against the customer's own last price and the peers' price, same channel, currency and quantity band. A
price of the price list, or one most buyers got, is no leak. Gap per unit x (this order + what the
customer is expected to buy again within 90 days) is at stake.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from services.scoring.facts import LineFacts, OrderFacts, PriceBand, band_of, breaks_on, day_of, last_price
from services.scoring.value import HORIZON, Probability, exact, headline, number, shortened, valuation
from shared.domain.signal import Episode, Evidence, OrderSignalKind, Severity, Signal

NOTABLE_GAP = Decimal("0.10")
"""Below this gap, discounting is noise: a rep who is alerted for it stops reading."""

LIST_TOLERANCE = Decimal("0.98")
FEWEST_PEERS = 8
LEAK_PRIOR = Probability(0.30)
FLOOR_PRIOR = Probability(0.50)
"""Priors of getting the price corrected: assumed until outcomes are measured here, and labelled so."""

LEAST_VALUE = Decimal("0.50")
HALF = Decimal("0.5")
SHOWS_FOR = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class _Leak:
    """A price too low: base currency missing on each unit, and the evidence."""

    per_unit: Decimal
    title: str
    question: str
    evidence: tuple[Evidence, ...]
    probability: Probability
    is_urgent: bool = False
    assumed: bool = False


def detect(facts: OrderFacts) -> Iterator[Signal]:
    """Look at lines that have a price, and at free ones whose cost is known, unless a manual total pays for them."""
    for each in facts.lines:
        if each.line.net <= 0 and (facts.has_manual_total or each.base_unit_cost is None):
            continue
        leak = _leak(facts, each)
        if leak is None:
            continue
        signal = _signal(facts, each, leak)
        if leak.is_urgent or signal.value >= LEAST_VALUE:
            yield signal


def _leak(facts: OrderFacts, line: LineFacts) -> _Leak | None:
    if line.base_net is None or facts.rate is None:
        return None
    if line.base_unit_cost is None:
        return _below_own_and_peers(facts, line)
    return _below_floor(facts, line) or _below_usual_margin(facts, line)


def _below_floor(facts: OrderFacts, line: LineFacts) -> _Leak | None:
    """Net below cost x (1 + floor), unless the product is always sold there: then cost is not the measure."""
    cost, price = line.base_unit_cost, _base_price(line)
    if cost is None:
        return None
    floor = (
        line.product.floor_margin if line.product.floor_margin is not None else facts.assumptions.floor_margin
    )
    least = cost * (1 + floor)
    usual, fitted = _usual_rate(line), line.product.fitted
    # A usual margin below the floor, of so many buyers, is no mistake made once.
    is_always_sold_there = usual is not None and usual <= floor and fitted and fitted.buyers >= FEWEST_PEERS
    if price >= least or is_always_sold_there:
        return None
    currency = facts.assumptions.base_currency
    text = f"Sold at {exact(price, currency)}; cost {exact(cost, currency)}, floor {exact(least, currency)}."
    return _Leak(
        per_unit=least - price,
        title=headline("Sold", line.product.name, "below its floor"),
        question=f"Is the price of {shortened(line.product.name)} agreed, or an error we can still correct?",
        evidence=(Evidence("Below floor", text), *_usual_margin(line)),
        probability=FLOOR_PRIOR,
        is_urgent=True,
    )


def _below_usual_margin(facts: OrderFacts, line: LineFacts) -> _Leak | None:
    cost, price = line.base_unit_cost, _base_price(line)
    usual = _usual_rate(line)
    if cost is None or usual is None or price <= 0:
        return None
    rate = 1 - cost / price
    if usual - rate < NOTABLE_GAP or _is_list_price(facts, line) or _most_paid_it(facts, line):
        return None
    currency = facts.assumptions.base_currency
    text = f"{rate:.0%} at {exact(price, currency)}, cost {exact(cost, currency)}."
    return _Leak(
        per_unit=(usual - rate) * price,
        title=headline("Thin margin on", line.product.name),
        question=f"Why did {shortened(line.product.name)} go below its usual margin?",
        evidence=(Evidence("This line's margin", text), *_usual_margin(line), *_own_last(facts, line)),
        probability=LEAK_PRIOR,
    )


def _below_own_and_peers(facts: OrderFacts, line: LineFacts) -> _Leak | None:
    """Notably below what peers pay for the quantity, and below the customer's own last price where there is one."""
    band = _peers(facts, line)
    if (
        band is None
        or facts.rate is None
        or line.unit_price >= min(band.unit_price * (1 - NOTABLE_GAP), band.low_price)
    ):
        return None
    own = last_price(line.history, line.line.quantity, facts.currency)
    reference = band.unit_price if own is None else min(own.unit_price, band.unit_price)
    if (
        line.unit_price > reference * (1 - NOTABLE_GAP)
        or _is_list_price(facts, line)
        or _most_paid_it(facts, line)
    ):
        return None
    text = (
        f"{exact(line.unit_price, facts.currency)} a unit; {band.buyers} accounts at this quantity usually paid"
        f" {exact(band.unit_price, facts.currency)} in the last 90 days."
    )
    return _Leak(
        per_unit=(reference - line.unit_price) * facts.rate,
        title=headline("Cheap price for", line.product.name),
        question=f"Who agreed this price for {shortened(line.product.name)}, and until when?",
        evidence=(Evidence("Peers' price", text), *_own_last(facts, line)),
        probability=LEAK_PRIOR,
        assumed=True,
    )


def _base_price(line: LineFacts) -> Decimal:
    return (line.base_net or Decimal(0)) / line.line.quantity


def _peers(facts: OrderFacts, line: LineFacts) -> PriceBand | None:
    """The price band when eight others bought in it; the customer may be among its buyers."""
    band = band_of(line.product, line.line.quantity, facts.channel, facts.currency)
    others = band.buyers - (1 if line.history else 0) if band else 0
    return band if others >= FEWEST_PEERS else None


def _most_paid_it(facts: OrderFacts, line: LineFacts) -> bool:
    """A price most buyers got is a list change, not a leak."""
    band = _peers(facts, line)
    return band is not None and line.unit_price >= min(band.unit_price, band.latest_price) * LIST_TOLERANCE


def _is_list_price(facts: OrderFacts, line: LineFacts) -> bool:
    """Does the price list give this price for this quantity?"""
    ladder = breaks_on(line.product, facts.currency, day_of(facts.as_of))
    listed = [each.unit_price for each in ladder if each.min_quantity <= line.line.quantity]
    return bool(listed) and line.unit_price >= min(listed) * LIST_TOLERANCE


def _usual_rate(line: LineFacts) -> Decimal | None:
    """The product's usual margin rate; None while it is not known."""
    return line.product.fitted.margin_rate if line.product.fitted is not None else None


def _usual_margin(line: LineFacts) -> Iterator[Evidence]:
    usual = _usual_rate(line)
    if usual is not None:
        yield Evidence("Usual margin", f"{usual:.0%} is the median of this product over the last year.")


def _own_last(facts: OrderFacts, line: LineFacts) -> Iterator[Evidence]:
    own = last_price(line.history, line.line.quantity, facts.currency)
    if own is not None:
        price = exact(own.unit_price, facts.currency)
        yield Evidence("Own last price", f"{price} for {number(own.quantity)} on {own.at:%-d %B %Y}.")


def _signal(facts: OrderFacts, line: LineFacts, leak: _Leak) -> Signal:
    again = Decimal(0)
    if line.history:  # what the customer's own pace says they buy within 90 days
        days = max((facts.as_of - line.history[-1].at).days, HORIZON.days)
        again = sum((each.quantity for each in line.history), Decimal(0)) * HORIZON.days / days
    priced = valuation(leak.per_unit * (line.line.quantity + again), leak.probability)
    more = f", about {again:.0f} more expected in 90 days" if again >= HALF else ""
    missing = exact(leak.per_unit, facts.assumptions.base_currency)
    quantity = f"{number(line.line.quantity)} now{more}; {missing} short on each."
    return Signal(
        kind=KIND.name,
        customer_id=facts.customer.id,
        # A mistake below the floor is a question of its own: what is answered about a thin margin never hides it.
        subject=f"{'floor' if leak.is_urgent else 'product'}:{line.product.id}",
        cause=f"line:{line.line.id}",
        probability=leak.probability.value,
        basis=leak.probability.basis,
        stake=priced.stake,
        value=priced.value,
        low=priced.low,
        high=priced.high,
        horizon=HORIZON,
        headline=leak.title,
        question=leak.question,
        evidence=(*leak.evidence, Evidence("Quantity", quantity)),
        as_of=facts.as_of,
        expires_at=facts.as_of + SHOWS_FOR,
        severity=Severity.URGENT if leak.is_urgent else Severity.NORMAL,
        assumed_margin=leak.assumed,
        revenue=line.base_net,
        product_id=line.product.id,
        detail={"below_floor": leak.is_urgent},
    )


def ends(facts: OrderFacts, episode: Episode) -> str | None:
    """End when the product is sold to this customer as usual again: no leak on any of its lines.

    A question about the floor ends as soon as no line is below it, whatever else its margin is.
    """
    lines = [each for each in facts.lines if each.product.id == episode.product_id and each.line.net > 0]
    leaks = [leak for each in lines if (leak := _leak(facts, each)) is not None]
    if not lines:
        return None
    if episode.subject.startswith("floor:"):
        return None if any(leak.is_urgent for leak in leaks) else "sold above its floor again"
    return None if leaks else "sold at the usual price again"


KIND = OrderSignalKind(
    name="margin",
    version="1",
    detect=detect,
    ends=ends,
    episode_ttl=timedelta(days=30),
    is_selling=False,
)
