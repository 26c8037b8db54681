"""Grades of models that name customers: how well they rank, what the first hundred hold, whether chances came true."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]

FIRST = 100
FEWEST_JUDGED = 100
DECILES = 10


@dataclass(frozen=True, slots=True)
class Ranking:
    """How good an order of customers was: `auc` by its score, the rest of the first hundred by its own order."""

    auc: float
    precision: float
    money: float

    def as_json(self) -> dict[str, float]:
        """What is kept of it."""
        return {
            "auc": round(self.auc, 4),
            "p_at_100": round(self.precision, 4),
            "money": round(self.money, 2),
        }


@dataclass(frozen=True, slots=True)
class Decile:
    """Customers of like chance: how many, how many outcomes were expected, and how many came."""

    judged: int
    expected: float
    observed: int


@dataclass(frozen=True, slots=True)
class DriftGrade:
    """How well a model told who would be lost, beside its baselines, on days it had not learnt from."""

    passes: bool
    reason: str
    judged: int
    lost: int
    model: Ranking | None = None
    baselines: Mapping[str, Ranking] | None = None
    calibration: tuple[Decile, ...] = ()

    def line(self) -> str:
        """Say it in words."""
        ending = self.reason if self.passes else f"{self.reason}: it stays out of mails"
        if self.model is None:
            return ending
        return (
            f"{self.judged:,} customers judged, {self.lost:,} lost: AUC {self.model.auc:.2f},"
            f" {self.model.precision:.0%} of the first {FIRST} lost, with {self.model.money:,.0f} a quarter; {ending}"
        )

    def as_json(self) -> dict[str, Any]:
        """What `model_run.grade` keeps."""
        return {
            "passes": self.passes,
            "reason": self.reason,
            "judged": self.judged,
            "lost": self.lost,
            "model": self.model.as_json() if self.model else None,
            "baselines": {name: each.as_json() for name, each in (self.baselines or {}).items()},
            "calibration": [
                [each.judged, round(each.expected, 2), each.observed] for each in self.calibration
            ],
        }


@dataclass(frozen=True, slots=True)
class Judged:
    """Customers of one past day: who was lost, what they bought in a quarter, and each method's score and order."""

    lost: Array
    money: Array
    chance: Array
    gain: Array
    baselines: Mapping[str, Array]


def grade(days: list[Judged]) -> DriftGrade:
    """Judge a model by past days, each ranked by itself.

    It passes where it ranks better than every baseline, and names no less money than the best of them but for chance.
    """
    judged = sum(len(each.lost) for each in days)
    lost = int(sum(each.lost.sum() for each in days))
    if judged < FEWEST_JUDGED or min(lost, judged - lost) < DECILES:
        return DriftGrade(False, f"only {judged} customers to judge by, {lost} of them lost", judged, lost)
    model = _mean([rank(each.chance, each.gain, each.lost, each.money) for each in days])
    baselines = {
        name: _mean(
            [rank(each.baselines[name], each.baselines[name], each.lost, each.money) for each in days]
        )
        for name in days[0].baselines
    }
    best = max(baselines, key=lambda name: baselines[name].money)
    ranks = model.auc > max(each.auc for each in baselines.values())
    behind = baselines[best].money - model.money
    passes = ranks and behind <= _by_chance(days, best)
    reason = "beats its baselines" if passes else "does not beat its baselines"
    deciles = calibration(
        np.concatenate([each.chance for each in days]), np.concatenate([each.lost for each in days])
    )
    return DriftGrade(passes, reason, judged, lost, model, baselines, deciles)


def rank(score: Array, order: Array, lost: Array, money: Array) -> Ranking:
    """Judge a score, and an order whose first hundred are named."""
    first = named(order)
    return Ranking(auc(score, lost), float(lost[first].mean()), float((money * lost)[first].sum()))


def named(order: Array) -> Any:  # noqa: ANN401 - positions
    """Return the positions of the first hundred, highest first; ties stay as they are."""
    return np.argsort(-np.nan_to_num(order, nan=-np.inf), kind="stable")[:FIRST]


def auc(score: Array, outcome: Array) -> float:
    """Return the chance that the score of one with the outcome is above that of one without (ties count half)."""
    score = np.nan_to_num(score, nan=-np.inf)
    _, where, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[where]
    hits = outcome.sum()
    misses = len(outcome) - hits
    if not hits or not misses:
        return 0.5
    return float((ranks[outcome == 1].sum() - hits * (hits + 1) / 2) / (hits * misses))


def calibration(chance: Array, outcome: Array) -> tuple[Decile, ...]:
    """Return tenths of the judged by chance, lowest first."""
    parts = np.array_split(np.argsort(chance, kind="stable"), DECILES)
    return tuple(
        Decile(len(part), float(chance[part].sum()), int(outcome[part].sum())) for part in parts if len(part)
    )


def _mean(each: list[Ranking]) -> Ranking:
    return Ranking(
        float(np.mean([one.auc for one in each])),
        float(np.mean([one.precision for one in each])),
        float(np.mean([one.money for one in each])),
    )


def _by_chance(days: list[Judged], baseline: str) -> float:
    """Return one standard error of the difference in money: it hangs on the few that only one of both names."""
    squares = 0.0
    for each in days:
        ours = np.zeros(len(each.lost))
        ours[named(each.gain)] += 1
        ours[named(each.baselines[baseline])] -= 1
        squares += float(((ours * each.lost * each.money) ** 2).sum())
    return float(np.sqrt(squares)) / len(days)
