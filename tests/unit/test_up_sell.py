"""Up-sell: breaks within reach, and more goods for less money."""

from dataclasses import replace
from decimal import Decimal

import pytest

from services.scoring.detect import detect as detect_all
from services.scoring.detect import ended
from services.scoring.signals.up_sell import KIND, detect
from services.scoring.value import THIS_ORDER
from shared.domain.signal import worded
from tests.order_facts import a_break, a_line, a_product, a_purchase, an_episode, facts

LIST = (a_break(1, 5), a_break(12, 4.8))
"""Ten at 5 are 50; twelve at 4.80 are 57.60: 7.60 for two more."""


def kinds(given) -> list[str]:
    return [each.cause for each in detect(given)]


def test_offers_the_next_break_where_its_margin_is_known() -> None:
    (signal,) = detect(facts(a_line(a_product(breaks=LIST), cost=1)))
    assert signal.cause == "break:12"
    assert signal.stake == Decimal("5.60")  # 7.60 more revenue, 2 more cost
    assert signal.value == Decimal("0.78")  # of 30 in 100 unaided, 44 when told
    assert not signal.assumed_margin
    assert signal.evidence[0].text == "Ordered 10 at £5.00; from 12 on £4.80. 2 more cost them £7.60."
    assert signal.headline == "2 more Cordless drill reach the price from 12"
    assert signal.horizon == THIS_ORDER


def test_speaks_of_revenue_where_the_cost_is_unknown() -> None:
    line = a_line(a_product(breaks=(a_break(1, 50), a_break(12, 48))), price=50)
    (signal,) = detect(facts(line))
    assert signal.evidence[-1].text == "£76.00 more revenue; the cost is not known."
    assert signal.revenue == 76


def test_tells_the_customer_when_more_goods_cost_less() -> None:
    (signal,) = detect(facts(a_line(a_product(breaks=(a_break(1, 5), a_break(12, 4))), cost=1)))
    assert signal.cause == "free:12"
    assert signal.headline == "More Cordless drill for less money"


def test_more_goods_for_less_money_is_owed_and_brings_nothing() -> None:
    """Ten at 5 are 50, twelve at 4 are 48: our margin falls by 2 and by the cost of two more."""
    given = facts(a_line(a_product(breaks=(a_break(1, 5), a_break(12, 4))), cost=1))
    (signal,) = detect_all({"up_sell": KIND}, given).signals
    assert signal.is_owed
    assert signal.stake == signal.value == 0
    assert signal.evidence[1].text == "£4.00 less margin; a customer who finds it out alone trusts us less."


def test_calls_a_break_seen_in_history_by_its_name() -> None:
    usual = tuple(replace(each, channel="") for each in LIST)
    (signal,) = detect(facts(a_line(a_product(breaks=usual), cost=1)))
    assert signal.evidence[0].label == "Price accounts usually get"


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(a_line(cost=1), id="a product without breaks"),
        pytest.param(a_line(a_product(breaks=LIST), quantity=6, cost=1), id="a break out of reach"),
        pytest.param(
            a_line(a_product(breaks=LIST), quantity=12, price=4.8, cost=1), id="a break that was reached"
        ),
        pytest.param(
            a_line(a_product(breaks=LIST), price=4.5, cost=1), id="a customer who pays less than the break"
        ),
        pytest.param(a_line(a_product(breaks=LIST), cost=4.7), id="a break that costs us money"),
        pytest.param(
            a_line(a_product(breaks=(a_break(1, 50), a_break(12, 45))), price=50),
            id="an unknown cost and little revenue for each extra unit",
        ),
        pytest.param(
            a_line(
                a_product(breaks=(a_break(1, 50), a_break(1200, 48))),
                quantity=1000,
                price=50,
                cost=1,
                history=tuple(a_purchase(days, 10) for days in (10, 30, 50, 70, 90)),
            ),
            id="a quantity that lasts for years",
        ),
        pytest.param(a_line(a_product(breaks=LIST), price=0, cost=1), id="a line that is free"),
        pytest.param(
            a_line(a_product(breaks=(a_break(1, 5), a_break(11, 4.54))), cost=1),
            id="more goods for six pence less: the price list's rounding",
        ),
    ],
)
def test_offers_no_break_for(line) -> None:
    assert kinds(facts(line)) == []


@pytest.mark.parametrize(
    ("quantity", "reason"),
    [
        pytest.param(12, "the customer took the quantity of a price break", id="at the break"),
        pytest.param(10, None, id="not below it"),
    ],
)
def test_ends(quantity: float, reason: str | None) -> None:
    given = facts(a_line(a_product(breaks=LIST), quantity=quantity, price=4.8))
    assert KIND.ends(given, an_episode("up_sell")) == reason
    assert KIND.ends(given, an_episode("up_sell", 2)) is None


def test_the_order_that_asks_a_question_does_not_end_it() -> None:
    """Dozen by dozen: the order that reaches one break is short of the next, and asks about it."""
    order = facts(a_line(a_product(breaks=(*LIST, a_break(16, 4.5))), quantity=12, price=4.8, cost=1))
    found = [worded(each) for each in detect_all({"up_sell": KIND}, order).alone]
    assert [each.cause for each in found] == ["break:16"]
    assert KIND.ends(order, an_episode("up_sell")) is not None
    assert ended({"up_sell": KIND}, order, found, [(1, an_episode("up_sell"))]) == {}
    assert ended({"up_sell": KIND}, order, (), [(1, an_episode("up_sell"))]) != {}
