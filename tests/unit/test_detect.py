"""When a kind may be mailed: only with a fresh fit in which it wins; what orders end; which facts a signal keeps."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from services.scoring.detect import detect, ended, why_unproven
from services.scoring.facts import Assumptions, Cost, FitFacts, Neighbour
from services.scoring.replay import made_from
from services.scoring.signals import below_floor, cross_sell
from tests.order_facts import (
    BIT,
    NOW,
    PLUG,
    SAW,
    a_band,
    a_break,
    a_fit,
    a_line,
    a_product,
    an_episode,
    an_item,
    facts,
)

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


def test_a_signal_about_a_line_keeps_what_bears_on_it_that_day() -> None:
    today = NOW.date()
    day = timedelta(days=1)
    costs = [
        Cost(today - 2 * day, Decimal(5), "GBP"),
        Cost(today, Decimal(6), "GBP"),
        Cost(today + day, Decimal(7), "GBP"),
    ]
    bands = [a_band(5, max_quantity=Decimal(6)), a_band(4, min_quantity=Decimal(6)), a_band(3, channel="web")]
    drill = a_product(
        costs=tuple(costs),
        bands=tuple(bands),
        breaks=(a_break(12, 4), a_break(12, 3, valid_from=today + day)),
        neighbours={BIT: Neighbour(0.5, 9, 9), SAW: Neighbour(0.4, 9, 9), PLUG: Neighbour(0.3, 9, 9)},
    )
    order = facts(a_line(drill, price=5, cost=6), a_line(a_product(SAW), number=2))
    (signal,) = detect({"below_floor": below_floor.KIND}, order).signals
    (kept,) = made_from(order, signal).lines
    assert kept.product == replace(
        drill, costs=tuple(costs[1:2]), bands=tuple(bands[1:2]), breaks=drill.breaks[:1], neighbours={}
    )


def test_a_mention_is_stored_only_beside_what_may_be_the_reason_for_a_message() -> None:
    kinds = {"below_floor": below_floor.KIND, "cross_sell": cross_sell.KIND}
    bit = a_product(BIT, fitted=an_item(first_quantity=Decimal(20)))
    offer = {"candidates": ((BIT, 0.3),), "products": [bit]}
    alone = detect(kinds, facts(a_line(price=50, cost=1), **offer))
    assert ([each.kind for each in alone.alone], alone.signals) == (["cross_sell"], ())
    assert alone.dropped == ("cross_sell",)
    beside = detect(kinds, facts(a_line(price=50, cost=60), **offer))
    assert [each.kind for each in beside.signals] == ["below_floor", "cross_sell"]
    assert beside.alone == ()
    calls_cost_little = replace(Assumptions("GBP"), call_cost=Decimal(0))
    led = detect(kinds, facts(a_line(price=50, cost=1), assumptions=calls_cost_little, **offer))
    assert [each.kind for each in led.signals] == ["cross_sell"]
