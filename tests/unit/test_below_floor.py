"""Below floor: urgent, what is lost on this order - and what is given away on purpose."""

from decimal import Decimal

import msgspec
import pytest

from services.scoring.facts import Assumptions
from services.scoring.signals import price_error
from services.scoring.signals.below_floor import KIND, detect
from shared.domain.signal import Severity
from tests.order_facts import a_line, a_product, a_purchase, an_episode, an_item, facts

THIRTY = Assumptions("GBP", floor_margin=Decimal("0.30"))


def test_a_line_below_its_floor_is_urgent_and_says_what_is_lost_on_this_order() -> None:
    (signal,) = detect(facts(a_line(a_product(fitted=None), price=5, cost=6)))
    assert signal.severity is Severity.URGENT
    assert signal.stake == Decimal("10.00")  # ten units, one pound short of cost each
    assert signal.headline == "Cordless drill sold at £5.00, cost £6.00"
    assert [each.text for each in signal.evidence] == [
        "Sold at £5.00; cost £6.00, floor £6.00.",
        "£10.00: £1.00 on each of 10. Can be put right until it is invoiced; shown until 5 March 2026.",
    ]


@pytest.mark.parametrize(
    ("price", "is_below"),
    [
        pytest.param("9.50", True, id="at 26 %"),
        pytest.param("10.01", False, id="at 30 %"),
    ],
)
def test_a_floor_is_a_margin_rate_not_a_mark_up(price: str, is_below: bool) -> None:
    """Cost 7, floor 30 %: the least price is 10. As a mark-up it would be 9.10, and 26 % would pass."""
    found = list(detect(facts(a_line(price=price, cost=7), assumptions=THIRTY)))
    assert bool(found) == is_below


def test_the_products_own_floor_goes_before_the_settings() -> None:
    product = a_product(floor_margin=Decimal("0.10"))
    assert len(list(detect(facts(a_line(product, price=6.6, cost=6))))) == 1
    assert list(detect(facts(a_line(product, price=6.7, cost=6)))) == []


def test_lost_is_what_the_customer_always_paid_where_that_is_more_than_the_floor() -> None:
    history = tuple(a_purchase(days, 10, 8) for days in (30, 60, 90))
    (signal,) = detect(facts(a_line(price=5, cost=6, history=history)))
    assert signal.stake == Decimal("30.00")
    assert signal.evidence[2].text.startswith("£8.00 for 10 on 31 January 2026, £8.00 for 10 on")


def test_its_milder_sibling_leaves_it_alone() -> None:
    history = tuple(a_purchase(days, 10, 8) for days in (30, 60, 90))
    assert list(price_error.detect(facts(a_line(price=5, cost=6, history=history)))) == []


def test_one_mistake_does_not_make_a_price_below_cost_usual() -> None:
    product = a_product(fitted=an_item(buyers=7, margin_rate=Decimal("-0.2")))
    assert len(list(detect(facts(a_line(product, price=5, cost=5.5))))) == 1


FREE, PAID = a_line(price=0, cost=2), a_line(a_product(2), price=9, cost=2)
CLEARED = a_line(price=5, cost=6)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(facts(FREE, PAID), id="goods given away beside paid ones"),
        pytest.param(facts(FREE, has_manual_total=True), id="goods paid by a manual total"),
        pytest.param(
            facts(
                msgspec.structs.replace(
                    CLEARED, line=msgspec.structs.replace(CLEARED.line, return_reason="clearance")
                )
            ),
            id="a line cleared out",
        ),
        pytest.param(
            facts(a_line(a_product(is_active=False), price=5, cost=6)),
            id="the last of a discontinued product",
        ),
        pytest.param(
            facts(a_line(a_product(fitted=an_item(margin_rate=Decimal("-0.2"))), price=5, cost=5.5)),
            id="a product that many buy below cost",
        ),
        pytest.param(facts(a_line(price=5)), id="a line whose cost is unknown"),
        pytest.param(
            facts(a_line(price=5, cost=6, base_net=None), rate=None), id="a line whose rate is unknown"
        ),
    ],
)
def test_says_nothing_of(given) -> None:
    assert list(detect(given)) == []


def test_an_order_of_free_lines_alone_is_a_mistake() -> None:
    assert len(list(detect(facts(FREE)))) == 1


def test_ends_when_sold_above_its_floor_again() -> None:
    episode = an_episode("below_floor")
    assert KIND.ends(facts(a_line(price=10, cost=6)), episode) == "sold above its floor again"
    assert KIND.ends(facts(a_line(price=5, cost=6)), episode) is None
    assert KIND.ends(facts(a_line(a_product(2), price=10, cost=6)), episode) is None
