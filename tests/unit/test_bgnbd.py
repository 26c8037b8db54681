"""BG/NBD against the values its authors and the libraries of the field give for CDNOW's customers, in weeks."""

import numpy as np
import pytest

from services.scoring.fit.bgnbd import BgNbd, fit

CDNOW = BgNbd(r=0.2426, alpha=4.4136, a=0.7930, b=2.4260)


def test_expects_what_the_paper_expects_of_new_customers() -> None:
    spans = np.array([0.1429, 1, 3, 31.8571, 32, 78])
    assert CDNOW.expected(spans) == pytest.approx([0.0078, 0.0532, 0.1506, 1.0405, 1.0437, 1.8576], abs=5e-4)


def test_expects_what_the_paper_expects_of_a_known_customer() -> None:
    assert CDNOW.expected_of(39, 2, 30.43, 38.86) == pytest.approx(1.226, abs=1e-3)
    assert CDNOW.alive(2, 30.43, 38.86) == pytest.approx(0.7266, abs=2e-4)


def test_the_chance_of_being_alive_rises_and_falls_with_the_number_of_orders() -> None:
    repeats = np.array([1, 2, 5, 10, 15, 20])
    assert CDNOW.alive(repeats, 30, 39) == pytest.approx([0.696, 0.720, 0.706, 0.572, 0.375, 0.197], abs=1e-3)


def test_whoever_ordered_once_is_alive_for_all_it_knows() -> None:
    assert CDNOW.alive(0, 0, 39) == 1


def test_finds_the_parameters_customers_were_made_by() -> None:
    chance = np.random.default_rng(7)
    histories = [_history(chance) for _ in range(4000)]
    found = fit(*np.array(histories).T)
    assert (found.r, found.alpha) == pytest.approx((0.8, 5.0), rel=0.15)
    assert found.a / (found.a + found.b) == pytest.approx(0.25, abs=0.04)


def test_says_that_all_are_alive_where_nobody_drops_out() -> None:
    chance = np.random.default_rng(3)
    repeats = chance.poisson(chance.gamma(8, 1 / 2, size=2000) * 10) + 1
    age = np.full(2000, 52.0)
    recency = age - chance.exponential(0.5, size=2000)
    found = fit(repeats, recency, age)
    assert found.log_likelihood(repeats, recency, age).sum() < 0
    assert float(np.mean(found.alive(repeats, recency, age))) > 0.95


def _history(chance: np.random.Generator) -> tuple[float, float, float]:
    """One customer of r .8, alpha 5, a 1, b 3, seen for a year: repeats, recency, age."""
    rate, drop = chance.gamma(0.8, 1 / 5), chance.beta(1, 3)
    repeats, now = 0, 0.0
    while (gap := chance.exponential(1 / rate)) <= 52 - now:
        repeats, now = repeats + 1, now + gap
        if chance.random() < drop:
            break
    return repeats, now, 52.0
