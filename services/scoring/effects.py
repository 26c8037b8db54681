"""What acting on a signal does: a shift on the log odds of the good outcome, by kind, and the gain it brings.

The shifts are assumptions of ours, measured nowhere we know; what a kind's holdout shows replaces them. A call moves
most where the outcome hangs in the balance, and little where it is hopeless or sure.
"""

from collections.abc import Mapping
from math import exp, log
from types import MappingProxyType

EFFECTS: Mapping[str, float] = MappingProxyType(
    {
        "price_error": 2.4,
        "below_floor": 2.4,
        "cost_not_passed_on": 1.15,
        "basket_gap": 1.0,
        "margin_erosion": 1.0,
        "discount_outlier": 1.0,
        "reorder_due": 0.6,
        "up_sell": 0.6,
        "going_quiet": 0.46,
        "stopped_item": 0.46,
        "stopped_category": 0.46,
        "half_usual": 0.46,
        "cross_sell": 0.42,
        "spend_drop": 0.3,
    }
)
"""For each kind, by how much acting on it raises the log odds."""

ASSUMED_MARGIN = 0.30
"""The margin rate where no cost is known and nothing is set: models reckon at it, kinds restate it (`model_rows`)."""

_SURE = 1e-6


def after_acting(p0: float, effect: float) -> float:
    """Return p1, the chance of the good outcome if somebody acts: logit p1 = logit p0 + effect."""
    inside = min(max(p0, _SURE), 1 - _SURE)
    return 1 / (1 + exp(-(log(inside / (1 - inside)) + effect)))


def gain(p0: float, margin: float, effect: float) -> float:
    """Return the extra margin that acting is expected to bring: (p1 - p0) x margin over the horizon."""
    return (after_acting(p0, effect) - p0) * margin


def in_ten(chance: float) -> str:
    """Return a chance as reps read it: 3 in 10."""
    if chance < 0.05:
        return "fewer than 1 in 20"
    return "nearly all" if chance >= 0.95 else f"{max(1, round(chance * 10))} in 10"
