"""What past offers say about the next ones: calibrated odds, and whether cross-sell beats popularity."""

import pytest

from services.scoring.fit.calibration import Bin, calibrate
from services.scoring.fit.grade import Tally, grade


def test_a_bin_is_drawn_to_the_overall_rate_as_if_that_had_been_seen_twenty_times() -> None:
    low, high = calibrate([Bin(0.1, offers=100, bought=0), Bin(0.5, offers=100, bought=20)])
    assert low.probability == pytest.approx((0 + 20 * 0.1) / 120)
    assert high.probability == pytest.approx((20 + 20 * 0.1) / 120)
    assert (low.least, high.least) == (0.1, 0.5)


def test_odds_never_fall_as_scores_rise() -> None:
    counts = [(100, 5), (100, 2), (50, 9), (100, 4), (100, 30)]
    steps = calibrate([Bin(float(place), *count) for place, count in enumerate(counts)])
    odds = [step.probability for step in steps]
    assert odds == sorted(set(odds))
    assert [step.least for step in steps] == [0.0, 2.0, 4.0]
    assert sum(step.offers for step in steps) == 450


def test_pooled_bins_weigh_what_they_held() -> None:
    (only,) = calibrate([Bin(0.1, offers=300, bought=30), Bin(0.2, offers=100, bought=2)])
    first, second = (30 + 20 * 0.08) / 320, (2 + 20 * 0.08) / 120
    assert only.probability == pytest.approx((300 * first + 100 * second) / 400)


@pytest.mark.parametrize(
    "bins", [pytest.param([], id="no bins"), pytest.param([Bin(0.0, 0, 0)], id="an empty bin")]
)
def test_without_past_offers_there_are_no_odds(bins: list[Bin]) -> None:
    assert calibrate(bins) == ()


WINS = "beats popularity"
LOSES = "does not beat popularity"


@pytest.mark.parametrize(
    ("tallies", "reason"),
    [
        pytest.param([Tally(1000, 0, 0), Tally(80, 1, 0), Tally(30, 0, 1)], WINS, id="clearly more"),
        pytest.param([Tally(1000, 0, 0), Tally(31, 1, 0), Tally(30, 0, 1)], LOSES, id="by chance"),
        pytest.param([Tally(1000, 0, 0), Tally(30, 1, 0), Tally(80, 0, 1)], LOSES, id="fewer"),
        pytest.param([Tally(1000, 0, 0)], LOSES, id="nothing bought at all"),
        pytest.param([Tally(49, 3, 0)], "only 49 customers to judge by", id="too few customers"),
        pytest.param([], "only 0 customers to judge by", id="nobody"),
    ],
)
def test_cross_sell_wins_only_when_its_lead_is_more_than_chance(tallies: list[Tally], reason: str) -> None:
    judged = grade(tallies, ())
    assert (judged.passes, judged.reason) == (reason == WINS, reason)


def test_precision_is_the_share_of_three_offers_that_were_bought() -> None:
    judged = grade([Tally(90, 0, 0), Tally(10, 3, 1)], ())
    assert judged.precision_at_3 == pytest.approx(30 / 300)
    assert judged.popularity_precision_at_3 == pytest.approx(10 / 300)


def test_without_customers_there_is_no_precision() -> None:
    assert grade([], ()).precision_at_3 is None
