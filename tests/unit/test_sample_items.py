"""Regular items of the sample company's customers: those that are missing, and those that are not due or not sold."""

from datetime import timedelta
from statistics import fmean, median
from typing import Any

import pytest

from tests.sample_books import LAST_DAY, Books, Truth, gaps, order_days


def share_of_orders(books: Books, truth: Truth) -> float:
    """The share of the orders since the first with the item that held it."""
    of_item = books.of_subject(truth)
    since_first = {line.order for line in books.bought_by(truth) if line.day >= of_item[0].day}
    return len({line.order for line in of_item}) / len(since_first)


def gaps_since_the_last(books: Books, truth: Truth) -> float:
    """How many of the item's own usual gaps have passed since it was last bought."""
    days = order_days(books.of_subject(truth))
    return (LAST_DAY - days[-1]).days / fmean(gaps(days))


def orders_of_the_day(books: Books, truth: Truth) -> list[dict[str, Any]]:
    return [each for each in books.reports if (each["customer"] or {}).get("id") == truth["customer"]]


def skus(order: dict[str, Any]) -> set[str]:
    return {line["sku"] for line in order["lines"] if line["kind"] == "product"}


def test_discontinued_goods_are_bought_by_nobody_any_more(books: Books) -> None:
    for truth in books.planted("item_discontinued"):
        assert len(order_days(books.of_subject(truth))) >= 8
        assert books.products[truth["subject"]]["status"] == "discontinued"
        for lines in books.by_customer.values():
            assert not [x for x in lines if x.sku == truth["subject"] and x.day >= books.since(truth)]
        assert order_days(books.bought_by(truth))[-1] > LAST_DAY - timedelta(days=45)


def test_the_other_grade_took_the_place_of_the_usual_one(books: Books) -> None:
    for truth in books.planted("variant_instead"):
        since = books.since(truth)
        assert all(line.day < since for line in books.of_subject(truth))
        assert len(order_days(books.of_subject(truth))) >= 8
        (variant,) = books.products[truth["subject"]]["substitutes"].split(";")
        days = order_days([x for x in books.bought_by(truth) if x.sku == variant and x.day >= since])
        assert len(days) >= 5


@pytest.mark.parametrize("situation", ["item_out_of_season", "category_out_of_season"])
def test_what_is_out_of_season_was_bought_in_season_and_then_hardly(books: Books, situation: str) -> None:
    for truth in books.planted(situation):
        days = order_days(books.of_subject(truth))
        in_season = [day for day in days if 80 <= (LAST_DAY - day).days <= 200]
        lately = [day for day in days if (LAST_DAY - day).days < 40]
        a_year_ago = [day for day in days if 364 <= (LAST_DAY - day).days < 404]
        assert len(in_season) >= 4, truth
        assert len(lately) <= len(in_season) / 3
        assert len(a_year_ago) <= len(in_season) / 2
        assert order_days(books.bought_by(truth))[-1] > LAST_DAY - timedelta(days=30)


def test_a_forgotten_item_is_usual_due_and_absent(books: Books) -> None:
    for truth in books.planted("usual_forgotten"):
        assert len(order_days(books.of_subject(truth))) >= 4
        assert share_of_orders(books, truth) >= 0.6
        assert gaps_since_the_last(books, truth) >= 0.9, truth
        assert truth["subject"] not in skus(books.report(truth))
        assert float(books.products[truth["subject"]]["stock"]) > 0


def test_an_item_bought_some_days_ago_is_absent_and_not_due(books: Books) -> None:
    for truth in books.planted("not_due_yet"):
        assert share_of_orders(books, truth) >= 0.6
        assert gaps_since_the_last(books, truth) < 0.6
        assert truth["subject"] not in skus(books.report(truth))


def test_an_item_of_the_morning_is_absent_in_the_afternoon(books: Books) -> None:
    for truth in books.planted("bought_this_morning"):
        assert share_of_orders(books, truth) >= 0.6
        morning, afternoon = orders_of_the_day(books, truth)
        assert morning["ordered_at"] < afternoon["ordered_at"]
        assert truth["subject"] in skus(morning)
        assert truth["subject"] not in skus(afternoon)
        assert truth["order"] == afternoon["id"]


def test_an_item_used_up_steadily_is_due_again(books: Books) -> None:
    for truth in books.planted("due_again"):
        lines = books.of_subject(truth)
        assert len(order_days(lines)) >= 15
        assert len({line.quantity for line in lines}) == 1
        assert 0.9 <= gaps_since_the_last(books, truth) <= 1.5, truth


def test_who_stocked_up_took_double_and_is_due_only_by_days(books: Books) -> None:
    for truth in books.planted("stocked_up"):
        lines = books.of_subject(truth)
        assert lines[-1].quantity == 2 * median(line.quantity for line in lines)
        assert 0.9 <= gaps_since_the_last(books, truth) <= 1.6, truth
