"""What an order day, a like quantity and "valid that day" mean."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

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
    is_regular,
    is_same_band,
    order_days,
)
from tests.order_facts import NOW, a_break, a_product, a_purchase

TODAY = NOW.date()


def test_what_several_orders_of_a_day_took_is_summed() -> None:
    history = (a_purchase(0.1, 3), a_purchase(0.2, 4), a_purchase(1, 50))
    assert by_day(history, UTC) == {TODAY: 7, TODAY - timedelta(days=1): 50}


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
    assert order_days(past, UTC) == {TODAY: Decimal(12)}


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        pytest.param("America/New_York", date(2026, 3, 1), id="still the evening before, west of London"),
        pytest.param("Europe/Paris", date(2026, 3, 2), id="past midnight east of it"),
    ],
)
def test_days_are_those_of_the_company(zone: str, day: date) -> None:
    evening = datetime(2026, 3, 1, 19, tzinfo=timezone(timedelta(hours=-5)))
    assert day_of(evening, ZoneInfo(zone)) == day_of(evening.astimezone(UTC), ZoneInfo(zone)) == day
    assert day_of(evening.astimezone(ZoneInfo(zone)), ZoneInfo(zone)) == day


@pytest.mark.parametrize(
    ("days_ago", "is_due"),
    [
        pytest.param((11, 21, 31, 41), True, id="four times, ten days apart, eleven days ago"),
        pytest.param((2, 12, 22, 32), False, id="not due for long"),
        pytest.param((11, 21, 31), False, id="three times"),
        pytest.param((181, 191, 201, 211), False, id="not within half a year"),
    ],
)
def test_a_regular_is_taken_time_and_again_and_about_due(days_ago: tuple[int, ...], is_due: bool) -> None:
    assert is_regular(tuple(map(a_purchase, days_ago)), NOW) is is_due


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
