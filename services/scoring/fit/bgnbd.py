"""BG/NBD: how alive a customer is, and what to expect of them (Fader, Hardie and Lee, 2005). Here a baseline.

A customer is known by three numbers in one unit of time: `repeats` (order days after the first), `recency` (from the
first to the last) and `age` (from the first to now).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import gammaln, hyp2f1

Array = Any
"""A number or an array of numbers."""


@dataclass(frozen=True, slots=True)
class BgNbd:
    """Parameters: gamma (r, alpha) of the rate of ordering, beta (a, b) of dropping out after an order."""

    r: float
    alpha: float
    a: float
    b: float

    def log_likelihood(self, repeats: Array, recency: Array, age: Array) -> Array:
        """Return the log-likelihood of each customer."""
        r, alpha, a, b = self.r, self.alpha, self.a, self.b
        base = gammaln(r + repeats) - gammaln(r) + r * np.log(alpha)
        chance = gammaln(a + b) + gammaln(b + repeats) - gammaln(b) - gammaln(a + b + repeats)
        alive = -(r + repeats) * np.log(alpha + age)
        dead = np.where(
            np.asarray(repeats) > 0,
            np.log(a) - np.log(b + np.maximum(repeats, 1) - 1) - (r + repeats) * np.log(alpha + recency),
            -np.inf,
        )
        return base + chance + np.logaddexp(alive, dead)

    def alive(self, repeats: Array, recency: Array, age: Array) -> Array:
        """Return the chance that each customer has not dropped out; 1 for those who ordered once."""
        again = np.maximum(repeats, 1)
        odds_dead = (
            self.a
            / (self.b + again - 1)
            * ((self.alpha + age) / (self.alpha + recency)) ** (self.r + repeats)
        )
        return np.where(np.asarray(repeats) > 0, 1 / (1 + odds_dead), 1.0)

    def expected(self, span: Array) -> Array:
        """Return the order days expected of a new customer within a span (equation 9)."""
        r, alpha, a, b = self.r, self.alpha, self.a, self.b
        share = span / (alpha + span)
        return (a + b - 1) / (a - 1) * (1 - (1 - share) ** r * hyp2f1(r, b, a + b - 1, share))

    def expected_of(self, span: Array, repeats: Array, recency: Array, age: Array) -> Array:
        """Return the order days expected of a known customer within a span from now (equation 10)."""
        r, alpha, a, b = self.r, self.alpha, self.a, self.b
        falling = ((alpha + age) / (alpha + age + span)) ** (r + repeats) * hyp2f1(
            r + repeats, b + repeats, a + b + repeats - 1, span / (alpha + age + span)
        )
        expected_alive = (a + b + repeats - 1) / (a - 1) * (1 - falling)
        return expected_alive * self.alive(repeats, recency, age)


MOST = 10.0
"""Logarithms of parameters stay within this: where nobody drops out, b goes to infinity and rounding errors win."""


def fit(repeats: Array, recency: Array, age: Array) -> BgNbd:
    """Return the parameters that make these customers likeliest."""

    def loss(logarithms: Array) -> float:
        return -float(np.mean(BgNbd(*np.exp(logarithms)).log_likelihood(repeats, recency, age)))

    found = minimize(
        loss,
        np.log([1.0, 10.0, 1.0, 3.0]),
        method="L-BFGS-B",
        bounds=[(-MOST, MOST)] * 4,
        options={"ftol": 1e-12, "gtol": 1e-7},
    )
    return BgNbd(*(float(each) for each in np.exp(found.x)))
