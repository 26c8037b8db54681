"""What acting on signals earned, by comparing customers who were told of with those left alone on purpose.

Customers are drawn by quarter, so a customer's quarter is the unit: all its outcomes of a kind count together. The
difference of the means per outcome is taken as a ratio of sums, with the variance of its linear approximation (Cochran,
Sampling Techniques, 3rd ed., 6.4) and Welch's degrees of freedom.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import inf, log, sqrt
from statistics import NormalDist

CONFIDENCE = 0.95
DETECTABLE = 2.8
"""Standard errors of the smallest effect that is seen four times in five, at 5 % (z of .975 and of .80)."""

LEAST_UNITS = 5
"""From fewer customers in either group no interval is made."""

PRIOR_SPREAD = 0.5
"""How far, on the log odds, what acting does may lie from what is assumed."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One outcome: whose quarter, whether somebody was told, the margin that came, and the gain that was expected."""

    unit: str
    is_notified: bool
    margin: float
    gain: float
    happened: bool | None = None


@dataclass(frozen=True, slots=True)
class Roi:
    """What acting earned, base currency. `extra`: margin per outcome; the interval is of 95 %.

    `smallest`: the effect per outcome that would be seen four times in five. `needed`: so many customers left alone
    would show the gain that was expected. None: there are too few customers for it. `effect` is what acting does to the
    log odds of the good outcome, shrunk towards what is assumed.
    """

    notified: int
    held: int
    units_notified: int
    units_held: int
    extra: float | None = None
    low: float | None = None
    high: float | None = None
    smallest: float | None = None
    expected: float = 0.0
    needed: int | None = None
    effect: float | None = None

    @property
    def total(self) -> float | None:
        """The extra margin of all that was told."""
        return None if self.extra is None else self.extra * self.notified

    @property
    def is_enough(self) -> bool:
        """Whether the gain that was expected would be seen."""
        return self.smallest is not None and self.smallest <= self.expected


def roi(outcomes: Iterable[Seen], assumed_effect: float) -> Roi:
    """Compare the outcomes of one kind. `assumed_effect` is the shift of the log odds that its gains rest on."""
    told, left = _Group(), _Group()
    for each in outcomes:
        (told if each.is_notified else left).add(each)
    counted = Roi(told.outcomes, left.outcomes, len(told.units), len(left.units), expected=told.mean_gain)
    if min(len(told.units), len(left.units)) < LEAST_UNITS:
        return counted
    variance = told.variance + left.variance
    error = sqrt(variance)
    freedom = (
        variance**2 / (told.variance**2 / (len(told.units) - 1) + left.variance**2 / (len(left.units) - 1))
        if variance
        else inf
    )
    reach = _t(freedom) * error
    extra, smallest = told.mean - left.mean, DETECTABLE * error
    needed = None
    if told.mean_gain > 0:
        needed = max(len(left.units), round(len(left.units) * (smallest / told.mean_gain) ** 2))
    return replace(
        counted,
        extra=extra,
        low=extra - reach,
        high=extra + reach,
        smallest=smallest,
        needed=needed,
        effect=_effect(told, left, assumed_effect),
    )


def _t(freedom: float) -> float:
    """The quantile of Student's t for the interval (Abramowitz and Stegun, 26.7.5; within 0.5 % from 4 degrees on)."""
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    second = (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    return z + (z**3 + z) / (4 * freedom) + second + third


class _Group:
    """The outcomes of those told of, or of those left alone."""

    def __init__(self) -> None:
        self.units: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self.outcomes = self.known = self.happened = 0
        self._gain = 0.0

    def add(self, seen: Seen) -> None:
        """Take one in."""
        unit = self.units[seen.unit]
        unit[0] += seen.margin
        unit[1] += 1
        self.outcomes += 1
        self._gain += seen.gain
        if seen.happened is not None:
            self.known += 1
            self.happened += seen.happened

    @property
    def mean(self) -> float:
        """Margin per outcome."""
        return sum(margin for margin, _ in self.units.values()) / self.outcomes

    @property
    def mean_gain(self) -> float:
        """The gain that was expected of each."""
        return self._gain / self.outcomes if self.outcomes else 0.0

    @property
    def variance(self) -> float:
        """The variance of `mean`: of a ratio of sums over units."""
        number, mean = len(self.units), self.mean
        spread = sum((margin - mean * count) ** 2 for margin, count in self.units.values())
        return number / (number - 1) * spread / self.outcomes**2


def _effect(told: _Group, left: _Group, assumed: float) -> float | None:
    """The difference of log odds of the good outcome, shrunk towards the assumed one by how well it is known."""
    if not (told.known and left.known):
        return None

    def log_odds(group: _Group) -> tuple[float, float]:
        """Of the good outcome, with their variance; half a case of either (Haldane), as none is no proof."""
        yes, no = group.happened + 0.5, group.known - group.happened + 0.5
        return log(yes / no), 1 / yes + 1 / no

    (seen_told, of_told), (seen_left, of_left) = log_odds(told), log_odds(left)
    weight = 1 / (of_told + of_left)
    prior = 1 / PRIOR_SPREAD**2
    return ((seen_told - seen_left) * weight + assumed * prior) / (weight + prior)
