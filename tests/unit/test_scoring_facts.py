"""What an order day, a like quantity and "valid that day" mean."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from services.scoring.facts import (
    MEMORY,
    Cost,
    PastOrder,
    Purchase,
    breaks_on,
    by_day,
    cost_on,
    day_of,
    fold,
    is_same_band,
    order_days,
)
from tests.order_facts import NOW, a_break, a_product, a_purchase

TODAY = NOW.date()


def test_what_several_orders_of_a_day_took_is_summed() -> None:
    history = (a_purchase(0.1, 3), a_purchase(0.2, 4), a_purchase(1, 50))
    assert by_day(history) == {TODAY: 7, TODAY - timedelta(days=1): 50}


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
    ladder = breaks_on(product, "GBP", "", TODAY)
    assert [(int(each.min_quantity), int(each.unit_price)) for each in ladder] == [(1, 5), (10, 3)]
    assert breaks_on(product, "EUR", "", TODAY) == ()
