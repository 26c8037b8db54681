"""What calls earned is told with an interval that holds what it promises, or not at all."""

import math

import numpy as np
import pytest
from scipy import stats

from services.scoring.roi import Roi, Seen, _t, roi

TRUE_EXTRA = 12.0


def a_year(seed: int, customers: int = 800, held: float = 0.1, extra: float = TRUE_EXTRA) -> list[Seen]:
    """Customers with one to four outcomes each, whose skewed margins are alike within a customer."""
    draw = np.random.default_rng(seed)
    found = []
    for customer in range(customers):
        is_notified = draw.random() >= held
        level = draw.lognormal(3.0, 0.8)
        for _ in range(draw.integers(1, 5)):
            margin = level * draw.lognormal(0, 0.6) + (extra if is_notified else 0)
            found.append(Seen(str(customer), is_notified, float(margin), 10.0, bool(draw.random() < 0.3)))
    return found


def test_the_interval_covers_a_planted_effect_about_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(100):
        result = roi(a_year(seed), 0.4)
        assert result.low is not None
        assert result.high is not None
        covered += result.low <= TRUE_EXTRA <= result.high

    assert 90 <= covered <= 98


def test_it_is_no_matter_how_many_outcomes_a_customer_has_when_they_are_alike() -> None:
    once = roi([Seen(str(n), n % 2 == 0, float(n % 7), 1.0) for n in range(200)], 0.4)
    often = roi([Seen(str(n), n % 2 == 0, float(n % 7), 1.0) for n in range(200) for _ in range(50)], 0.4)

    assert once.extra == pytest.approx(often.extra)
    assert once.low == pytest.approx(often.low)
    assert once.high == pytest.approx(often.high)


def test_too_few_customers_are_told_by_number_and_nothing_else() -> None:
    result = roi([Seen(str(n), n > 3, 1.0, 1.0) for n in range(300)], 0.4)

    assert result == Roi(296, 4, 296, 4, expected=1.0)
    assert not result.is_enough


def test_what_would_be_seen_and_how_many_customers_that_takes() -> None:
    result = roi(a_year(1), 0.4)

    assert result.smallest is not None
    assert result.needed is not None
    assert result.is_enough == (result.smallest <= 10.0)
    assert result.needed == max(result.units_held, round(result.units_held * (result.smallest / 10.0) ** 2))


@pytest.mark.parametrize("freedom", [4, 7, 20, 300])
def test_the_quantile_is_students(freedom: float) -> None:
    assert _t(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=0.005)


def test_the_effect_is_what_is_assumed_until_much_was_seen() -> None:
    def seen(units: int) -> float:
        outcomes = [
            Seen(str(n), n % 2 == 0, 1.0, 1.0, n % 10 < (6 if n % 2 == 0 else 3)) for n in range(units)
        ]
        effect = roi(outcomes, 0.4).effect
        assert effect is not None
        return effect

    told, left = 0.6, 0.2  # of even numbers 0 2 4, of odd ones 1
    truth = math.log(told / (1 - told)) - math.log(left / (1 - left))
    assert abs(seen(20) - 0.4) < abs(truth - 0.4) / 2
    assert seen(20_000) == pytest.approx(truth, abs=0.05)
