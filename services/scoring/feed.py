"""The feed of orders: is it stale, so that an absence of orders says nothing about the customers?"""

from collections.abc import Collection
from datetime import date, timedelta
from itertools import pairwise
from statistics import median

STALE = 3
"""Times the company's usual gap between order days."""

REMEMBERED_DAYS = 91
FEW_ORDER_DAYS = 10
"""A company with fewer order days in a quarter has no usual gap."""

YEAR = timedelta(days=364)
CLOSED_AROUND = range(-3, 4)


def is_stale(order_days: Collection[date], today: date) -> bool:
    """Has no customer ordered for three times the usual gap of order days? What is of today is not over yet.

    Counted are the days on which orders are to be expected: of the weekdays that mostly have some, and not in a week
    that had none a year ago.
    """
    days = {each for each in order_days if each < today}
    if not days:
        return False
    last = max(days)
    recent = {each for each in days if (last - each).days < REMEMBERED_DAYS}
    if len(recent) < FEW_ORDER_DAYS:
        return False
    usual_weekdays = _usual_weekdays(recent)
    expected = [
        each
        for each in _between(last, today)
        if each.weekday() in usual_weekdays and not _was_closed(each, days)
    ]
    return len(expected) + 1 > STALE * _usual_gap(sorted(recent), usual_weekdays)


def _usual_weekdays(recent: Collection[date]) -> frozenset[int]:
    """The weekdays that had orders in half of the weeks; all, where none did."""
    weeks = REMEMBERED_DAYS // 7
    counts = [sum(each.weekday() == weekday for each in recent) for weekday in range(7)]
    usual = frozenset(weekday for weekday, count in enumerate(counts) if count >= weeks / 2)
    return usual or frozenset(range(7))


def _usual_gap(recent: list[date], weekdays: Collection[int]) -> float:
    """The median number of expected days from an order day to the next."""
    return median(
        1 + sum(each.weekday() in weekdays for each in _between(one, other))
        for one, other in pairwise(recent)
    )


def _was_closed(day: date, days: Collection[date]) -> bool:
    """Was there no order in the week around this day a year ago, though there were some before it?"""
    a_year_ago = day - YEAR
    if min(days) > a_year_ago - timedelta(days=7):
        return False
    return not any(a_year_ago + timedelta(days=each) in days for each in CLOSED_AROUND)


def _between(one: date, other: date) -> list[date]:
    """The days after the one and before the other."""
    return [one + timedelta(days=step) for step in range(1, (other - one).days)]
