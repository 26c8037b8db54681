"""What "usual", "last price" and "valid that day" mean."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from services.scoring.facts import (
    MEMORY,
    Cost,
    PastOrder,
    Purchase,
    bought_today,
    breaks_on,
    cost_on,
    day_of,
    fold,
    is_same_band,
    last_price,
    order_days,
    usual_quantity,
)
from tests.order_facts import NOW, a_break, a_product, a_purchase

TODAY = NOW.date()


@pytest.mark.parametrize(
    ("history", "usual"),
    [
        pytest.param([], None, id="nothing for a product never bought"),
        pytest.param([a_purchase(10), a_purchase(20)], None, id="nothing after two order days"),
        pytest.param(
            [a_purchase(10, 6), a_purchase(20, 10), a_purchase(30, 50)], 10, id="the median, not the mean"
        ),
        pytest.param(
            [a_purchase(10, 6), a_purchase(10, 6), a_purchase(20, 10), a_purchase(30, 14)],
            12,
            id="of days: an order split in two is one",
        ),
        pytest.param(
            [a_purchase(0, 1), a_purchase(10, 6), a_purchase(20, 8), a_purchase(30, 10)],
            8,
            id="of days before today",
        ),
    ],
)
def test_the_usual_quantity_is(history: list[Purchase], usual: int | None) -> None:
    assert usual_quantity(tuple(history), TODAY) == usual


def test_what_earlier_orders_of_the_day_took_is_summed() -> None:
    history = (a_purchase(0.1, 3), a_purchase(0.2, 4), a_purchase(1, 50))
    assert bought_today(history, TODAY) == 7


def test_only_the_last_eight_purchases_are_remembered_newest_first() -> None:
    held: tuple[Purchase, ...] = ()
    for days in (9, 3, 1, 4, 8, 2, 7, 5, 6):
        held = fold(held, a_purchase(days))
    assert [each.at for each in held] == [NOW - timedelta(days=days) for days in range(1, MEMORY + 1)]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param(10, 15, True, id="half as much again is comparable"),
        pytest.param(10, 16, False, id="more than that is not"),
        pytest.param(15, 10, True, id="either way round"),
    ],
)
def test_quantities_compare(one: int, other: int, same: bool) -> None:
    assert is_same_band(Decimal(one), Decimal(other)) is same


def test_the_last_price_is_the_newest_at_that_quantity_and_currency() -> None:
    history = (a_purchase(1, 100, 3), a_purchase(2, 10, 4, "EUR"), a_purchase(3, 12, 5), a_purchase(4, 10, 6))
    found = last_price(history, Decimal(10), "GBP")
    assert found is not None
    assert found.unit_price == 5


def test_there_is_no_last_price_at_a_quantity_never_bought() -> None:
    assert last_price((a_purchase(1, 100),), Decimal(1), "GBP") is None


def test_orders_of_a_day_are_one_order_day() -> None:
    past = [PastOrder(NOW, Decimal(5)), PastOrder(NOW - timedelta(hours=1), Decimal(7))]
    assert order_days(past) == {TODAY: Decimal(12)}


def test_days_are_those_of_utc() -> None:
    late_evening = datetime(2026, 3, 1, 22, tzinfo=timezone(timedelta(hours=-5)))
    assert day_of(late_evening) == date(2026, 3, 2)
    assert day_of(datetime(2026, 3, 2, 0, tzinfo=UTC)) == date(2026, 3, 2)


@pytest.mark.parametrize(
    ("day", "cost"),
    [
        pytest.param(date(2025, 12, 31), None, id="before the first cost: unknown, not the later one"),
        pytest.param(date(2026, 1, 1), 2, id="from its first day"),
        pytest.param(date(2026, 2, 1), 3, id="until the next"),
        pytest.param(date(2026, 12, 1), 3, id="long after"),
    ],
)
def test_the_cost_valid(day: date, cost: int | None) -> None:
    costs = (Cost(date(2026, 1, 1), Decimal(2), "GBP"), Cost(date(2026, 2, 1), Decimal(3), "GBP"))
    found = cost_on(a_product(costs=costs), day)
    assert (found.cost if found else None) == cost


def test_the_price_list_of_a_day_holds_the_newest_price_of_each_quantity() -> None:
    product = a_product(
        breaks=(
            a_break(10, 4, valid_from=date(2026, 1, 1)),
            a_break(10, 3, valid_from=date(2026, 2, 1)),
            a_break(10, 2, valid_from=date(2026, 9, 1)),
            a_break(1, 5, valid_from=date(2026, 1, 1)),
        )
    )
    ladder = breaks_on(product, "GBP", TODAY)
    assert [(int(each.min_quantity), int(each.unit_price)) for each in ladder] == [(1, 5), (10, 3)]
    assert breaks_on(product, "EUR", TODAY) == ()
