"""What the price of a line is held against: its floor, what was agreed, what this customer usually pays, the list."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from statistics import median
from typing import Any, NamedTuple

from services.scoring.facts import (
    LineFacts,
    OrderFacts,
    Purchase,
    band_of,
    breaks_on,
    is_same_band,
)
from services.scoring.value import Probability, exact, number
from shared.domain.signal import Evidence

UNAIDED = Probability(0.10)
"""How often a price is put right though nobody is told: estimated until outcomes are measured here."""

CORRECTABLE = timedelta(days=3)
"""As long a mistake is shown: goods that were sent and invoiced for longer are no longer a price to correct."""

NOTABLE_GAP = Decimal("0.10")
"""Below this gap, discounting is noise: a rep who is alerted for it stops reading."""

ROUNDING = 0.005
"""Prices differ by so much of a unit of money through rounding."""

LIST_TOLERANCE = Decimal("0.98")
FEWEST_PEERS = 8
FEW_PURCHASES = 3
"""So many purchases at about a quantity are needed to speak of a usual price."""

CLEARANCE = "clearance"


class UsualPrice(NamedTuple):
    """What a unit should have cost, in base currency; `own` are the customer's purchases it was taken from.

    A tuple: it is made for every line.
    """

    price: Decimal
    own: tuple[Purchase, ...] = ()


def floor_price(facts: OrderFacts, line: LineFacts) -> Decimal | None:
    """The least price of a unit in base currency: cost ÷ (1 - floor). None where cost or floor cannot be used."""
    floor = _floor_rate(facts, line)
    return None if line.base_unit_cost is None or floor >= 1 else line.base_unit_cost / (1 - floor)


def _floor_rate(facts: OrderFacts, line: LineFacts) -> Decimal:
    floor = line.product.floor_margin
    return floor if floor is not None else facts.assumptions.floor_margin


def base_price(line: LineFacts) -> Decimal:
    """What a unit was sold at, in base currency."""
    return (line.base_net or Decimal(0)) / line.line.quantity


def is_below_floor(facts: OrderFacts, line: LineFacts) -> bool:
    """Was it sold below its floor by mistake? Not where it was given away or cleared out, or is always sold there."""
    least = floor_price(facts, line)
    if least is None or not is_priced(facts, line) or base_price(line) >= least:
        return False
    fitted = line.product.fitted
    is_always_sold_there = (
        fitted is not None
        and fitted.margin_rate is not None
        and fitted.margin_rate <= _floor_rate(facts, line)
        and fitted.buyers >= FEWEST_PEERS
    )
    return not is_always_sold_there


def is_priced(facts: OrderFacts, line: LineFacts) -> bool:
    """May its price be a mistake? Not of goods given away beside paid ones, cleared out, or paid by a manual total."""
    if line.base_net is None or facts.rate is None:
        return False
    if line.line.return_reason == CLEARANCE or not line.product.is_active:
        return False
    if line.line.net > 0:
        return True
    return not facts.has_manual_total and all(each.line.net <= 0 for each in facts.lines)


def usual_price(facts: OrderFacts, line: LineFacts) -> UsualPrice | None:
    """What a unit should have cost: as agreed, else as the customer usually pays, else by the usual margin.

    What they usually pay is no more than the list price of today: it may have fallen for everybody.
    """
    rate = facts.rate or Decimal(1)
    if line.agreed_price is not None:
        return UsualPrice(line.agreed_price * rate)
    paid = tuple(
        each
        for each in line.history
        if each.currency == facts.currency and is_same_band(each.quantity, line.line.quantity)
    )
    if len(paid) >= FEW_PURCHASES:
        usual = median(each.unit_price for each in paid) * rate
        listed = _list_price(facts, line)
        return UsualPrice(usual if listed is None else min(usual, listed), paid)
    cost, margin = line.base_unit_cost, usual_margin(line)
    return None if cost is None or margin is None or margin >= 1 else UsualPrice(cost / (1 - margin))


def _list_price(facts: OrderFacts, line: LineFacts) -> Decimal | None:
    """The list price of a unit in base currency; None where it is not known, or in another currency than the order."""
    listed, currency = line.product.list_price, line.product.list_currency
    if listed is None or currency == facts.assumptions.base_currency:
        return listed
    return listed * facts.rate if currency == facts.currency and facts.rate is not None else None


def usual_margin(line: LineFacts) -> Decimal | None:
    """The product's usual margin rate; None while it is not known."""
    return line.product.fitted.margin_rate if line.product.fitted is not None else None


def is_list_price(facts: OrderFacts, line: LineFacts) -> bool:
    """Does the price list give this price for this quantity?"""
    ladder = breaks_on(line.product, facts.currency, facts.channel, facts.today)
    listed = [each.unit_price for each in ladder if each.min_quantity <= line.line.quantity]
    return bool(listed) and line.unit_price >= min(listed) * LIST_TOLERANCE


def most_paid_it(facts: OrderFacts, line: LineFacts) -> bool:
    """A price most others got for the quantity, or the last of them, is a list change and no mistake."""
    band = band_of(line.product, line.line.quantity, facts.channel, facts.currency)
    others = band.buyers - (1 if line.history else 0) if band else 0  # the customer may be among its buyers
    return (
        band is not None
        and others >= FEWEST_PEERS
        and line.unit_price >= min(band.unit_price, band.latest_price) * LIST_TOLERANCE
    )


def shown(facts: OrderFacts, line: LineFacts, usual: UsualPrice | None) -> Iterator[Evidence]:
    """What the customer paid before, or else the usual margin."""
    if usual is not None and usual.own:
        paid = ", ".join(
            f"{exact(each.unit_price, each.currency)} for {number(each.quantity)} on {on(each.at)}"
            for each in usual.own[:3]
        )
        yield Evidence("Paid before", f"{paid}.")
    elif line.agreed_price is not None:
        yield Evidence("Agreed", f"{exact(line.agreed_price, facts.currency)} a unit.")
    elif (rate := usual_margin(line)) is not None:
        yield Evidence("Usual margin", f"{rate:.0%} is the median of this product over the last year.")


def lost(facts: OrderFacts, line: LineFacts, usual: Decimal) -> Evidence:
    """What is lost on this order beside a price in base currency, and until when it can be put right."""
    short = usual - base_price(line)
    until = on(facts.as_of + CORRECTABLE)
    return Evidence(
        "Lost on this order",
        f"{own(facts, short * line.line.quantity)}: {own(facts, short)} on each of {number(line.line.quantity)}."
        f" Can be put right until it is invoiced; shown until {until}.",
    )


def own(facts: OrderFacts, amount: Decimal) -> str:
    """An amount in base currency as the order's own currency has it: that is what its rep and customer speak of."""
    return exact(amount / (facts.rate or Decimal(1)), facts.currency)


def on(moment: datetime) -> str:
    """A day as people write it."""
    return f"{moment:%-d %B %Y}"


def put_right(facts: Any, rows: Any, right: str) -> Any:  # noqa: ANN401 - ibis tables
    """Tell of each order and product whether its price, as the order stands now, is that in the column `right`.

    An outcome (`services.scoring.outcomes`). NULL where the order no longer has the product: nobody knows.
    """
    key = ["order_id", "product_id"]
    held = facts.purchases.select(*key, "base_net", "quantity", "unit_cost")
    both = rows.select(*key, wanted=rows[right].cast("float64")).left_join(held, key)
    return both.select(
        *key,
        happened=both.base_net / both.quantity >= both.wanted - ROUNDING,
        revenue=both.base_net,
        margin=both.base_net - both.unit_cost * both.quantity,
    )
