"""What a signal is worth in base currency, and how amounts, chances and names are written in its sentences."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from math import sqrt

from services.scoring.facts import Assumptions, ProductFacts

HORIZON = timedelta(days=90)
THIS_ORDER = timedelta(days=1)
"""The horizon of what can only be earned on the order at hand."""

PRIOR_STRENGTH = 20
"""How many observations a prior is worth."""

Z_80 = 1.2816
"""The standard normal's 90 % quantile: 80 % lie between minus and plus this."""

CENT = Decimal("0.01")

CACHED = 10_000
"""How many texts a function keeps: the same few thousand products are named again and again."""

HEADLINE = 60
"""Longest headline: a mail's subject also holds the customer, the money and the chance."""

SHORT = 40
LEAST = 14
"""How much of an earlier name a headline keeps at least."""

DANGLING = frozenset("a and by for in of or pack set the with x".split())

SYMBOLS = {"EUR": "€", "GBP": "£", "USD": "$"}


@dataclass(frozen=True, slots=True)
class Probability:
    """A probability and how it is known: `basis` is "measured" or "prior", `strength` its observations."""

    value: float
    basis: str = "prior"
    strength: int = PRIOR_STRENGTH


@dataclass(frozen=True, slots=True)
class Valuation:
    """What a signal is worth in base currency. `value` = probability x stake; low and high: 80 % interval."""

    stake: Decimal
    value: Decimal
    low: Decimal
    high: Decimal


def valuation(stake: Decimal, probability: Probability) -> Valuation:
    """Return the stake x the probability and x the ends of its 80 % interval, rounded to cents."""
    amounts = (stake, *(stake * share for share in interval(probability)))
    return Valuation(*(each.quantize(CENT, ROUND_HALF_UP) for each in amounts))


@lru_cache(1000)
def interval(probability: Probability) -> tuple[Decimal, Decimal, Decimal]:
    """Return the probability and the ends of its 80 % interval. Cached: there are few of them and many stakes.

    Normal approximation of Beta(p·n, (1-p)·n), sd = √(p(1-p)/(n+1)).
    """
    p = probability.value
    spread = Z_80 * sqrt(p * (1 - p) / (probability.strength + 1))
    return Decimal(p), Decimal(max(0.0, p - spread)), Decimal(min(1.0, p + spread))


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
    return f"{symbol}{digits}" if symbol else f"{digits} {currency}"


def exact(amount: Decimal, currency: str) -> str:
    """An amount to the cent: unit prices, and what a customer paid."""
    symbol = SYMBOLS.get(currency)
    return f"{symbol}{amount:,.2f}" if symbol else f"{amount:,.2f} {currency}"


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
