"""When a kind may be mailed: only with a fresh fit in which it wins."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.scoring.detect import ended, why_unproven
from services.scoring.facts import FitFacts
from services.scoring.signals import below_floor, cross_sell
from tests.order_facts import BIT, NOW, a_fit, a_line, a_product, an_episode, facts

PASSES = a_fit(passes=True)


@pytest.mark.parametrize(
    ("fit", "reason"),
    [
        pytest.param(PASSES, None, id="mailed when its model passes"),
        pytest.param(None, "no fit yet", id="kept back without a fit"),
        pytest.param(a_fit(NOW - timedelta(days=3), passes=True), None, id="mailed on the third day"),
        pytest.param(
            a_fit(NOW - timedelta(days=3, seconds=1), passes=True),
            "the fit is more than 3 days old",
            id="kept back later",
        ),
        pytest.param(
            a_fit(passes=False, reason="does not beat popularity"),
            "does not beat popularity",
            id="kept back where popularity does as well",
        ),
        pytest.param(a_fit(), None, id="mailed where its model has no baseline to beat"),
    ],
)
def test_cross_sell_is(fit: FitFacts | None, reason: str | None) -> None:
    assert why_unproven(cross_sell.KIND, fit, NOW) == reason


def test_a_kind_without_a_model_needs_no_fit() -> None:
    assert why_unproven(below_floor.KIND, None, NOW) is None


def test_an_order_ends_nothing_opened_after_it() -> None:
    kinds = {"cross_sell": cross_sell.KIND}
    order = facts(a_line(a_product(BIT)))
    episode = an_episode("cross_sell", BIT)
    assert ended(kinds, order, [], [(1, episode)]) == {1: "the customer bought it"}
    assert ended(kinds, order, [], [(1, replace(episode, opened_at=NOW))]) == {}
    assert ended(kinds, order, [], [(1, replace(episode, kind="gone"))]) == {}
