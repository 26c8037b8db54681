"""Customers of the sample company order as irregularly as real ones, and some who look quiet are not."""

from collections import defaultdict
from datetime import timedelta
from decimal import Decimal
from statistics import fmean, median, variance

from tests.sample_books import LAST_DAY, Books, Bought, gaps, order_days

YEAR = timedelta(days=364)
QUARTER = timedelta(days=91)


def value(lines: list[Bought]) -> Decimal:
    return sum((line.quantity * line.price for line in lines), Decimal(0))


def quiet_for(lines: list[Bought]) -> int:
    return (LAST_DAY - order_days(lines)[-1]).days


def test_gaps_between_order_days_are_as_irregular_as_a_real_wholesalers(books: Books) -> None:
    shapes = []
    for customer, lines in books.by_customer.items():
        between = gaps(order_days(lines))
        if customer and len(between) >= 6:
            shapes.append(fmean(between) ** 2 / variance(between))
    assert len(shapes) > 400
    assert 2.2 < median(shapes) < 3.2


def test_those_who_play_a_part_are_as_irregular_as_others(books: Books) -> None:
    planted = {
        each["customer"] for each in books.truths if each["situation"] in ("gone_quiet", "price_erosion")
    }
    shapes = [
        fmean(between) ** 2 / variance(between)
        for between in (gaps(order_days(books.by_customer[customer])) for customer in planted)
    ]
    assert 1.8 < median(shapes) < 3.6


def test_some_close_for_weeks_at_the_same_time_of_every_year(books: Books) -> None:
    """Of those who order all the time, a tenth or more are away for ten days at the same time of both years."""
    frequent, closing = 0, 0
    for lines in books.by_customer.values():
        days = order_days(lines)
        if len(days) < 90:
            continue
        frequent += 1
        away = {
            day + timedelta(days=ahead) for day, gap in zip(days, gaps(days), strict=False) if gap >= 10
            for ahead in range(1, gap)
        }  # fmt: skip
        closing += sum(day + YEAR in away for day in away) >= 9
    assert frequent > 30
    assert closing / frequent > 0.1


def test_nobody_orders_between_christmas_and_the_new_year(books: Books) -> None:
    for lines in books.by_customer.values():
        assert not any((line.day.month, line.day.day) in ((12, 27), (12, 29)) for line in lines)


def test_a_yearly_closure_was_as_long_a_year_ago(books: Books) -> None:
    for truth in books.planted("closed_every_year"):
        lines = books.bought_by(truth)
        since = books.since(truth)
        assert quiet_for(lines) >= 40
        assert not [line for line in lines if since - YEAR <= line.day < since - YEAR + timedelta(days=48)]
        assert [line for line in lines if since - YEAR - timedelta(days=30) <= line.day < since - YEAR]
        assert [line for line in lines if line.day > since - YEAR + timedelta(days=48)]


def test_a_quiet_head_offices_branch_orders_in_its_place(books: Books) -> None:
    for truth in books.planted("branch_orders_instead"):
        (branch,) = [key for key, row in books.customers.items() if row["parent_id"] == truth["customer"]]
        days = order_days(books.by_customer[branch])
        assert days[0] >= books.since(truth) > order_days(books.bought_by(truth))[-1]
        assert len(days) >= 4
        assert (LAST_DAY - days[-1]).days <= 21


def test_an_irregular_customer_paused_as_long_before(books: Books) -> None:
    for truth in books.planted("irregular_as_ever"):
        between = gaps(order_days(books.bought_by(truth)))
        assert quiet_for(books.bought_by(truth)) > 1.8 * fmean(between)
        assert sum(gap > quiet_for(books.bought_by(truth)) for gap in between) >= 3


def test_a_seasonal_customer_was_as_silent_in_these_months_last_year(books: Books) -> None:
    for truth in books.planted("season_over"):
        days = order_days(books.bought_by(truth))
        off = {(books.since(truth) + timedelta(days=ahead)).month for ahead in range(100)}
        assert len(days) >= 40
        assert not off & {day.month for day in days}
        assert len({day.year for day in days}) == 2


def test_who_spends_less_orders_as_often_and_takes_less_than_half(books: Books) -> None:
    for truth in books.planted("spend_halved"):
        lines, since = books.bought_by(truth), books.since(truth)
        before = [line for line in lines if line.day < since]
        after = [line for line in lines if line.day >= since]
        often = len(order_days(after)) / (LAST_DAY - since).days
        usual = len(order_days(before)) / (since - before[0].day).days
        assert 0.7 < often / usual < 1.5, truth
        spent, was = value(after) / (LAST_DAY - since).days, value(before) / (since - before[0].day).days
        assert spent < Decimal("0.6") * was, truth


def test_without_its_project_a_customer_spends_as_before(books: Books) -> None:
    for truth in books.planted("big_project_a_year_ago"):
        lines = books.bought_by(truth)
        orders: dict[str, Decimal] = defaultdict(Decimal)
        for line in lines:
            orders[line.order] += line.quantity * line.price
        project = max(orders, key=lambda order: orders[order])
        assert orders[project] > 15 * median(orders.values())
        usual = [line for line in lines if line.order != project]
        late = value([line for line in usual if line.day >= LAST_DAY - QUARTER])
        year = value([line for line in usual if LAST_DAY - QUARTER - YEAR <= line.day < LAST_DAY - QUARTER])
        assert late > Decimal("0.7") * year / 4
