"""What a customer takes again and again is due by its own gaps, on its own list, with a measured chance."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.scoring.facts import Assumptions
from services.scoring.fit.model import learnt
from services.scoring.fit.models.reorder import MODEL
from services.scoring.signals.reorder_due import KIND
from tests.model_facts import AS_OF, Bought, facts_of

TODAY = AS_OF.date()
DUE, STOCKED_UP, NOT_YET, STOPPED, TWO_ITEMS, GONE, UNSTEADY, NEARLY, SELDOM = 1, 2, 3, 4, 5, 6, 7, 8, 9


def every(days: int, customer: int, *, last: int, product: int = 1, quantity: float = 10) -> Iterator[Bought]:
    """Purchases that far apart, the last so many days ago."""
    for ago in range(last, 360, days):
        yield Bought(
            customer, TODAY - timedelta(days=ago), net=quantity * 40, product=product, quantity=quantity
        )


def the_others() -> Iterator[Bought]:
    """Sixty customers who take something every four weeks, so that a chance can be measured."""
    for number in range(60):
        yield from every(28, 100 + number, last=number % 28, product=1 + number % 3)


TRADE = [
    *the_others(),
    *every(28, DUE, last=31),
    *every(28, STOCKED_UP, last=61),
    Bought(STOCKED_UP, TODAY - timedelta(days=33), net=800.0, quantity=20),
    *every(28, NOT_YET, last=5),
    *every(20, STOPPED, last=70),
    *every(28, STOPPED, last=1, product=2),
    *every(28, TWO_ITEMS, last=29),
    *every(28, TWO_ITEMS, last=30, product=2, quantity=20),
    *every(28, GONE, last=120),
    *(
        Bought(UNSTEADY, TODAY - timedelta(days=ago), net=400.0)
        for ago in (30, 33, 100, 104, 110, 180, 186, 260, 263, 266, 350)
    ),
    *every(28, NEARLY, last=27),
    *every(60, SELDOM, last=61),
]


@pytest.fixture(scope="module")
def rows() -> dict[int, dict[str, Any]]:
    """What the kind returns of each customer."""
    with facts_of(TRADE) as facts:
        known = learnt(replace(facts, assumptions=Assumptions("EUR")), [MODEL])
        return {row["customer_id"]: row for row in known.engine.rows(KIND.candidates(known, AS_OF))}


@pytest.mark.parametrize(
    ("customer", "products"),
    [
        pytest.param(DUE, [1], id="due by its own gap"),
        pytest.param(STOCKED_UP, None, id="twice the quantity lasts twice as long"),
        pytest.param(NOT_YET, None, id="not yet due"),
        pytest.param(STOPPED, None, id="three gaps late: stopped, and no longer due"),
        pytest.param(TWO_ITEMS, [2, 1], id="one point, the most money first"),
        pytest.param(GONE, None, id="the customer is no longer live"),
        pytest.param(UNSTEADY, None, id="now within days, now after months: nobody can say when"),
        pytest.param(NEARLY, None, id="due tomorrow"),
        pytest.param(SELDOM, None, id="every two months: too seldom to be missed"),
    ],
)
def test_who_is_told_of(rows: dict[int, dict[str, Any]], customer: int, products: list[int] | None) -> None:
    assert (rows[customer]["products"] if customer in rows else None) == products


def test_the_chance_is_what_lists_like_it_showed(rows: dict[int, dict[str, Any]]) -> None:
    """Nearly everybody here buys within two weeks of being due; who left or stopped is among the slow."""
    assert 0.6 < rows[DUE]["p0"] < 1


def test_it_is_worded_by_what_weighs_most(rows: dict[int, dict[str, Any]]) -> None:
    signal = KIND.tell(rows[TWO_ITEMS] | {"as_of": AS_OF, "assumptions": Assumptions("EUR")})
    assert signal.headline == "Due: Item 2 and 1 more"
    assert signal.question == "Shall we send the usual 20 of Item 2?"
    assert signal.evidence[0].text == "On 12 days of a year, usually 20 every 28 days; last 30 days ago."
    assert (signal.horizon, signal.product_id) == (timedelta(days=14), 2)
    assert signal.detail == {"products": [2, 1]}
