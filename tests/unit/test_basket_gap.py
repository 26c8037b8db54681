"""Basket gap: usual items that are due and missing, in one point - and what only looks forgotten."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from services.scoring.facts import Cost, OrderFacts, PastOrder, Purchase
from services.scoring.signals.basket_gap import KIND, detect
from tests.order_facts import BIT, DRILL, NOW, PLUG, a_line, a_product, a_purchase, an_episode, facts

WEEKS = (7, 14, 21, 28, 35)
WEEKLY = tuple(a_purchase(days, 10, 5) for days in WEEKS)


def an_order(bits: tuple[Purchase, ...] = WEEKLY, bit: Any = None, **given: Any) -> OrderFacts:
    """A drill, ordered by a customer who took ten bits each of the last five weeks."""
    past = tuple(PastOrder(NOW - timedelta(days=days), Decimal(500)) for days in WEEKS)
    values: dict[str, Any] = {
        "regulars": {BIT: bits},
        "past_orders": past,
        "products": [bit or a_product(BIT)],
    }
    return facts(given.pop("line", a_line()), **(values | given))


def test_a_usual_item_that_is_due_and_missing() -> None:
    (signal,) = detect(an_order())
    assert signal.subject == f"product:{BIT}"
    assert signal.headline == "No Drill bit, usually on 5 of 5 orders"
    assert signal.stake == Decimal("20.00")  # ten at 5, 40 % margin
    assert signal.value == Decimal("3.18")  # of 13 in 100 unaided, 29 when asked
    assert signal.question == "Shall we add the usual 10 of Drill bit?"
    assert [each.text for each in signal.evidence] == [
        "On 5 of 5 orders, usually 10; last 7 days ago.",
        "The usual quantity, £50.00 at what they last paid.",
    ]


def test_several_are_one_point_summed_and_named_by_the_dearest() -> None:
    plugs = tuple(a_purchase(days, 10, 8) for days in WEEKS)
    given = an_order(regulars={BIT: WEEKLY, PLUG: plugs}, products=[a_product(BIT), a_product(PLUG)])
    (signal,) = detect(given)
    assert signal.subject == f"product:{PLUG}"
    assert signal.stake == Decimal("52.00")
    assert signal.headline == "No Wall plug and 1 more, usually on 5 of 5 orders"
    assert signal.evidence[-1].text == ("The usual quantities of 2 items, £130.00 at what they last paid.")


def test_a_known_cost_says_what_it_earns() -> None:
    bit = a_product(BIT, costs=(Cost(NOW.date() - timedelta(days=99), Decimal(4), "GBP"),))
    (signal,) = detect(an_order(bit=bit))
    assert signal.stake == Decimal("10.00")
    assert not signal.assumed_margin


def test_no_more_is_at_stake_than_the_customer_ever_orders() -> None:
    past = tuple(PastOrder(NOW - timedelta(days=days), Decimal(25)) for days in WEEKS)
    (signal,) = detect(an_order(past_orders=past))
    assert signal.stake == Decimal("10.00")


def on_days(*days: float) -> tuple[PastOrder, ...]:
    return tuple(PastOrder(NOW - timedelta(days=each), Decimal(500)) for each in days)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(an_order(WEEKLY[:3]), id="what was bought three times"),
        pytest.param(
            an_order((a_purchase(3), *WEEKLY), past_orders=on_days(3, *WEEKS)),
            id="what came some days before",
        ),
        pytest.param(
            an_order((a_purchase(0.1), *WEEKLY), past_orders=on_days(0.1, *WEEKS)),
            id="what came this morning",
        ),
        pytest.param(an_order((a_purchase(7, 30), *WEEKLY[1:])), id="what was stocked up last time"),
        pytest.param(
            an_order(past_orders=on_days(*WEEKS, 8, 9, 10, 11)), id="what stands on half of their orders"
        ),
        pytest.param(an_order(bit=a_product(BIT, is_active=False)), id="a discontinued product"),
        pytest.param(an_order(bit=a_product(BIT, stock=Decimal(0))), id="a product out of stock"),
        pytest.param(
            an_order(bit=a_product(BIT, substitutes=frozenset({DRILL}))),
            id="what something ordered stands for",
        ),
        pytest.param(
            an_order(bit=a_product(BIT, costs=(Cost(NOW.date(), Decimal(6), "GBP"),))),
            id="what earns nothing",
        ),
        pytest.param(
            an_order(tuple(a_purchase(days, 10, 5, "EUR") for days in WEEKS)),
            id="what they pay in another currency",
        ),
        pytest.param(an_order(rate=None), id="an order whose rate is unknown"),
        pytest.param(facts(a_line()), id="a customer without regular items"),
    ],
)
def test_misses_nothing_of(given: OrderFacts) -> None:
    assert list(detect(given)) == []


def test_ends_when_they_take_it_again() -> None:
    episode = an_episode("basket_gap", BIT)
    assert KIND.ends(facts(a_line(a_product(BIT))), episode) == "the customer took it"
    assert KIND.ends(facts(a_line()), episode) is None
