"""Price error: a line far off what this customer usually pays - and everything that is no mistake."""

from decimal import Decimal

import pytest

from services.scoring.facts import LineFacts
from services.scoring.signals.price_error import KIND, detect
from shared.domain.signal import Severity, Signal
from tests.order_facts import a_band, a_break, a_line, a_product, a_purchase, an_episode, an_item, facts

OWN = tuple(a_purchase(days, 10, 8) for days in (30, 60, 90))
"""Ten at 8, three times."""


def found(*lines: LineFacts) -> list[Signal]:
    """What is worth a message; the others are only counted."""
    return [each for each in detect(facts(*lines)) if each is not None]


def test_a_line_far_below_what_the_customer_usually_pays() -> None:
    (signal,) = found(a_line(price=6, history=OWN))
    assert signal.severity is Severity.NORMAL
    assert signal.stake == Decimal("20.00")  # ten now, two short on each, and nothing beyond this order
    assert signal.headline == "Cordless drill £6.00, usually £8.00"
    assert [each.text for each in signal.evidence] == [
        "£6.00 a unit; £8.00 would be usual.",
        "£20.00: £2.00 on each of 10. Can be put right until it is invoiced; shown until 5 March 2026.",
        "£8.00 for 10 on 31 January 2026, £8.00 for 10 on 1 January 2026, £8.00 for 10 on 2 December 2025.",
    ]


def test_of_a_first_purchase_the_usual_margin_says_what_it_should_have_cost() -> None:
    (signal,) = found(a_line(price=5, cost=4))
    assert signal.stake == Decimal("16.67")  # 4 ÷ (1 - 40 %) is 6.67
    assert signal.evidence[2].text == "40% is the median of this product over the last year."


def test_an_agreed_price_is_what_a_line_is_held_against() -> None:
    (signal,) = found(a_line(price=6, agreed_price=Decimal(7), history=OWN))
    assert signal.stake == Decimal("10.00")
    assert signal.evidence[2].text == "£7.00 a unit."


A_LARGE_LINE = a_line(a_product(), quantity=1000, price=8, history=())
"""Eight thousand, at the usual price: twenty lost is a quarter of a hundredth."""


def test_a_loss_that_is_lost_in_a_large_order_is_no_message() -> None:
    assert list(detect(facts(a_line(price=6, history=OWN), A_LARGE_LINE))) == [None]  # counted


def test_a_loss_of_ten_corrections_is_told_however_large_the_order() -> None:
    (signal,) = found(a_line(price=5, history=OWN), A_LARGE_LINE)
    assert signal.stake == Decimal("30.00")


def test_small_losses_of_one_order_matter_together() -> None:
    assert len(found(*[a_line(price=6, history=OWN)] * 2, A_LARGE_LINE)) == 2


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(a_line(price=7.5, history=OWN), id="a price just below the usual"),
        pytest.param(a_line(price=6, history=OWN, agreed_price=Decimal(6)), id="an agreed price"),
        pytest.param(a_line(price=6, history=OWN[:2]), id="a customer with two purchases, cost unknown"),
        pytest.param(a_line(quantity=40, price=6, history=OWN), id="a quantity they never took"),
        pytest.param(
            a_line(price=6, history=tuple(a_purchase(days, 10, 8, "EUR") for days in (30, 60, 90))),
            id="prices in another currency",
        ),
        pytest.param(
            a_line(a_product(breaks=(a_break(10, 6),)), price=6, history=OWN), id="a quantity break"
        ),
        pytest.param(
            a_line(a_product(bands=(a_band(6),)), price=6, history=OWN), id="a price most others got"
        ),
        pytest.param(
            a_line(a_product(bands=(a_band(8, latest_price=Decimal(6)),)), price=6, history=OWN),
            id="a list cut of late",
        ),
        pytest.param(
            a_line(a_product(list_price=Decimal("6.5"), list_currency="GBP"), price=6, history=OWN),
            id="a list price that fell for everybody",
        ),
        pytest.param(a_line(price=5, cost=3.2), id="a margin gap below ten points"),
        pytest.param(
            a_line(a_product(fitted=an_item(margin_rate=None)), price=5, cost=4),
            id="a product never sold before",
        ),
        pytest.param(
            a_line(price=5, cost=6, history=OWN), id="a line below its floor: it has a kind of its own"
        ),
        pytest.param(a_line(a_product(is_active=False), price=6, history=OWN), id="a discontinued product"),
        pytest.param(a_line(price=0, history=OWN), id="a gift"),
        pytest.param(a_line(price=6, history=OWN, base_net=None), id="a line whose rate is unknown"),
    ],
)
def test_is_no_mistake(line) -> None:
    assert list(detect(facts(line))) == []


def test_too_few_others_make_no_list_change() -> None:
    product = a_product(bands=(a_band(6, buyers=8),))
    assert len(found(a_line(product, price=6, history=OWN))) == 1


def test_ends_when_sold_as_usual_again() -> None:
    episode = an_episode("price_error")
    assert KIND.ends(facts(a_line(price=8, history=OWN)), episode) == "sold at the usual price again"
    assert KIND.ends(facts(a_line(price=6, history=OWN)), episode) is None
    assert KIND.ends(facts(a_line(a_product(2), price=8)), episode) is None
