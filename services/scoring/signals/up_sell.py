"""Up-sell: a price break is near, or more of an item costs the customer less.

A break is offered only where it pays us too, on this order. More goods for less money costs us margin: it is told
beside other reasons to call, because a customer who finds it out alone trusts us less, and it is worth nothing to us.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from services.scoring.facts import LineFacts, OrderFacts, PriceBreak, breaks_on
from services.scoring.outcomes import quantity_reached
from services.scoring.value import (
    THIS_ORDER,
    Probability,
    Valuation,
    capped,
    exact,
    headline,
    margin_of,
    number,
    shortened,
    valuation,
)
from shared.domain.signal import Action, Episode, Evidence, OrderSignalKind, Signal

UNAIDED = Probability(0.30)
"""How often such a line is raised to the break by the customer alone: estimated until outcomes are measured here."""

NEAR_BREAK = Decimal("0.7")
LONGEST_COVER = 90
FAIR_SHARE = Decimal("0.75")
"""Cost unknown: each extra unit must bring this share of the break price."""

FEW_PURCHASES = 5
WORTH_SAYING = Decimal(1)
"""A saving of less, by more goods for less money, is the price list's rounding."""

NOTHING = Valuation(Decimal(0), Decimal(0), Decimal(0), Decimal(0))
SHOWS_FOR = timedelta(days=14)
"""Shown for so long, and so long it is watched whether an order takes the quantity."""


def detect(facts: OrderFacts) -> Iterator[Signal]:
    """Find breaks within reach, and goods of which more would cost less."""
    if facts.rate is None:
        return
    lines_of = Counter(each.product.id for each in facts.lines)
    for line in facts.lines:
        if lines_of[line.product.id] > 1 or line.line.net <= 0:  # split lines say nothing about quantity
            continue
        step = _next_step(facts, line)
        if step is None:
            continue
        extra = (step.min_quantity * step.unit_price - line.line.quantity * line.unit_price) * facts.rate
        signal = _free_goods(facts, line, step, -extra) if extra <= 0 else _break(facts, line, step, extra)
        if signal is not None:
            yield signal


def _next_step(facts: OrderFacts, line: LineFacts) -> PriceBreak | None:
    """The next quantity from which on a unit costs less than it does on this line."""
    quantity, price = line.line.quantity, line.unit_price
    if not any(each.unit_price < price and each.min_quantity > quantity for each in line.product.breaks):
        return None
    ladder = breaks_on(line.product, facts.currency, facts.channel, facts.today)
    return next((each for each in ladder if each.min_quantity > quantity and each.unit_price < price), None)


def _break(facts: OrderFacts, line: LineFacts, step: PriceBreak, extra: Decimal) -> Signal | None:
    """The break for `extra` revenue in base currency: near, soon used up, and paying us too.

    Cost known: it must bring margin. Unknown: each extra unit must bring a fair share of the break price.
    """
    more, rate = step.min_quantity - line.line.quantity, facts.rate or Decimal(1)
    if line.line.quantity < NEAR_BREAK * step.min_quantity or (
        _cover_days(facts, line, step.min_quantity) > LONGEST_COVER
    ):
        return None
    currency = facts.assumptions.base_currency
    if line.base_unit_cost is not None:
        margin = extra - more * line.base_unit_cost
        earns = f"{exact(margin, currency)} more margin on this line."
    else:
        margin = margin_of(extra, line.product, facts.assumptions)[0]
        earns = f"{exact(extra, currency)} more revenue; the cost is not known."
        if extra / more < FAIR_SHARE * step.unit_price * rate:
            return None
    if margin <= 0:
        return None
    is_assumed, target = line.base_unit_cost is None, number(step.min_quantity)
    text = (
        f"Ordered {number(line.line.quantity)} at {exact(line.unit_price, facts.currency)}; from {target} on"
        f" {exact(step.unit_price, facts.currency)}. {number(more)} more cost them"
        f" {exact(extra / rate, facts.currency)}."
    )
    return _signal(
        facts,
        line,
        step,
        valuation(
            KIND.name,
            capped(margin, extra, facts, THIS_ORDER),
            UNAIDED,
            facts.assumptions,
            is_assumed=is_assumed,
        ),
        cause=f"break:{target}",
        title=headline(f"{number(more)} more", line.product.name, f"reach the price from {target}"),
        question=f"Shall we make it {target} of {shortened(line.product.name)} at the lower price?",
        evidence=(Evidence(_named(step), text), Evidence("For us", earns)),
        revenue=extra,
    )


def _free_goods(facts: OrderFacts, line: LineFacts, step: PriceBreak, saving: Decimal) -> Signal | None:
    """More goods for less money, `saving` in base currency. Only a price list can promise that."""
    if step.is_inferred or saving < WORTH_SAYING:
        return None
    currency = facts.assumptions.base_currency
    if line.base_unit_cost is None:
        costs = f"{exact(saving, currency)} less revenue and more goods to send."
    else:
        lost = saving + (step.min_quantity - line.line.quantity) * line.base_unit_cost
        costs = f"{exact(lost, currency)} less margin; a customer who finds it out alone trusts us less."
    text = (
        f"{number(step.min_quantity)} at {exact(step.unit_price, facts.currency)} cost less than"
        f" {number(line.line.quantity)} at {exact(line.unit_price, facts.currency)}."
    )
    return _signal(
        facts,
        line,
        step,
        NOTHING,
        cause=f"free:{number(step.min_quantity)}",
        title=headline("More", line.product.name, "for less money"),
        question=f"Did you know that {number(step.min_quantity)} cost less than what you ordered?",
        evidence=(Evidence(_named(step), text), Evidence("For us", costs)),
    )


def _named(step: PriceBreak) -> str:
    return "Price accounts usually get" if step.is_inferred else "Next price break"


def _cover_days(facts: OrderFacts, line: LineFacts, quantity: Decimal) -> float:
    """How many days this quantity lasts at the customer's own pace; 0 when the pace is not known."""
    if len(line.history) < FEW_PURCHASES:
        return 0
    span = (facts.as_of - line.history[-1].at) / timedelta(days=1)
    used = sum(each.quantity for each in line.history)
    return float(quantity / used) * span


def _signal(  # noqa: PLR0913 - what both findings say, each by its name
    facts: OrderFacts,
    line: LineFacts,
    step: PriceBreak,
    worth: Valuation,
    *,
    cause: str,
    title: str,
    question: str,
    evidence: tuple[Evidence, ...],
    revenue: Decimal | None = None,
) -> Signal:
    return Signal(
        kind=KIND.name,
        customer_id=facts.customer.id,
        subject=f"product:{line.product.id}",
        cause=cause,
        probability=UNAIDED.value,
        basis=UNAIDED.basis,
        stake=worth.stake,
        value=worth.gain,
        low=worth.low,
        high=worth.high,
        horizon=THIS_ORDER,
        headline=title,
        question=question,
        evidence=evidence,
        as_of=facts.as_of,
        expires_at=facts.as_of + SHOWS_FOR,
        assumed_margin=line.base_unit_cost is None,
        revenue=revenue,
        product_id=line.product.id,
        is_owed=worth is NOTHING,
        detail={"target": str(step.min_quantity)},
    )


def outcome(facts: Any, as_of: datetime, rows: Any) -> Any:  # noqa: ANN401 - ibis tables
    """Return per customer and item `happened`: the order, or one of the 14 days after, took the quantity."""
    return quantity_reached(facts, as_of, rows, "target", SHOWS_FOR)


def ends(facts: OrderFacts, episode: Episode) -> str | None:
    """End when an order takes the quantity of a price break."""
    for each in facts.lines:
        if each.product.id == episode.product_id and any(
            1 < step.min_quantity <= each.line.quantity
            for step in breaks_on(each.product, facts.currency, facts.channel, facts.today)
        ):
            return "the customer took the quantity of a price break"
    return None


KIND = OrderSignalKind(
    name="up_sell",
    version="2",
    detect=detect,
    ends=ends,
    outcome=outcome,
    outcome_within=SHOWS_FOR,
    episode_ttl=timedelta(days=60),
    is_selling=True,
    action=Action.MENTION,
)
