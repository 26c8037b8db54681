"""What a signal is worth in base currency, and how amounts, chances and names are written in its sentences.

Gain = (p1 - p0) x margin at stake over the horizon; logit p1 = logit p0 + the effect of acting (`effects.py`).
"""

from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from math import ceil, hypot, sqrt
from typing import NamedTuple

from services.scoring.effects import EFFECTS, gain
from services.scoring.facts import Assumptions, OrderFacts, ProductFacts
from shared.domain.signal import Action, Signal, UnwordedSignal

HORIZON = timedelta(days=90)
THIS_ORDER = timedelta(days=1)
"""The horizon of what can only be earned on the order at hand."""

PRIOR_STRENGTH = 20
"""How many observations an estimate is worth."""

Z_80 = 1.2816
"""The standard normal's 90 % quantile: 80 % lie between minus and plus this."""

KNOWN_SPREAD = 0.10
ASSUMED_SPREAD = 0.30
"""How far the margin at stake may lie beside what it is taken for: where the cost is known, and where it is not."""

LEAST_GAIN = Decimal("0.50")
"""What brings less is not even mentioned."""

FEWEST_PERIODS = 4
"""With fewer periods a customer's own largest says nothing about the next."""

CENT = Decimal("0.01")
NOTHING = Decimal(0)

CALL, CORRECTION, MENTION = Action.CALL, Action.CORRECTION, Action.MENTION
"""To look a member of an enumeration up takes longer than what is done with these."""

CACHED = 10_000
"""How many texts a function keeps: the same few thousand products are named again and again."""

HEADLINE = 60
"""Longest headline: a mail's subject also holds the customer, the money and the chance."""

SHORT = 40
LEAST = 14
"""How much of an earlier name a headline keeps at least."""

DANGLING = frozenset("a and by for in of or pack set the with x".split())

SYMBOLS = {"EUR": "€", "GBP": "£", "USD": "$"}


class Probability(NamedTuple):
    """A probability and how it is known: `basis` is "measured" or "estimated", `strength` its observations.

    A tuple: it is made and looked up for every offer.
    """

    value: float
    basis: str = "estimated"
    strength: int = PRIOR_STRENGTH


@dataclass(frozen=True, slots=True)
class Valuation:
    """What a signal is worth in base currency: the gain, the ends of its interval, and the margin at stake."""

    gain: Decimal
    low: Decimal
    high: Decimal
    stake: Decimal


def valuation(
    kind: str, stake: Decimal, p0: Probability, assumptions: Assumptions, *, is_assumed: bool
) -> Valuation:
    """Return what acting brings when so much margin is at stake, rounded to cents; `is_assumed`: no cost is known."""
    effect = assumptions.effects.get(kind, EFFECTS[kind])
    shares = gain_shares(p0, effect, ASSUMED_SPREAD if is_assumed else KNOWN_SPREAD)
    amounts = (*(stake * share for share in shares), stake)
    return Valuation(*(max(each, NOTHING).quantize(CENT, ROUND_HALF_UP) for each in amounts))


def gain_of(kind: str, stake: Decimal, p0: Probability, assumptions: Assumptions) -> Decimal:
    """Return the gain of a valuation alone: enough to know what is not worth acting on."""
    effect = assumptions.effects.get(kind, EFFECTS[kind])
    share, _, _ = gain_shares(p0, effect, KNOWN_SPREAD)
    return max(stake * share, NOTHING).quantize(CENT, ROUND_HALF_UP)


@lru_cache(CACHED)
def gain_shares(p0: Probability, effect: float, spread: float) -> tuple[Decimal, Decimal, Decimal]:
    """Return p1 - p0, and its ends when all that is uncertain is: p0, the effect (half, double) and the stake.

    The deviations are added as independent ones are: the root of the sum of their squares.
    """
    middle = gain(p0.value, 1.0, effect)
    by_p0 = [gain(each, 1.0, effect) - middle for each in interval(p0)]
    by_effect = [gain(p0.value, 1.0, effect * each) - middle for each in (0.5, 2.0)]
    below = hypot(min(0.0, *by_p0), min(0.0, *by_effect), middle * spread)
    above = hypot(max(0.0, *by_p0), max(0.0, *by_effect), middle * spread)
    return Decimal(middle), Decimal(max(0.0, middle - below)), Decimal(middle + above)


def interval(probability: Probability) -> tuple[float, float]:
    """Return the ends of a probability's 80 % interval.

    Normal approximation of Beta(p·n, (1-p)·n), sd = √(p(1-p)/(n+1)).
    """
    p = probability.value
    reach = Z_80 * sqrt(p * (1 - p) / (probability.strength + 1))
    return max(0.0, p - reach), min(1.0, p + reach)


def is_worth_keeping(signal: Signal | UnwordedSignal, action: Action, assumptions: Assumptions) -> bool:
    """Does acting on it bring what the action costs, or is it owed to the customer?"""
    return signal.is_owed or is_worth_acting(signal.value, action, assumptions)


def is_worth_acting(gain: Decimal, action: Action, assumptions: Assumptions) -> bool:
    """Does acting bring what it costs, and enough to be mentioned?"""
    return gain >= LEAST_GAIN and gain >= cost_of(action, assumptions)


def may_lead(signal: Signal | UnwordedSignal, action: Action, assumptions: Assumptions) -> bool:
    """Could it be the reason for a message? What is only mentioned beside one takes the gain of a call."""
    return is_worth_acting(signal.value, CALL if action is MENTION else action, assumptions)


def cost_of(action: Action, assumptions: Assumptions) -> Decimal:
    """Return what an action costs us: a gain below it is not worth acting on."""
    if action is CALL:
        return assumptions.call_cost
    return assumptions.correction_cost if action is CORRECTION else assumptions.mention_cost


def capped(stake: Decimal, revenue: Decimal, most: Decimal | None) -> Decimal:
    """Return the margin at stake, no more of it than `most` revenue bears: the customer's own 90th percentile.

    `revenue` is what the stake would be earned on.
    """
    return stake if most is None or revenue <= most else stake * most / revenue


def own_p90(facts: OrderFacts, horizon: timedelta) -> Decimal | None:
    """Return the 90th percentile (nearest rank) of what the customer ordered in such a period, in base currency.

    A period of a day is one of their order days; a longer one counts back from the order. None with few of them.
    """
    totals = list(facts.order_days.values()) if horizon <= THIS_ORDER else _by_period(facts, horizon)
    if len(totals) < FEWEST_PERIODS:
        return None
    return sorted(totals)[ceil(0.9 * len(totals)) - 1]


def _by_period(facts: OrderFacts, length: timedelta) -> list[Decimal]:
    """Sum what was ordered in each period before the order, the last period first."""
    totals: list[Decimal] = []
    ends = facts.as_of
    for at, base_net in facts.past_orders:
        while at <= ends:
            totals.append(Decimal(0))
            ends -= length
        totals[-1] += base_net
    return totals


def margin_of(
    revenue: Decimal, product: ProductFacts | None, assumptions: Assumptions
) -> tuple[Decimal, bool]:
    """Margin of a revenue whose cost is unknown: the product's usual rate, its category's, else the setting.

    The second value tells whether it is assumed: true unless this product's own margin is known.
    """
    fitted = product.fitted if product is not None else None
    if fitted is not None and fitted.margin_rate is not None:
        return revenue * fitted.margin_rate, False
    if fitted is not None and fitted.category_margin_rate is not None:
        return revenue * fitted.category_margin_rate, True
    return revenue * assumptions.margin, True


def rounded(amount: Decimal, currency: str) -> str:
    """An amount as people write it: £25 from ten on, £4.10 below."""
    digits = f"{amount:,.0f}" if abs(amount) >= 10 else f"{amount:,.2f}"
    symbol = SYMBOLS.get(currency)
    return f"{symbol}{digits}" if symbol else f"{digits} {currency}".rstrip()


def exact(amount: Decimal, currency: str) -> str:
    """An amount to the cent: unit prices, and what a customer paid."""
    symbol = SYMBOLS.get(currency)
    return f"{symbol}{amount:,.2f}" if symbol else f"{amount:,.2f} {currency}".rstrip()


def number(quantity: Decimal) -> str:
    """A quantity without trailing zeros: 12, 2.5."""
    return f"{quantity.normalize():f}"


@lru_cache(CACHED)
def shortened(name: str, most: int = SHORT) -> str:
    """A name cut at a word's end, with an ellipsis where something is missing; it never ends on "box of 50"."""
    if len(name) <= most:
        return name
    cut = name[:most]
    words = cut.rsplit(" ", 1)[0].split(" ") if " " in cut[most // 2 :] else [cut[:-1]]
    while len(words) > 2 and (words[-1].lower() in DANGLING or words[-1].isdigit()):
        words.pop()
    return " ".join(words).rstrip(" ,;-") + "…"


@lru_cache(CACHED)
def headline(*words: str) -> str:
    """Join words and names, at most sixty characters. Every second one is a name; the last is cut least."""
    names = list(words[1::2])
    room = HEADLINE - (len(_joined(words)) - sum(map(len, names)))
    for index in reversed(range(len(names))):
        names[index] = shortened(
            names[index], max(room - sum(min(len(each), LEAST) for each in names[:index]), 2)
        )
        room -= len(names[index])
    return _joined([names[index // 2] if index % 2 else each for index, each in enumerate(words)])


def _joined(words: list[str] | tuple[str, ...]) -> str:
    return " ".join(words).replace(" ,", ",")


def variant(name: str, of: str) -> str:
    """What sets a name apart from another of the same make: "6.0 mm" beside "Cable 1.5 mm". Else the name itself."""
    words, others = name.split(), of.split()
    same = next(
        (index for index, (word, other) in enumerate(zip(words, others, strict=False)) if word != other),
        min(len(words), len(others)),
    )
    return " ".join(words[same:]) if 2 <= same < len(words) else name


def readable(name: str) -> str:
    """A name that an old system wrote in capitals, as people write it. A code without blanks stays as it is."""
    name = " ".join(name.split())
    return name.capitalize() if " " in name and name.isupper() else name
