"""Up-sell: a little more would have reached the next price, the usual quantity, or the next size of order.

Three findings, each only where a rep would believe it: a price break within reach that pays us too, far less of an
item than this customer and their peers usually take that day, and an order just short of the customer's next step
towards what peers of their segment order.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from services.scoring.facts import (
    LineFacts,
    OrderFacts,
    PriceBreak,
    bought_today,
    breaks_on,
    by_day,
    day_of,
    order_days,
    usual_quantity,
)
from services.scoring.value import (
    HORIZON,
    THIS_ORDER,
    Probability,
    exact,
    headline,
    margin_of,
    number,
    rounded,
    shortened,
    valuation,
)
from shared.domain.signal import Episode, Evidence, OrderSignalKind, Signal

BREAK_PRIOR = Probability(0.20)
USUAL_PRIOR = Probability(0.20)
STEP_PRIOR = Probability(0.10)
"""Priors: assumed until outcomes are measured here, and labelled so."""

NEAR_BREAK = Decimal("0.7")
LONGEST_COVER = 90
FAIR_SHARE = Decimal("0.75")
"""Cost unknown: each extra unit must bring this share of the break price."""

FAR_BELOW = Decimal("0.5")
STEP = Decimal("1.35")
OWN_ROOM = Decimal("1.25")
WITHIN_REACH = Decimal("0.6")
AS_USUAL = (Decimal("0.85"), Decimal("1.15"))
"""Around the customer's own average: only orders of about the usual size are compared with peers."""

CLEARLY_BELOW = Decimal("0.8")
"""Share of the peers' P60: an account that orders nearly as much is no small customer."""

FEW_ORDER_DAYS = 5
IMPLAUSIBLE = Decimal(1)
WORTH_SAYING = Decimal(1)
"""A saving of less, by more goods for less money, is the price list's rounding."""

EVERYBODY = "*"
SHOWS_FOR = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class _Chance:
    """More that could be sold: the quantity or order value to reach, and the margin that reaching it earns."""

    cause: str
    title: str
    question: str
    target: Decimal
    stake: Decimal
    probability: Probability
    evidence: tuple[Evidence, ...]
    assumed: bool
    revenue: Decimal | None


def detect(facts: OrderFacts) -> Iterator[Signal]:
    """Find breaks within reach, unusually small quantities, and an order just below its next step."""
    lines_of = Counter(each.product.id for each in facts.lines)
    for line in facts.lines:
        if lines_of[line.product.id] > 1 or line.line.net <= 0:  # split lines say nothing about quantity
            continue
        chance = _break_within_reach(facts, line) or _below_usual(facts, line)
        if chance is not None:
            yield from _believable(_signal(facts, line, chance))
    step = _next_step(facts)
    if step is not None:
        yield from _believable(_signal(facts, None, step))


def _believable(signal: Signal) -> Iterator[Signal]:
    if signal.value >= IMPLAUSIBLE:
        yield signal


def _break_within_reach(facts: OrderFacts, line: LineFacts) -> _Chance | None:
    """The next quantity break, when it is near and pays: free goods always, else by cost, else by revenue."""
    quantity, price = line.line.quantity, line.unit_price
    if facts.rate is None or not any(
        each.unit_price < price and each.min_quantity > quantity for each in line.product.breaks
    ):
        return None
    ladder = breaks_on(line.product, facts.currency, day_of(facts.as_of))
    step = next((each for each in ladder if each.min_quantity > quantity and each.unit_price < price), None)
    if step is None:
        return None
    extra = (step.min_quantity * step.unit_price - quantity * price) * facts.rate
    if extra <= 0:  # only a price list can promise that
        return None if step.is_inferred or -extra < WORTH_SAYING else _free_goods(facts, line, step, -extra)
    if (
        quantity < NEAR_BREAK * step.min_quantity
        or _cover_days(facts, line, step.min_quantity) > LONGEST_COVER
    ):
        return None
    return _larger_quantity(facts, line, step, extra)


def _larger_quantity(facts: OrderFacts, line: LineFacts, step: PriceBreak, extra: Decimal) -> _Chance | None:
    """The break for `extra` revenue in base currency, when it brings margin, or fair revenue where no cost is known."""
    quantity, currency = line.line.quantity, facts.assumptions.base_currency
    more, rate = step.min_quantity - quantity, facts.rate or Decimal(1)
    if line.base_unit_cost is not None:
        gain = extra - more * line.base_unit_cost
        earns = f"{exact(gain, currency)} more margin on this line."
    else:
        gain = margin_of(extra, line.product, facts.assumptions)[0]
        earns = f"{exact(extra, currency)} more revenue; the cost is not known."
        if extra / more < FAIR_SHARE * step.unit_price * rate:
            return None
    if gain <= 0:
        return None
    target = number(step.min_quantity)
    text = (
        f"Ordered {number(quantity)} at {exact(line.unit_price, facts.currency)}; from {target} on"
        f" {exact(step.unit_price, facts.currency)}. {number(more)} more cost them"
        f" {exact(extra / rate, facts.currency)}."
    )
    return _Chance(
        cause=f"break:{target}",
        title=headline(f"{number(more)} more", line.product.name, f"reach the price from {target}"),
        question=f"Shall we make it {target} of {shortened(line.product.name)} at the lower price?",
        stake=gain,
        probability=BREAK_PRIOR,
        evidence=(Evidence(_named(step), text), Evidence("For us", earns)),
        target=step.min_quantity,
        assumed=line.base_unit_cost is None,
        revenue=extra,
    )


def _named(step: PriceBreak) -> str:
    return "Price accounts usually get" if step.is_inferred else "Next price break"


def _free_goods(facts: OrderFacts, line: LineFacts, step: PriceBreak, saving: Decimal) -> _Chance:
    """More goods for less money. At stake is the saving: a customer who finds out alone trusts us less."""
    text = (
        f"{number(step.min_quantity)} at {exact(step.unit_price, facts.currency)} cost less than"
        f" {number(line.line.quantity)} at {exact(line.unit_price, facts.currency)}."
    )
    return _Chance(
        cause=f"free:{number(step.min_quantity)}",
        title=headline("More", line.product.name, "for less money"),
        question=f"Did you know that {number(step.min_quantity)} cost less than what you ordered?",
        stake=saving,
        probability=Probability(1.0),
        evidence=(Evidence(_named(step), text),),
        target=step.min_quantity,
        assumed=True,
        revenue=None,
    )


def _cover_days(facts: OrderFacts, line: LineFacts, quantity: Decimal) -> float:
    """How many days this quantity lasts at the customer's own pace; 0 when the pace is not known."""
    if len(line.history) < FEW_ORDER_DAYS:
        return 0
    span = (facts.as_of - line.history[-1].at) / timedelta(days=1)
    used = sum(each.quantity for each in line.history)
    return float(quantity / used) * span


def _below_usual(facts: OrderFacts, line: LineFacts) -> _Chance | None:
    """Half or less of what this customer takes on a usual day, below peers too, and not bought sooner than usual."""
    today = day_of(facts.as_of)
    usual = usual_quantity(line.history, today)
    if usual is None or line.base_net is None or _is_top_up(facts, line):
        return None
    taken = sum(
        (each.line.quantity for each in facts.lines if each.product.id == line.product.id), Decimal(0)
    )
    taken += bought_today(line.history, today)
    peers = line.product.fitted.line_quantity if line.product.fitted else None
    if taken > FAR_BELOW * usual or (peers is not None and taken >= peers):
        return None
    revenue = (usual - taken) * line.base_net / line.line.quantity
    if line.base_unit_cost is not None:
        margin, assumed = revenue - (usual - taken) * line.base_unit_cost, False
    else:
        margin, assumed = margin_of(revenue, line.product, facts.assumptions)
    days = len(by_day(line.history))
    peers_say = f" Other accounts usually take {number(peers)}." if peers is not None else ""
    return _Chance(
        cause="usual",
        title=headline(f"Ordered {number(taken)}", line.product.name, f", usually {usual:.0f}"),
        question=f"Is {number(taken)} of {shortened(line.product.name)} enough until your next order?",
        stake=margin,
        probability=USUAL_PRIOR,
        evidence=(
            Evidence(
                "Usual quantity",
                f"{number(taken)} today; {number(usual)} is the median of the last {days} order days.{peers_say}",
            ),
        ),
        target=usual,
        assumed=assumed,
        revenue=revenue,
    )


def _is_top_up(facts: OrderFacts, line: LineFacts) -> bool:
    """Did they buy it sooner than they usually do? Then less is natural."""
    days = sorted(by_day(line.history), reverse=True)
    usual_gap = (days[0] - days[-1]).days / (len(days) - 1) if len(days) > 1 else 0
    return bool(days) and 0 < (day_of(facts.as_of) - days[0]).days < 0.75 * usual_gap


def _peer_sizes(facts: OrderFacts) -> tuple[Decimal, Decimal] | None:
    """P60 and P75 of what accounts of the segment order a day."""
    sizes = facts.fit.order_sizes if facts.fit is not None else None
    return sizes.get(facts.customer.segment or "", sizes.get(EVERYBODY)) if sizes else None


def _next_step(facts: OrderFacts) -> _Chance | None:
    """An order day just short of the next step: 35 % up, peers' P75 or 1.25 x their own largest, what is least."""
    peers = _peer_sizes(facts)
    days = order_days(facts.past_orders)
    today = day_of(facts.as_of)
    earlier_today = days.pop(today, Decimal(0))
    if peers is None or facts.base_net is None or len(days) < FEW_ORDER_DAYS:
        return None
    average = sum(days.values(), Decimal(0)) / len(days)
    target = min(peers[1], average * STEP, max(days.values()) * OWN_ROOM)
    total = facts.base_net + earlier_today
    low, high = (share * average for share in AS_USUAL)
    if (
        average >= CLEARLY_BELOW * peers[0]
        or not low <= total <= high
        or not WITHIN_REACH * target <= total < target
    ):
        return None
    orders_ahead = Decimal(len(days)) * HORIZON.days / 365
    revenue = (target - average) * max(orders_ahead, Decimal(1))
    margin, _ = margin_of(revenue, None, facts.assumptions)
    currency = facts.assumptions.base_currency
    segment = f"{facts.customer.segment} " if facts.customer.segment else ""
    return _Chance(
        cause="step",
        title=f"Orders {rounded(average, currency)}, accounts like it {rounded(peers[0], currency)} and more",
        question="What do you buy elsewhere that could come with your next order?",
        stake=margin,
        probability=STEP_PRIOR,
        evidence=(
            Evidence(
                "Order size",
                f"{rounded(total, currency)} today;"
                f" {rounded(average, currency)} on average over {len(days)} order days.",
            ),
            Evidence(
                "Peers",
                f"Four in ten {segment}accounts average above {rounded(peers[0], currency)} on a day they order.",
            ),
        ),
        target=target,
        assumed=True,
        revenue=revenue,
    )


def _signal(facts: OrderFacts, line: LineFacts | None, chance: _Chance) -> Signal:
    priced = valuation(chance.stake, chance.probability)
    return Signal(
        kind=KIND.name,
        customer_id=facts.customer.id,
        subject=f"product:{line.product.id}" if line else "order_size",
        cause=chance.cause,
        probability=chance.probability.value,
        basis=chance.probability.basis,
        stake=priced.stake,
        value=priced.value,
        low=priced.low,
        high=priced.high,
        horizon=THIS_ORDER if line else HORIZON,
        headline=chance.title,
        question=chance.question,
        evidence=chance.evidence,
        as_of=facts.as_of,
        expires_at=facts.as_of + SHOWS_FOR,
        assumed_margin=chance.assumed,
        revenue=chance.revenue,
        product_id=line.product.id if line else None,
        detail={"target": str(chance.target)},
    )


def ends(facts: OrderFacts, episode: Episode) -> str | None:
    """End when a later order takes the usual quantity or reaches the peers' size."""
    if episode.product_id is None:
        peers = _peer_sizes(facts)
        reached = peers is not None and facts.base_net is not None and facts.base_net >= peers[0]
        return "an order reached the size of their peers" if reached else None
    for each in facts.lines:
        usual = usual_quantity(each.history, day_of(facts.as_of))
        if each.product.id == episode.product_id and usual is not None and each.line.quantity >= usual:
            return "the customer took the usual quantity"
    return None


KIND = OrderSignalKind(
    name="up_sell",
    version="1",
    detect=detect,
    ends=ends,
    episode_ttl=timedelta(days=60),
    is_selling=True,
)
