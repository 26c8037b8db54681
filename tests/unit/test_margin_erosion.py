"""Margin erosion: fires where a customer's prices slip on the same items, and only there."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from services.scoring.facts import Assumptions
from services.scoring.signals.margin_erosion import candidates, outcome, tell
from tests.sales import AS_OF, CUSTOMER, bought, judged, rows_of, trade

ORDER_DAYS = (400, 350, 300, 250, 200, 150, 120, 80, 50, 20)
OTHERS = range(2, 7)
ITEMS = (10, 11, 12, 13)
MANY = range(10, 30)
Amount = Callable[[int, int], float]
"""An amount by days ago and item."""


def a_year(
    customer: int,
    price: Amount,
    cost: Amount | None = None,
    quantity: Callable[[int], float] = lambda days: 10,
    items: Iterable[int] = ITEMS,
) -> list[dict[str, Any]]:
    """An order of every item on each order day; price and cost may depend on the day and the item."""
    return [
        bought(
            customer,
            item,
            days,
            price=price(days, item),
            cost=cost(days, item) if cost else None,
            quantity=quantity(days),
        )
        for days in ORDER_DAYS
        for item in items
    ]


def always(amount: float) -> Amount:
    """The same on every day, for every item."""
    return lambda days, item: amount


def lately(before: float, now: float) -> Amount:
    """One amount before the last 90 days, another since."""
    return lambda days, item: now if days <= 90 else before


def creeping(days: int, item: int) -> float:
    """A discount that grows a point a month for the last six months."""
    return 10 * (1 - 0.01 * max(0, (210 - days) // 30))


def creeping_on_half(days: int, item: int) -> float:
    """The same on every second item."""
    return creeping(days, item) if item % 2 else 10


def falling_by_item(days: int, item: int) -> float:
    """Each item falls a little more than the one before it."""
    return 10 if days > 90 else 10 - item / 10


def mixed(days: int, item: int) -> float:
    """Two items of high margin and two of low."""
    return 10 if item < 12 else 6.5


def market(price: Amount, cost: Amount | None = None, items: Iterable[int] = ITEMS) -> list[dict[str, Any]]:
    """What other accounts pay."""
    return [row for customer in OTHERS for row in a_year(customer, price, cost, items=items)]


def moved_to_low_margin() -> list[dict[str, Any]]:
    """The same items at the same prices, less of the good ones and more of the poor ones."""
    return [
        bought(
            CUSTOMER,
            item,
            days,
            price=mixed(days, item),
            cost=6,
            quantity=12 if (item < 12) == (days > 90) else 23,
        )
        for days in ORDER_DAYS
        for item in ITEMS
    ]


BY_ITEM = "each item's price fell, cost known"
CREEP = "a point a month, cost unknown"
FIRES = {
    "prices fell by a tenth, cost known": [
        *a_year(CUSTOMER, lately(10, 9), always(6)), *market(always(10), always(6))
    ],
    BY_ITEM: [*a_year(CUSTOMER, falling_by_item, always(6)), *market(always(10), always(6))],
    "cost rose, and only the others' prices followed": [
        *a_year(CUSTOMER, always(10), lately(6, 7)), *market(lately(10, 11), lately(6, 7))
    ],
    CREEP: [*a_year(CUSTOMER, creeping), *market(always(10))],
    "a point a month on half of the items, cost unknown": [
        *a_year(CUSTOMER, creeping_on_half, items=MANY), *market(always(10), items=MANY)
    ],
}  # fmt: skip
QUIET = {
    "the mix moved to goods of low margin": [*moved_to_low_margin(), *market(mixed, always(6))],
    "cost rose for all and nobody's price followed": [
        *a_year(CUSTOMER, always(10), lately(6, 7)), *market(always(10), lately(6, 7))
    ],
    "they buy larger quantities, at the price of those": [
        *a_year(CUSTOMER, lately(10, 9), always(6), quantity=lambda days: 10 if days > 90 else 48),
        *market(always(10), always(6)),
    ],
    "the market's prices fell as well": [*a_year(CUSTOMER, creeping), *market(creeping)],
    "they always paid less, cost unknown": [*a_year(CUSTOMER, always(9)), *market(always(10))],
    "prices fell by a hundredth": [*a_year(CUSTOMER, lately(10, 9.9), always(6)), *market(always(10), always(6))],
    "they are new": [*a_year(CUSTOMER, creeping)[-4:], *market(always(10))],
}  # fmt: skip


@pytest.fixture(scope="module")
def rows():
    """Every case, judged."""
    return judged(candidates, FIRES | QUIET)


@pytest.mark.parametrize("case", FIRES)
def test_it_finds_one_where(rows, case: str) -> None:
    assert rows[case]["found"]
    assert rows[case]["gain"] > 0


@pytest.mark.parametrize("case", QUIET)
def test_it_finds_nothing_where(rows, case: str) -> None:
    assert rows[case] is None or not rows[case]["found"]


def test_it_says_what_the_margin_was_and_why_it_fell(rows) -> None:
    signal = tell(rows[BY_ITEM] | {"as_of": AS_OF, "assumptions": Assumptions()})
    assert signal.headline == "Margin 32%, usually 40%, on the same items"
    assert signal.cause == "price"
    assert [each.label for each in signal.evidence[1:4]] == ["Item 13", "Item 12", "Item 11"]
    assert signal.evidence[1].text == (
        "€10.00 on 26 Jan 2025, now €8.70 on 10 Feb 2026, 30 bought: about €39 lost. It cost us €6.00, now €6.00."
    )
    assert signal.evidence[-1].text == "+€66: price -€138, quantity +€204."
    assert 0 < signal.value < signal.stake


def test_where_no_cost_is_known_it_says_that_it_estimates(rows) -> None:
    signal = tell(rows[CREEP] | {"as_of": AS_OF, "assumptions": Assumptions()})
    assert signal.headline == "Prices 5.3% lower on 4 of 4 items"
    assert "(estimated)" in signal.evidence[0].text
    assert "Others pay €10.00." in signal.evidence[1].text


@pytest.mark.parametrize(
    ("price_after", "happened"),
    [
        pytest.param(9.7, True, id="more than half of the way back: put right"),
        pytest.param(9, False, id="the low price: not put right"),
        pytest.param(None, None, id="nothing bought: nobody knows"),
    ],
)
def test_the_outcome_of(price_after, happened) -> None:
    purchases = [a_year(CUSTOMER, lately(10, 9), always(6)), market(always(10), always(6))]
    rows = candidates(trade(*purchases), AS_OF)
    after = [] if price_after is None else [bought(CUSTOMER, item, -30, price=price_after) for item in ITEMS]
    later = trade(*purchases, after)
    (row,) = rows_of(outcome(later, AS_OF, rows.filter(rows.found)))
    assert (row["customer_id"], row["happened"]) == (CUSTOMER, happened)
