"""Turn scores into probabilities: bins of past scores, shrunk, and never falling as scores rise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import ibis
import pyarrow as pa

PRIOR_STRENGTH = 20


@dataclass(frozen=True, slots=True)
class Bin:
    """Past offers of like score: the least score, how many there were, how many were bought."""

    least: float
    offers: int
    bought: int


@dataclass(frozen=True, slots=True)
class Step:
    """From this score on, until the next step, an offer is bought with this probability."""

    least: float
    probability: float
    offers: int


def calibrate(bins: Sequence[Bin]) -> tuple[Step, ...]:
    """Return the rising steps for bins in order of score.

    Each bin is drawn to the overall rate as if that had been seen twenty times (Beta-binomial); neighbours that
    would fall are pooled until none does (pool adjacent violators).
    """
    offers = sum(each.offers for each in bins)
    if not offers:
        return ()
    overall = sum(each.bought for each in bins) / offers
    steps: list[Step] = []
    for each in bins:
        shrunk = (each.bought + PRIOR_STRENGTH * overall) / (each.offers + PRIOR_STRENGTH)
        steps.append(Step(each.least, shrunk, each.offers))
        while len(steps) > 1 and steps[-2].probability >= steps[-1].probability:
            higher, lower = steps.pop(), steps.pop()
            offers = lower.offers + higher.offers
            pooled = (lower.probability * lower.offers + higher.probability * higher.offers) / offers
            steps.append(Step(lower.least, pooled, offers))
    return tuple(steps)


def bins_of(offers: ibis.Table, parts: int) -> ibis.Table:
    """Return bins of about as many offers each, in order of `score`; `hit` is NULL where one was not bought.

    The other columns of `offers` settle ties of score.
    """
    ties = [name for name in offers.columns if name not in ("score", "hit")]
    binned = offers.mutate(part=ibis.ntile(parts).over(ibis.window(order_by=["score", *ties])))
    bins = binned.group_by("part").agg(
        least=binned.score.min(), offers=binned.count(), bought=binned.hit.count()
    )
    return bins.order_by("part").drop("part")


def bands(bins: Sequence[Mapping[str, Any]]) -> pa.Table | None:
    """Return `least`, `until` and `p0` of each band of score, from bins in order; None where nothing was offered."""
    steps = calibrate([Bin(**row) for row in bins])
    if not steps:
        return None
    later = [step.least for step in steps[1:]]
    return pa.table(
        {
            "least": pa.array([-inf, *later]),
            "until": pa.array([*later, inf]),
            "p0": pa.array([step.probability for step in steps]),
        }
    )
