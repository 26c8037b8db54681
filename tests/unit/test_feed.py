"""When the feed of orders is stale: three times the usual gap, weekends and closures left out."""

from collections.abc import Callable
from datetime import date, timedelta

import pytest

from services.scoring.feed import is_stale

MONDAY = date(2026, 3, 2)


def days(until: date, keep: Callable[[date], bool], count: int = 500) -> set[date]:
    """The order days of a company up to and with a day."""
    return {each for each in (until - timedelta(days=step) for step in range(count)) if keep(each)}


def on_weekdays(day: date) -> bool:
    return day.weekday() < 5


def on_mondays(day: date) -> bool:
    return day.weekday() == 0


@pytest.mark.parametrize(
    ("last", "keep", "today", "stale"),
    [
        pytest.param(date(2026, 2, 27), on_weekdays, MONDAY, False, id="a Monday after a Friday with orders"),
        pytest.param(date(2026, 2, 26), on_weekdays, MONDAY, False, id="a Friday without orders"),
        pytest.param(date(2026, 2, 24), on_weekdays, date(2026, 2, 27), False, id="two days without orders"),
        pytest.param(date(2026, 2, 23), on_weekdays, date(2026, 2, 27), True, id="three of them"),
        pytest.param(date(2026, 2, 9), on_mondays, date(2026, 2, 28), False, id="two Mondays of one a week"),
        pytest.param(date(2026, 2, 2), on_mondays, date(2026, 2, 25), True, id="three Mondays of one a week"),
    ],
)
def test_a_feed_is_stale_after_three_usual_gaps(
    last: date, keep: Callable[[date], bool], today: date, *, stale: bool
) -> None:
    assert is_stale(days(last, keep), today) is stale


def test_a_week_that_had_no_orders_a_year_ago_is_left_out() -> None:
    def open_on(day: date) -> bool:
        return on_weekdays(day) and not ((day.month, day.day) >= (12, 21) or (day.month, day.day) <= (1, 4))

    orders = days(date(2025, 12, 19), open_on, 700)
    assert not is_stale(orders, date(2026, 1, 2))
    assert is_stale(orders, date(2026, 1, 15))


@pytest.mark.parametrize("count", [0, 9])
def test_little_history_says_nothing(count: int) -> None:
    few = {MONDAY - timedelta(days=60 + step) for step in range(count)}
    assert not is_stale(few, MONDAY)
