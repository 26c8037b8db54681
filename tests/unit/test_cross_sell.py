"""Cross-sell: what is offered, what is left alone, and how it is priced."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from services.scoring.detect import detect as detect_all
from services.scoring.facts import Neighbour, OrderFacts
from services.scoring.signals.cross_sell import KIND, detect
from shared.domain.signal import Signal, worded
from tests.order_facts import (
    BIT,
    DRILL,
    PLUG,
    SAW,
    a_fit,
    a_line,
    a_product,
    a_purchase,
    an_episode,
    an_item,
    facts,
)

DRILL_WITH_BITS = a_product(DRILL, neighbours={BIT: Neighbour(0.5, 120, 45)})
BITS = a_product(BIT, fitted=an_item(margin_rate=Decimal("0.60")))


def offered(given: OrderFacts) -> list[Signal]:
    return KIND.signals(given)


def test_offers_what_accounts_with_this_order_buy_too() -> None:
    (signal,) = offered(facts(a_line(DRILL_WITH_BITS), products=[BITS]))
    assert signal.subject == f"product:{BIT}"
    assert signal.headline == "Buys Cordless drill, never Drill bit"
    assert [each.text for each in signal.evidence] == [
        "Of 120 accounts that buy Cordless drill, 45 also buy Drill bit.",
        "Bought Cordless drill in this order; never Drill bit in 24 months.",
        "12 at £4.10 each.",
    ]
    assert signal.question.endswith("?")


def test_offers_what_history_suggests_and_names_the_link() -> None:
    bit = replace(BITS, neighbours={SAW: Neighbour(0.4, 60, 30)})
    (signal,) = offered(
        facts(a_line(), candidates=((BIT, 0.3),), bought={SAW}, products=[bit, a_product(SAW)])
    )
    assert signal.evidence[0].text == "Of 60 accounts that buy Saw, 30 also buy Drill bit."


def test_at_stake_is_the_first_order_and_what_is_bought_again_in_the_rest_of_60_days() -> None:
    bit = a_product(
        BIT, fitted=an_item(first_quantity=Decimal(10), unit_price=Decimal(5), repeats=Decimal("0.6"))
    )
    (signal,) = offered(facts(a_line(DRILL_WITH_BITS), products=[bit]))
    assert signal.stake == Decimal("24.00")  # 10 x 5 x 40 % x (1 + 0.6 x 30 of 90 days)
    assert signal.value == Decimal("0.58")  # of 50 in 1,000 unaided, 74 when told
    assert signal.horizon == timedelta(days=60)
    assert (signal.probability, signal.basis) == (0.05, "estimated")
    assert not signal.assumed_margin


def test_a_score_below_all_that_were_measured_is_no_likelier_than_the_lowest() -> None:
    fit = a_fit(calibration=((3.0, 0.01, 900), (9.0, 0.2, 50)))
    bit = a_product(BIT, fitted=an_item(first_quantity=Decimal(60)))
    (signal,) = offered(facts(a_line(DRILL_WITH_BITS), products=[bit], fit=fit))
    assert (signal.probability, signal.basis) == (0.01, "estimated")


def test_colours_and_sizes_of_one_thing_are_one_offer() -> None:
    names = ["Lunch bag red", "Lunch bag dark blue", "Line 2.4 mm", "Lunch bag, red", "Line 30 mm"]
    others = [a_product(10 + number, name=name) for number, name in enumerate(names)]
    candidates = tuple((each.id, 99.0 - each.id) for each in others)
    fit = a_fit(calibration=((0.0, 0.08, 400),))
    found = offered(facts(a_line(), candidates=candidates, products=others, fit=fit))
    assert [each.product_id for each in found] == [10, 12]


def test_odds_come_from_the_fit_where_it_measured_such_scores() -> None:
    fit = a_fit(calibration=((0.0, 0.02, 900), (1.0, 0.08, 400), (9.0, 0.2, 50)))
    (signal,) = offered(facts(a_line(DRILL_WITH_BITS), products=[a_product(BIT)], fit=fit))
    assert (signal.probability, signal.basis) == (0.08, "measured")  # 4 x 0.5 reaches the second bin


LIKELY = a_fit(calibration=((0.0, 0.08, 400),))


def test_offers_three_at_most_best_score_first() -> None:
    others = [a_product(number) for number in range(10, 16)]
    candidates = tuple((each.id, float(each.id)) for each in others)
    found = offered(facts(a_line(), candidates=candidates, products=others, fit=LIKELY))
    assert [each.product_id for each in found] == [15, 14, 13]


def test_an_offer_not_worth_mentioning_is_only_counted_and_takes_nobodys_place() -> None:
    cheap = an_item(unit_price=Decimal("0.10"))
    small, *others = (a_product(number) for number in (99, 10, 11, 12, 13))
    candidates = ((99, 9.0), (10, 4.0), (11, 3.0), (12, 2.0), (13, 1.0))
    given = facts(
        a_line(), candidates=candidates, products=[replace(small, fitted=cheap), *others], fit=LIKELY
    )
    assert [each and each.subject for each in detect(given)] == [
        None,
        "product:10",
        "product:11",
        "product:12",
    ]
    found = detect_all({"cross_sell": KIND}, given)
    assert [each.subject for each in found.alone] == ["product:10", "product:11", "product:12"]
    assert found.dropped == ("cross_sell",) * 4


def test_what_is_told_later_is_what_was_found() -> None:
    (offer,) = detect(facts(a_line(DRILL_WITH_BITS), products=[BITS]))
    assert offer is not None
    signal = worded(offer)
    assert (offer.kind, offer.subject, offer.value) == (signal.kind, signal.subject, signal.value)


def test_an_item_bought_lately_adds_less_than_one_never_bought() -> None:
    product = a_product(DRILL, neighbours={BIT: Neighbour(1.0, 120, 45)})
    new, known = (
        offered(facts(a_line(product, history=history), products=[BITS]))[0]
        for history in ((), (a_purchase(1),))
    )
    assert new.detail["score"] == 4.0
    assert known.detail["score"] == pytest.approx(3.0, abs=0.01)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"bought": {BIT}}, id="what was bought in 24 months"),
        pytest.param({"fit": None}, id="anything without a fit"),
        pytest.param({"products": [a_product(BIT, is_active=False)]}, id="a discontinued product"),
        pytest.param({"products": [a_product(BIT, stock=Decimal(0))]}, id="a product out of stock"),
        pytest.param(
            {"products": [a_product(BIT, substitutes=frozenset({DRILL}))]}, id="a substitute of the order's"
        ),
        pytest.param(
            {"products": [a_product(BIT, substitutes=frozenset({PLUG}))], "bought": {PLUG}},
            id="a substitute of what they buy already",
        ),
        pytest.param({"products": [a_product(BIT, fitted=an_item(buyers=4))]}, id="what hardly anybody buys"),
        pytest.param(
            {"products": [a_product(BIT, fitted=an_item(unit_price=None))]}, id="what has no known price"
        ),
        pytest.param({"products": []}, id="a product it knows nothing of"),
    ],
)
def test_never_offers(given: dict[str, Any]) -> None:
    assert list(detect(facts(a_line(DRILL_WITH_BITS), **({"products": [a_product(BIT)]} | given)))) == []


def test_never_offers_what_is_in_the_order() -> None:
    lines = (a_line(DRILL_WITH_BITS), a_line(a_product(BIT), number=2))
    assert list(detect(facts(*lines))) == []


def test_ends_when_the_customer_buys_it_and_not_before() -> None:
    episode = an_episode("cross_sell", BIT)
    assert KIND.ends(facts(a_line(a_product(BIT))), episode) == "the customer bought it"
    assert KIND.ends(facts(a_line(a_product(DRILL))), episode) is None


def test_shows_for_a_month() -> None:
    (signal,) = offered(facts(a_line(DRILL_WITH_BITS), products=[BITS]))
    assert signal.expires_at - signal.as_of == timedelta(days=30)
    assert replace(signal, expires_at=signal.as_of) != signal
