"""Price a signal: probability times what is at stake, in base currency, with an honest interval."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from math import sqrt

from services.scoring.facts import Assumptions, ProductFacts

HORIZON = timedelta(days=90)
THIS_ORDER = timedelta(days=1)
"""What can only be earned on the order at hand."""

PRIOR_STRENGTH = 20
"""How many observations a prior is worth."""

Z_80 = 1.2816
"""The standard normal's 90 % quantile: 80 % lie between minus and plus this."""

CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Odds:
    """A probability and how it is known: `basis` is "measured" or "prior", `strength` its observations."""

    probability: float
    basis: str = "prior"
    strength: int = PRIOR_STRENGTH

    def interval(self) -> tuple[float, float]:
        """80 % interval of the probability: normal approximation of Beta(p·n, (1-p)·n), sd = √(p(1-p)/(n+1))."""
        spread = Z_80 * sqrt(self.probability * (1 - self.probability) / (self.strength + 1))
        return max(0.0, self.probability - spread), min(1.0, self.probability + spread)

    def spoken(self) -> str:
        """The odds as people say them: about 1 in 20, about 3 in 4."""
        if self.probability >= 0.995:
            return "nearly certain"
        if self.probability > 0.5:
            return f"about {max(1, round(self.probability * 10))} in 10"
        return f"about 1 in {round(1 / max(self.probability, 0.001))}"


@dataclass(frozen=True, slots=True)
class Worth:
    """What a signal is worth in base currency. `value` = probability x stake; low and high: 80 % interval."""

    stake: Decimal
    value: Decimal
    low: Decimal
    high: Decimal


def worth(stake: Decimal, odds: Odds) -> Worth:
    """Price a stake: value = p x stake, and low and high = the 80 % interval of p, x stake."""
    probability, low, high = _shares(odds)
    return Worth(
        stake=cents(stake),
        value=cents(stake * probability),
        low=cents(stake * low),
        high=cents(stake * high),
    )


@lru_cache(1000)
def _shares(odds: Odds) -> tuple[Decimal, Decimal, Decimal]:
    """The probability and its interval, exactly: there are few odds, and many stakes."""
    low, high = odds.interval()
    return Decimal(odds.probability), Decimal(low), Decimal(high)


def cents(amount: Decimal) -> Decimal:
    """Round to the cent, half up."""
    return amount.quantize(CENT, ROUND_HALF_UP)


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


SYMBOLS = {"EUR": "€", "GBP": "£", "USD": "$"}


def spoken(amount: Decimal, currency: str) -> str:
    """An amount as people write it: £25 from ten on, £4.10 below."""
    digits = f"{amount:,.0f}" if abs(amount) >= 10 else f"{amount:,.2f}"
    symbol = SYMBOLS.get(currency)
    return f"{symbol}{digits}" if symbol else f"{digits} {currency}"


def exact(amount: Decimal, currency: str) -> str:
    """An amount to the cent: unit prices, and what a customer paid."""
    symbol = SYMBOLS.get(currency)
    return f"{symbol}{amount:,.2f}" if symbol else f"{amount:,.2f} {currency}"


def number(quantity: Decimal) -> str:
    """A quantity without idle zeros: 12, 2.5."""
    return f"{quantity.normalize():f}"
