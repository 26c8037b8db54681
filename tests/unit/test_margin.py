"""Margin: below floor at once, thin margins, prices below own and peers' - and everything that is no leak."""

from dataclasses import replace
from decimal import Decimal

import pytest

from services.scoring.signals.margin import KIND, detect
from shared.domain.signal import Severity
from tests.order_facts import (
    DRILL,
    a_band,
    a_break,
    a_line,
    a_product,
    a_purchase,
    an_episode,
    an_item,
    facts,
)

FAIR = a_product(bands=(a_band(8),))
"""Twenty accounts pay 8."""


def test_a_line_below_its_floor_is_urgent() -> None:
    (signal,) = detect(facts(a_line(price=5, cost=6)))
    assert signal.severity is Severity.URGENT
    assert signal.stake == Decimal("10.00")  # ten units, one pound short of cost each
    assert signal.headline == "Sold Cordless drill below its floor"
    assert signal.evidence[0].text == "Sold at £5.00; cost £6.00, floor £6.00."


def test_below_the_floor_is_a_question_of_its_own() -> None:
    """Held out, dismissed or snoozed, a thin margin of the same product must not hide it."""
    (below,) = detect(facts(a_line(price=5, cost=6)))
    (thin,) = detect(facts(a_line(price=5, cost=4)))
    assert (below.kind, thin.kind) == ("margin", "margin")
    assert (below.subject, thin.subject) == (f"floor:{DRILL}", f"product:{DRILL}")


@pytest.mark.parametrize(
    ("cost", "reason"),
    [
        pytest.param(6, None, id="below its floor still"),
        pytest.param(4, "sold above its floor again", id="thin, but above its floor"),
    ],
)
def test_a_question_about_the_floor_ends_above_it(cost: float, reason: str | None) -> None:
    episode = replace(an_episode("margin"), subject=f"floor:{DRILL}")
    assert KIND.ends(facts(a_line(price=5, cost=cost)), episode) == reason


def test_the_products_own_floor_goes_before_the_settings() -> None:
    product = a_product(floor_margin=Decimal("0.10"))
    (signal,) = detect(facts(a_line(product, price=6.5, cost=6)))
    assert signal.severity is Severity.URGENT
    assert [each.severity for each in detect(facts(a_line(product, price=6.6, cost=6)))] == [Severity.NORMAL]


def test_one_mistake_does_not_make_a_price_below_cost_usual() -> None:
    product = a_product(fitted=an_item(buyers=7, margin_rate=Decimal("-0.2")))
    (signal,) = detect(facts(a_line(product, price=5, cost=5.5)))
    assert signal.severity is Severity.URGENT


def test_a_thin_margin_is_told_with_the_usual_one() -> None:
    (signal,) = detect(facts(a_line(price=5, cost=4)))
    assert signal.severity is Severity.NORMAL
    assert signal.stake == Decimal("10.00")  # 20 points of 50
    assert [each.text for each in signal.evidence[:2]] == [
        "20% at £5.00, cost £4.00.",
        "40% is the median of this product over the last year.",
    ]


def test_what_the_customer_will_buy_again_counts() -> None:
    history = tuple(a_purchase(days, 10) for days in (30, 60, 90))
    (signal,) = detect(facts(a_line(price=5, cost=4, history=history)))
    assert signal.stake == Decimal("40.00")  # ten now and thirty more in 90 days


def test_without_a_cost_the_price_is_held_against_own_and_peers() -> None:
    (signal,) = detect(facts(a_line(FAIR, price=6, history=(a_purchase(30, 10, 8),))))
    assert (
        signal.evidence[0].text
        == "£6.00 a unit; 20 accounts at this quantity usually paid £8.00 in the last 90 days."
    )
    assert signal.evidence[1].text == "£8.00 for 10 on 31 January 2026."
    assert signal.assumed_margin


def test_a_first_purchase_is_held_against_peers_alone() -> None:
    (signal,) = detect(facts(a_line(FAIR, price=6)))
    assert signal.stake == Decimal("20.00")


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(a_line(price=5, cost=3.2), id="a gap below ten points"),
        pytest.param(
            a_line(a_product(fitted=an_item(margin_rate=None)), price=5, cost=4),
            id="a product never sold before",
        ),
        pytest.param(
            a_line(a_product(fitted=an_item(margin_rate=Decimal("-0.2"))), price=5, cost=5.5),
            id="a product always sold below cost",
        ),
        pytest.param(
            a_line(a_product(breaks=(a_break(10, 5),)), price=5, cost=4), id="the price of the price list"
        ),
        pytest.param(a_line(a_product(bands=(a_band(5),)), price=5, cost=4), id="a price most buyers got"),
        pytest.param(
            a_line(a_product(bands=(a_band(8, latest_price=Decimal(5)),)), price=5, cost=4),
            id="a list cut of late",
        ),
        pytest.param(a_line(price=2), id="a price with neither cost nor peers"),
        pytest.param(a_line(FAIR, price=7.5), id="a price just below the peers'"),
        pytest.param(
            a_line(FAIR, price=6, history=(a_purchase(30, 10, 6),)), id="the price this customer paid before"
        ),
        pytest.param(
            a_line(a_product(bands=(a_band(8, low_price=Decimal(6)),)), price=6),
            id="what some others pay too",
        ),
        pytest.param(a_line(a_product(bands=(a_band(8, buyers=7),)), price=6), id="too few peers"),
        pytest.param(
            a_line(a_product(bands=(a_band(8, channel="shop"),)), price=6), id="peers of another channel"
        ),
        pytest.param(
            a_line(a_product(bands=(a_band(8, currency="EUR"),)), price=6), id="peers in another currency"
        ),
        pytest.param(
            a_line(a_product(bands=(a_band(8, min_quantity=Decimal(100)),)), price=6),
            id="peers of another quantity",
        ),
        pytest.param(
            a_line(a_product(bands=(a_band(8),), breaks=(a_break(10, 6),)), price=6), id="a quantity break"
        ),
        pytest.param(a_line(price=0), id="a gift whose cost is unknown"),
    ],
)
def test_is_no_leak(line) -> None:
    assert list(detect(facts(line))) == []


def test_eight_others_are_needed_beside_the_customer() -> None:
    product = a_product(bands=(a_band(8, buyers=8),))
    assert list(detect(facts(a_line(product, price=6, history=(a_purchase(30, 10, 8),))))) == []
    assert len(list(detect(facts(a_line(product, price=6))))) == 1


def test_a_free_line_is_judged_by_its_cost_unless_a_manual_total_pays_for_it() -> None:
    free = a_line(price=0, cost=2)
    assert [each.severity for each in detect(facts(free))] == [Severity.URGENT]
    assert list(detect(facts(free, has_manual_total=True))) == []


def test_nothing_is_said_while_no_rate_is_known() -> None:
    assert list(detect(facts(a_line(price=5, cost=6, base_net=None), rate=None))) == []


def test_ends_when_sold_as_usual_again() -> None:
    episode = an_episode("margin")
    assert KIND.ends(facts(a_line(price=10, cost=6)), episode) == "sold at the usual price again"
    assert KIND.ends(facts(a_line(price=5, cost=6)), episode) is None
    assert KIND.ends(facts(a_line(a_product(2), price=10, cost=6)), episode) is None
    assert KIND.ends(replace(facts(a_line(price=10, cost=6)), lines=()), episode) is None
