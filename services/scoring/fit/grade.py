"""Grades: how good cross-sell was on the days just past, beside offering everybody what sells best."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

from services.scoring.fit.calibration import Step

OFFERS = 3
FEWEST_JUDGED = 50
LEAST_MARGIN = 1.0
"""Standard errors by which it must beat popularity: a lucky tie earns nobody's trust."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Customers judged alike: how many, and how many of three offers each bought by either method."""

    customers: int
    hits: int
    popular_hits: int


@dataclass(frozen=True, slots=True)
class CrossSellGrade:
    """Precision of the first three offers in the days after the cutoff. Nothing judged: no precision."""

    passes: bool
    reason: str
    judged: int
    hits: int
    popular_hits: int
    calibration: tuple[Step, ...]

    @property
    def precision_at_3(self) -> float | None:
        """Share of our offers that were bought."""
        return self.hits / (OFFERS * self.judged) if self.judged else None

    @property
    def popularity_precision_at_3(self) -> float | None:
        """Share of the best sellers, never bought before, that were bought."""
        return self.popular_hits / (OFFERS * self.judged) if self.judged else None

    def line(self) -> str:
        """Say it in words."""
        ending = self.reason if self.passes else f"{self.reason}: it stays out of mails"
        if self.precision_at_3 is None or self.popularity_precision_at_3 is None:
            return ending
        return (
            f"{self.judged:,} customers: precision@3 {self.precision_at_3:.1%},"
            f" popularity {self.popularity_precision_at_3:.1%}; {ending}"
        )

    def as_json(self) -> dict[str, Any]:
        """What `model_run.grade` keeps."""
        return {
            "passes": self.passes,
            "reason": self.reason,
            "judged": self.judged,
            "hits": self.hits,
            "popular_hits": self.popular_hits,
            "precision_at_3": self.precision_at_3,
            "popularity_precision_at_3": self.popularity_precision_at_3,
            "calibration": [[step.least, step.probability, step.offers] for step in self.calibration],
        }


def grade(tallies: Sequence[Tally], calibration: tuple[Step, ...]) -> CrossSellGrade:
    """Judge cross-sell: it wins where its lead over popularity is more than chance, on enough customers."""
    judged = sum(each.customers for each in tallies)
    hits = sum(each.hits * each.customers for each in tallies)
    popular = sum(each.popular_hits * each.customers for each in tallies)
    if judged < FEWEST_JUDGED:
        return CrossSellGrade(
            False, f"only {judged} customers to judge by", judged, hits, popular, calibration
        )
    lead = (hits - popular) / judged
    squares = sum((each.hits - each.popular_hits - lead) ** 2 * each.customers for each in tallies)
    error = sqrt(squares / judged / judged)
    passes = lead > 0 and lead > LEAST_MARGIN * error
    reason = "beats popularity" if passes else "does not beat popularity"
    return CrossSellGrade(passes, reason, judged, hits, popular, calibration)
