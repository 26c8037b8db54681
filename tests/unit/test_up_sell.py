"""Up-sell: breaks within reach, unusually small quantities, and the next order size."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from services.scoring.facts import FitFacts, PastOrder
from services.scoring.signals.up_sell import KIND, detect
from services.scoring.value import THIS_ORDER
from tests.order_facts import (
    NOW,
    a_break,
    a_line,
    a_product,
    a_purchase,
    an_episode,
    an_item,
    facts,
)

LIST = (a_break(1, 5), a_break(12, 4.8))
"""Ten at 5 are 50; twelve at 4.80 are 57.60: 7.60 for two more."""

USUAL = tuple(a_purchase(days, 40) for days in (30, 60, 90, 120))


def kinds(given) -> list[str]:
    return [each.cause for each in detect(given)]


def test_offers_the_next_break_where_its_margin_is_known() -> None:
    (signal,) = detect(facts(a_line(a_product(breaks=LIST), cost=1)))
    assert signal.cause == "break:12"
    assert signal.stake == Decimal("5.60")  # 7.60 more revenue, 2 more cost
    assert signal.value == Decimal("1.12")
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


def test_calls_a_break_seen_in_history_by_its_name() -> None:
    usual = tuple(replace(each, is_inferred=True) for each in LIST)
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


def test_tells_when_far_less_than_usual_was_taken() -> None:
    (signal,) = detect(facts(a_line(quantity=10, history=USUAL)))
    assert signal.cause == "usual"
    assert signal.stake == Decimal("60.00")  # 30 missing at 5, 40 % margin
    assert signal.evidence[0].text == (
        "10 today; 40 is the median of the last 4 order days. Other accounts usually take 12."
    )


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(a_line(quantity=10), id="a product never bought before"),
        pytest.param(a_line(quantity=10, history=USUAL[:2]), id="a customer with two order days"),
        pytest.param(a_line(quantity=21, history=USUAL), id="a little less than usual"),
        pytest.param(
            a_line(quantity=10, history=(a_purchase(0.1, 30), *USUAL)),
            id="the rest of an order of the same day",
        ),
        pytest.param(
            a_line(quantity=10, history=tuple(a_purchase(days, 40) for days in (3, 33, 63, 93))),
            id="a quick top-up",
        ),
        pytest.param(
            a_line(a_product(fitted=an_item(line_quantity=Decimal(6))), quantity=10, history=USUAL),
            id="a quantity that is usual among peers",
        ),
    ],
)
def test_finds_nothing_missing_in(line) -> None:
    assert kinds(facts(line)) == []


def a_size(total: float, days: int = 6, each: float = 100, peers: tuple[float, float] = (150, 200), **given):
    """An order of that total by a customer with so many order days of so much each."""
    past = tuple(PastOrder(NOW - timedelta(days=30 * (number + 1)), Decimal(each)) for number in range(days))
    sizes = {"*": (Decimal(peers[0]), Decimal(peers[1]))}
    fit = FitFacts({}, order_sizes=sizes)
    return facts(a_line(quantity=1, price=total), past_orders=past, fit=fit, **given)


def test_suggests_the_next_order_size_when_it_is_near() -> None:
    (signal,) = detect(a_size(108))
    assert signal.subject == "order_size"
    assert signal.headline == "Orders £100, accounts like it £150 and more"
    assert (
        signal.detail["target"] == "125.00"
    )  # 1.25 x the largest own day, less than 35 % up and the peers' P75
    assert signal.assumed_margin


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(a_size(108, days=4), id="a customer with few order days"),
        pytest.param(a_size(130), id="an order that reached it"),
        pytest.param(a_size(118), id="an order well above the customer's usual"),
        pytest.param(a_size(40), id="an order far from it"),
        pytest.param(a_size(108, peers=(90, 120)), id="a customer who orders as much as peers"),
        pytest.param(a_size(108, peers=(120, 200)), id="a customer who orders nearly as much as peers"),
        pytest.param(facts(a_line(), past_orders=()), id="anybody without a fit of sizes"),
    ],
)
def test_suggests_no_order_size_to(given) -> None:
    assert kinds(given) == []


@pytest.mark.parametrize(
    ("given", "product_id", "reason"),
    [
        pytest.param(
            facts(a_line(quantity=40, history=USUAL)),
            1,
            "the customer took the usual quantity",
            id="the usual quantity",
        ),
        pytest.param(facts(a_line(quantity=10, history=USUAL)), 1, None, id="not by less"),
        pytest.param(
            a_size(160), None, "an order reached the size of their peers", id="an order of the peers' size"
        ),
        pytest.param(a_size(108), None, None, id="not by a smaller order"),
    ],
)
def test_ends_with(given, product_id, reason) -> None:
    assert KIND.ends(given, an_episode("up_sell", product_id)) == reason
