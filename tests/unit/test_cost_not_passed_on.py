"""Cost not passed on: fires where a customer pays as before, a month and more after the cost rose."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from services.scoring.facts import Assumptions
from services.scoring.signals.cost_not_passed_on import candidates, tell
from tests.sales import AS_OF, CUSTOMER, bought, judged

ITEM, RISEN = 10, 120
ORDERS = (300, 240, 180, 110, 70, 20)


def item(
    price: Callable[[int], float], cost: Callable[[int], float | None], orders: Iterable[int] = ORDERS
) -> list[dict[str, Any]]:
    """An item on each order day; its cost and price depend on the days since the rise, negative before it."""
    return [
        bought(CUSTOMER, ITEM, days, price=price(RISEN - days), cost=cost(RISEN - days)) for days in orders
    ]


def rising(before: float, after: float, *, late: int = 0) -> Callable[[int], float]:
    """An amount that steps up, so many days after the rise of the cost."""
    return lambda days: after if days >= late else before


THE_RISE = [bought(2, ITEM, days, price=14, cost=6 if days > RISEN else 7) for days in (121, 119)]


def others(price: Callable[[int], float]) -> list[dict[str, Any]]:
    """Six other accounts that buy the item before and after the rise, all at this price."""
    return [
        bought(account, ITEM, days, price=price(RISEN - days), cost=6 if days > RISEN else 7)
        for account in range(3, 9)
        for days in (200, 150, 60, 30)
    ]


FIRES = {
    "the price stood still": [*item(rising(10, 10), rising(6, 7)), *THE_RISE],
    "two fifths were passed on": [*item(rising(10, 10.4), rising(6, 7)), *THE_RISE],
    "the others pay the rise": [*item(rising(10, 10), rising(6, 7)), *others(rising(12, 13))],
    "the price fell even": [*item(rising(10, 9.5), rising(6, 7)), *THE_RISE],
}
QUIET = {
    "all was passed on after 20 days": [*item(rising(10, 11, late=20), rising(6, 7)), *THE_RISE],
    "nobody pays more: the list did not follow": [*item(rising(10, 10), rising(6, 7)), *others(rising(12, 12))],
    "three fifths were passed on": [*item(rising(10, 10.6), rising(6, 7)), *THE_RISE],
    "they have not bought since a month after the rise": [
        *item(rising(10, 10), rising(6, 7), orders=(300, 240, 180, 110)), *THE_RISE
    ],
    "the cost rose by less than a fiftieth": item(rising(10, 10), rising(6, 6.05)),
    "the price fell by a half: a clearance": [*item(rising(10, 5), rising(6, 7)), *THE_RISE],
    "the cost fell": item(rising(10, 10), rising(7, 6)),
    "the cost is unknown": item(rising(10, 10), lambda days: None),
    "they are new since the rise": [*item(rising(10, 10), rising(6, 7), orders=(110, 70, 20)), *THE_RISE],
}  # fmt: skip


@pytest.fixture(scope="module")
def rows():
    """Every case, judged."""
    return judged(candidates, FIRES | QUIET)


@pytest.mark.parametrize("case", FIRES)
def test_it_finds_one_where(rows, case: str) -> None:
    assert rows[case]["found"]


@pytest.mark.parametrize("case", QUIET)
def test_it_finds_nothing_where(rows, case: str) -> None:
    assert rows[case] is None or not rows[case]["found"]


QUARTERLY = 60 * 90 / 365
"""What they bought in the year, in 90 days: 10 on six days."""


@pytest.mark.parametrize(
    ("case", "rise"),
    [
        pytest.param("the price stood still", 1, id="the whole rise"),
        pytest.param("the price fell even", 1, id="the rise alone, not the fall of the price"),
        pytest.param("two fifths were passed on", 0.6, id="what of the rise is missing"),
    ],
)
def test_what_is_missing_in_90_days_is(rows, case: str, rise: float) -> None:
    assert rows[case]["loss"] == pytest.approx(QUARTERLY * rise)


def test_it_gives_price_and_cost_with_their_dates(rows) -> None:
    signal = tell(rows["the price stood still"] | {"as_of": AS_OF, "assumptions": Assumptions()})
    assert signal.headline == "Cost rose on one item, their price did not"
    assert signal.evidence[0].text == (
        "Cost €7.00 since 3 Nov 2025, before €6.00. They paid €10.00 on 10 Feb 2026, €10.00 on 3 Sep 2025; about 15 in"
        " 90 days."
    )
    assert signal.evidence[1].text.startswith(
        "With the rise passed on, one item would bring about €15 more in 90 days"
    )


def test_an_item_bought_at_two_quantities_is_named_once_with_both(rows) -> None:
    row = rows["the price stood still"]
    (item,) = row["items"]
    larger = item | {"min_quantity": 24.0, "new_price": 9.0}
    signal = tell(row | {"items": [larger, item], "as_of": AS_OF, "assumptions": Assumptions()})
    assert signal.headline == "Cost rose on one item, their price did not"
    assert [each.label for each in signal.evidence] == ["Item 10", "What is missing"]
    first, second = signal.evidence[0].text.split(" 24 to 47 at a time: ")
    assert first.startswith("6 to 11 at a time: Cost €7.00")
    assert "They paid €9.00" in second
