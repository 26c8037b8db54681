"""Basket gap: what the customer takes with most orders is due and not in this one.

All that is missing is one point, summed, named by the item that weighs most, in time for the order to be completed. An
order in five to seven of a wholesaler had such a gap; 10 % of the items were bought within 14 days unprompted, 23 %
within 30.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from statistics import median
from typing import Any

from services.scoring.facts import (
    DUE,
    FEW_PURCHASES,
    OrderFacts,
    ProductFacts,
    Purchase,
    by_day,
    cost_on,
    day_of,
)
from services.scoring.outcomes import half_bought
from services.scoring.value import (
    THIS_ORDER,
    Probability,
    capped,
    exact,
    headline,
    margin_of,
    number,
    own_p90,
    shortened,
    valuation,
)
from shared.domain.signal import Action, Episode, Evidence, OrderSignalKind, Signal

UNAIDED = Probability(0.13)
"""How often half of what is missing comes within 14 days unasked: at a wholesaler 13 % of such orders (August to
December); estimated until outcomes are measured here."""

USUAL_SHARE = 0.6
"""An item on this share of the customer's order days since its first purchase is a usual one."""

STOCKED_UP = Decimal("1.75")
"""A last quantity of so many times the usual lasts that much longer."""

NAMED = 3
"""How many of the missing items a message names."""

SHOWS_FOR = timedelta(days=2)

MADE_UP_WITHIN = timedelta(days=14)
"""What is bought so soon after was not lost: on this order, or on one that makes up for it."""


@dataclass(frozen=True, slots=True)
class _Missing:
    """A usual item that is not in the order, and what its usual quantity would bring in base currency."""

    product: ProductFacts
    days: int
    of_days: int
    quantity: Decimal
    last: date
    revenue: Decimal
    margin: Decimal
    is_assumed: bool


def detect(facts: OrderFacts) -> Iterator[Signal]:
    """Find the usual items that are due and missing."""
    if not facts.regulars or facts.rate is None or facts.products is None or not facts.lines:
        return
    today = facts.today
    days = sorted(each for each in facts.order_days if each < today)
    missing = [
        each
        for product_id, history in facts.regulars.items()
        if (product := facts.products.get(product_id)) is not None
        and _may_be_missed(product, facts)
        and (each := _missing(facts, product, history, days)) is not None
    ]
    if missing:
        yield _signal(facts, sorted(missing, key=lambda each: (-each.margin, each.product.id)))


def _may_be_missed(product: ProductFacts, facts: OrderFacts) -> bool:
    """Can it be had, and is nothing in the order that takes its place?"""
    return product.can_be_offered and product.substitutes.isdisjoint(facts.basket)


def _missing(
    facts: OrderFacts, product: ProductFacts, history: tuple[Purchase, ...], order_days: Sequence[date]
) -> _Missing | None:
    """The item as missed: usual, due by its own gap (a larger last quantity lasts longer), and earning something.

    `order_days` are those before today, in order.
    """
    first, last, today = day_of(history[-1].at, facts.zone), day_of(history[0].at, facts.zone), facts.today
    of_days = len(order_days) - bisect_left(order_days, first)
    if last >= today or len(history) < USUAL_SHARE * of_days:
        return None
    bought = by_day(history, facts.zone)
    if len(bought) < FEW_PURCHASES:
        return None
    quantity = median(bought.values())
    times = bought[last] / quantity
    lasts = times if times >= STOCKED_UP else Decimal(1)
    gap = Decimal((last - first).days) / max(len(bought) - 1, 1)
    if (today - last).days < DUE * gap * lasts:
        return None
    days = len(bought.keys() & order_days[-of_days:]) if of_days else 0
    if days < FEW_PURCHASES or days < USUAL_SHARE * of_days:
        return None
    if history[0].currency != facts.currency or facts.rate is None:
        return None
    revenue = quantity * history[0].unit_price * facts.rate
    cost = cost_on(product, today)
    if cost is not None and cost.currency == facts.assumptions.base_currency:
        margin, is_assumed = revenue - quantity * cost.cost, False
    else:
        margin, is_assumed = margin_of(revenue, product, facts.assumptions)
    if margin <= 0:
        return None
    return _Missing(product, days, of_days, quantity, last, revenue, margin, is_assumed)


def _signal(facts: OrderFacts, missing: list[_Missing]) -> Signal:
    first, *others = missing
    revenue = sum((each.revenue for each in missing), Decimal(0))
    stake = capped(sum((each.margin for each in missing), Decimal(0)), revenue, own_p90(facts, THIS_ORDER))
    is_assumed = any(each.is_assumed for each in missing)
    worth = valuation(KIND.name, stake, UNAIDED, facts.assumptions, is_assumed=is_assumed)
    more = f"and {len(others)} more, " if others else ", "
    usual = exact(revenue, facts.assumptions.base_currency)
    items = f"The usual quantities of {len(missing)} items" if others else "The usual quantity"
    return Signal(
        kind=KIND.name,
        customer_id=facts.customer.id,
        subject=f"product:{first.product.id}",
        cause="order",
        probability=UNAIDED.value,
        basis=UNAIDED.basis,
        stake=worth.stake,
        value=worth.gain,
        low=worth.low,
        high=worth.high,
        horizon=THIS_ORDER,
        headline=headline(
            "No", first.product.name, f"{more}usually on {first.days} of {first.of_days} orders"
        ),
        question=f"Shall we add the usual {number(first.quantity)} of {shortened(first.product.name)}?",
        evidence=(
            *(
                Evidence(
                    shortened(each.product.name),
                    f"On {each.days} of {each.of_days} orders, usually {number(each.quantity)};"
                    f" last {(facts.today - each.last).days} days ago.",
                )
                for each in missing[:NAMED]
            ),
            Evidence("Not in this order", f"{items}, {usual} at what they last paid."),
        ),
        as_of=facts.as_of,
        expires_at=facts.as_of + SHOWS_FOR,
        assumed_margin=is_assumed,
        revenue=revenue,
        product_id=first.product.id,
        detail={"products": [each.product.id for each in missing]},
    )


def outcome(facts: Any, as_of: datetime, rows: Any) -> Any:  # noqa: ANN401 - ibis tables
    """Return per customer and first item `happened`: they bought half of the missing items in the 14 days after."""
    return half_bought(facts, as_of, rows, MADE_UP_WITHIN)


def ends(facts: OrderFacts, episode: Episode) -> str | None:
    """End when the customer takes it again."""
    return "the customer took it" if episode.product_id in facts.basket else None


KIND = OrderSignalKind(
    name="basket_gap",
    version="1",
    detect=detect,
    ends=ends,
    outcome=outcome,
    outcome_within=MADE_UP_WITHIN,
    episode_ttl=timedelta(days=30),
    is_selling=True,
    action=Action.MENTION,
)
