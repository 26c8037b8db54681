"""Discount outlier: fires where one account pays far less than the others that buy like quantities."""

from collections.abc import Iterable
from typing import Any

import pytest

from services.scoring.corrections import without_agreed
from services.scoring.day_signals import found_in
from services.scoring.facts import Assumptions
from services.scoring.signals.discount_outlier import KIND, candidates, outcome, tell
from tests.sales import APART, AS_OF, CUSTOMER, bought, day_of, judged, rows_of, trade

OTHERS, ITEM = range(2, 14), 10


def others(
    price: float = 10, item: int = ITEM, accounts: Iterable[int] = OTHERS, quantity: float = 10
) -> list[dict[str, Any]]:
    """What other accounts pay: nearly all the same."""
    return [
        bought(customer, item, 40, price=price + 0.01 * (customer % 3), quantity=quantity)
        for customer in accounts
    ]


def pays(price: float, days_ago: int = 30, item: int = ITEM, quantity: float = 10) -> list[dict[str, Any]]:
    """What the customer pays."""
    return [bought(CUSTOMER, item, days_ago, price=price, quantity=quantity)]


def together(*purchases: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The purchases of one case."""
    return [each for several in purchases for each in several]


SIX = range(20, 26)
FIRES = {
    "a fifth less than twelve others": [*pays(8), *others()],
    "six points less, where nobody else gets any discount": [*pays(9.4), *others()],
    "a fifth less on one item, the usual price on six": [
        *pays(8), *others(), *together(*([*pays(10, item=item), *others(item=item)] for item in SIX))
    ],
}  # fmt: skip
QUIET = {
    "two points less": [*pays(9.8), *others()],
    "a fifth less than seven others: too few": [*pays(8), *others(accounts=range(2, 9))],
    "a price that two others have too": [*pays(8), *others(), *(bought(n, ITEM, 30, price=8) for n in (20, 21))],
    "a larger quantity than the others buy": [*pays(8, quantity=48), *others()],
    "a price of four months ago": [*pays(8, days_ago=120), *others()],
    "a fifth less on everything, as three others of their size: the terms of some": together(
        *(pays(8, item=item) + others(item=item) + others(8, item, range(20, 23)) for item in SIX)
    ),
    "a fifth less on four items: too few to speak of terms, and few buy them": together(
        *([*pays(8, item=item), *others(item=item, accounts=range(2, 9))] for item in range(20, 24))
    ),
    "less than half: another pack, not a discount": [*pays(3), *others()],
    "a price within what others pay, which differs widely": [
        *pays(8), *(bought(n, ITEM, 30, price=7 + n / 3) for n in OTHERS)
    ],
}  # fmt: skip
EVERYTHING = "a fifth less on everything, with nobody else"
FEW_BUY_EACH = "the same, where few others buy each item"
TERMS = {
    EVERYTHING: together(*([*pays(8, item=item), *others(item=item)] for item in SIX)),
    FEW_BUY_EACH: together(
        *(pays(8, item=item) + others(item=item, accounts=range(2 + item % 2, 14, 2)) for item in range(20, 32))
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def rows():
    """Every case, judged."""
    return judged(candidates, FIRES | QUIET)


@pytest.fixture(scope="module")
def of_terms():
    """Every case of terms, judged among its own accounts: terms are held against everybody's."""
    return {case: judged(candidates, {case: purchases})[case] for case, purchases in TERMS.items()}


@pytest.mark.parametrize("case", FIRES)
def test_it_finds(rows, case: str) -> None:
    assert rows[case]["found"]
    assert [item["product_id"] % APART for item in rows[case]["items"]] == [ITEM]


@pytest.mark.parametrize("case", TERMS)
def test_it_finds_terms_that_nobody_else_has(of_terms, case: str) -> None:
    assert of_terms[case]["found"]
    assert of_terms[case]["terms"] == pytest.approx(0.2, abs=0.01)
    assert {item["product_id"] for item in of_terms[case]["items"]} >= set(SIX)


def test_it_words_such_terms_beside_those_of_others(of_terms) -> None:
    signal = tell(of_terms[EVERYTHING] | {"as_of": AS_OF, "assumptions": Assumptions()})
    assert signal.headline == "Pays 20% less than accounts of their size"
    assert signal.question == "Who agreed 20% off everything, and for what?"
    assert signal.evidence[0].text == (
        "They pay 20% less than others, the median of 6 items. Of 13 accounts that buy for about as much, three in four"
        " get 0% or less."
    )


@pytest.mark.parametrize("case", QUIET)
def test_it_finds_nothing_in(rows, case: str) -> None:
    assert rows[case] is None or not rows[case]["found"]


def test_what_is_found_is_told_where_it_is_worth_a_correction(rows) -> None:
    small, large = (
        rows["a fifth less than twelve others"],
        judged(candidates, {"": [*pays(800), *others(1000)]})[""],
    )
    assert small["found"]
    assert large["found"]
    assert found_in(KIND, small, AS_OF, Assumptions()) is None
    assert found_in(KIND, large, AS_OF, Assumptions()) is not None


def test_it_names_the_customers_price_and_that_of_the_others(rows) -> None:
    signal = tell(rows["a fifth less than twelve others"] | {"as_of": AS_OF, "assumptions": Assumptions()})
    assert signal.headline == "Pays 20% less than others for one item"
    assert signal.question == "Is €8.00 for Item 10 agreed, or left from an offer?"
    assert signal.evidence[0].text == (
        "€8.00, last on 31 Jan 2026; 13 accounts buying like quantities usually pay €10.01 (20% less; about 4.9 in 90"
        " days)."
    )
    assert 0 < signal.value < signal.stake


def test_an_item_sold_in_two_quantities_is_named_and_counted_once(rows) -> None:
    row = rows["a fifth less than twelve others"] | {"as_of": AS_OF, "assumptions": Assumptions()}
    (item,) = row["items"]
    larger, other = item | {"min_quantity": 100}, item | {"product_id": item["product_id"] + 1}
    signal = tell(row | {"items": [item, larger, other]})
    assert signal.headline == "2 items up to 20% below others"
    assert [each.label for each in signal.evidence] == ["Item 10", "Item 10", "Against the usual price"]


def test_an_agreed_price_is_no_outlier() -> None:
    facts = trade(pays(8), others())
    rows = candidates(facts, AS_OF)
    items = rows.filter(rows.found).select("customer_id", product_id=rows.customer_id * 0 + ITEM)
    agreed = (
        trade(pays(8)).accounts.select("customer_id", "product_id", valid_from="day").mutate(valid_to=None)
    )
    assert rows_of(without_agreed(items, agreed, AS_OF.date())) == []
    assert rows_of(without_agreed(items, agreed, day_of(60))) == [
        {"customer_id": CUSTOMER, "product_id": ITEM}
    ]


@pytest.mark.parametrize(
    ("price", "happened"),
    [pytest.param(10, True, id="put right"), pytest.param(8, False, id="not put right")],
)
def test_its_outcome_is_the_next_price(price, happened) -> None:
    rows = candidates(trade(pays(8), others()), AS_OF)
    later = trade(pays(8), others(), pays(price, days_ago=-20))
    (row,) = rows_of(outcome(later, AS_OF, rows.filter(rows.found)))
    assert (row["customer_id"], row["happened"]) == (CUSTOMER, happened)
