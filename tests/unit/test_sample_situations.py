"""What the truth file of the sample company says was planted can really be seen in its orders."""

import itertools
from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal
from statistics import mean, median
from typing import Any

import pytest

from deploy.sample.trades import STAPLE_PAIRS
from tests.sample_books import LAST_DAY, Books, Bought


def test_eroding_accounts_pay_less_for_the_same_goods_than_before(books: Books) -> None:
    for truth in books.planted("price_erosion"):
        lines = books.by_customer[truth["customer"]]
        since = date.fromisoformat(truth["since"])
        before, late = defaultdict(list), defaultdict(list)
        for line in lines:
            if line.day < since:
                before[line.sku].append(books.margin(line))
            elif line.day > LAST_DAY - timedelta(days=45):
                late[line.sku].append(books.margin(line))
        drops = [mean(before[sku]) - mean(late[sku]) for sku in late if sku in before]
        assert len(drops) >= 4
        assert mean(drops) > Decimal("0.03"), truth


def test_contract_accounts_lose_the_margin_that_others_keep(books: Books) -> None:
    planted = {
        each["customer"]
        for situation in ("cost_not_passed_on", "contract_price")
        for each in books.planted(situation)
    }
    for truth in books.planted("cost_not_passed_on"):
        since, sku = date.fromisoformat(truth["since"]), truth["subject"]
        mine = [line for line in books.by_customer[truth["customer"]] if line.sku == sku]
        before = [books.margin(line) for line in mine if line.day < since]
        after = [books.margin(line) for line in mine if line.day > since + timedelta(days=30)]
        assert len(before) >= 4
        assert len(after) >= 3
        assert mean(after) < mean(before) - Decimal("0.06"), truth
        others = [
            books.margin(line)
            for customer, lines in books.by_customer.items()
            if customer not in planted and books.segments.get(customer)
            for line in lines
            if line.sku == sku and line.day > since + timedelta(days=30)
        ]
        assert median(others) > mean(after) + Decimal("0.05")


def test_quiet_customers_came_often_and_then_never_again(books: Books) -> None:
    for truth in books.planted("gone_quiet"):
        days = sorted({line.day for line in books.by_customer[truth["customer"]]})
        usual = (days[-1] - days[0]).days / (len(days) - 1)
        assert len(days) >= 20
        assert (LAST_DAY - days[-1]).days > 2.5 * usual, truth
        assert days[-1] < date.fromisoformat(truth["since"])


def test_slow_customers_are_not_late(books: Books) -> None:
    for truth in books.planted("slow_but_regular"):
        days = sorted({line.day for line in books.by_customer[truth["customer"]]})
        gaps = [(later - day).days for day, later in itertools.pairwise(days)]
        assert (LAST_DAY - days[-1]).days <= 1.3 * max(gaps), truth
        assert mean(gaps) > 35


@pytest.mark.parametrize("situation", ["dropped_category", "dropped_item"])
def test_who_dropped_something_still_orders_but_not_that(books: Books, situation: str) -> None:
    for truth in books.planted(situation):
        lines = books.by_customer[truth["customer"]]
        since = date.fromisoformat(truth["since"])
        subject = [line for line in lines if truth["subject"] in (line.sku, line.category)]
        assert len({line.day for line in subject}) >= 8, truth
        assert all(line.day < since for line in subject)
        assert len({line.day for line in lines if line.day >= since}) >= 5


def test_november_buyers_buy_in_november_only_and_every_year(books: Books) -> None:
    for truth in books.planted("november_buyer"):
        days = {line.day for line in books.by_customer[truth["customer"]]}
        assert {day.month for day in days} == {11}
        assert 2025 in {day.year for day in days}


def test_the_season_ahead_was_bought_in_last_year_by_those_who_buy_in_it(books: Books) -> None:
    for truth in books.planted("season_ahead"):
        days = {line.day for line in books.by_customer[truth["customer"]]}
        month = (LAST_DAY + timedelta(days=24)).month
        assert {day.month for day in days} == {month}
        assert len({day.year for day in days}) >= 2


def test_the_complement_is_bought_by_four_in_five_and_never_by_these(books: Books) -> None:
    assert {books.segments[each["customer"]] for each in books.planted("complement_missing")} == set(
        STAPLE_PAIRS
    )
    for truth in books.planted("complement_missing"):
        skus = {line.sku for line in books.by_customer[truth["customer"]]}
        trigger = books.report(truth)["lines"][0]["sku"]
        assert trigger in skus
        assert truth["subject"] not in skus
        peers = [
            {line.sku for line in lines}
            for customer, lines in books.by_customer.items()
            if books.segments.get(customer) == books.segments[truth["customer"]]
        ]
        who = [skus for skus in peers if trigger in skus]
        assert len(who) >= 25
        assert sum(truth["subject"] in skus for skus in who) / len(who) > 0.77, truth


def gain_at_the_break(books: Books, line: Bought) -> Decimal:
    """What we would earn more, had the customer taken the next break."""
    at = min(least for least in books.breaks[line.sku] if least > line.quantity)
    cost = books.cost(line.sku, LAST_DAY)
    return at * (books.breaks[line.sku][at] - cost) - line.quantity * (line.price - cost)


def test_orders_under_a_break_are_near_one_that_pays_us_and_the_customer(books: Books) -> None:
    for truth in books.planted("under_a_break"):
        line = books.reported_line(truth)
        at = min(least for least in books.breaks[line.sku] if least > line.quantity)
        assert Decimal("0.7") <= line.quantity / at < 1
        assert books.breaks[line.sku][at] < line.price
        assert gain_at_the_break(books, line) > 20, truth


def test_the_trap_under_a_break_would_cost_us_money(books: Books) -> None:
    for truth in books.planted("break_would_cost_money"):
        assert gain_at_the_break(books, books.reported_line(truth)) < 0


def test_small_buyers_order_far_less_than_their_peers(books: Books) -> None:
    values: dict[str, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for customer, lines in books.by_customer.items():
        for line in lines:
            values[customer][line.order] += line.quantity * line.price
    usual = {customer: median(orders.values()) for customer, orders in values.items() if len(orders) >= 5}
    for truth in books.planted("small_orders"):
        segment = books.segments[truth["customer"]]
        peers = [value for customer, value in usual.items() if books.segments.get(customer) == segment]
        assert usual[truth["customer"]] < Decimal("0.35") * median(peers), truth


def test_a_line_under_the_usual_margin_is_cheap_for_this_account_and_above_cost(books: Books) -> None:
    for truth in books.planted("line_under_usual_margin"):
        line = books.reported_line(truth)
        usual = [books.margin(each) for each in books.by_customer[truth["customer"]] if each.sku == line.sku]
        assert len(usual) >= 5
        assert 0 < books.margin(line) < median(usual) - Decimal("0.1")


def test_a_line_below_cost_is_below_cost(books: Books) -> None:
    for truth in books.planted("line_below_cost"):
        line = books.reported_line(truth)
        assert line.price < books.cost(line.sku, LAST_DAY)


def test_ordinary_orders_hold_usual_goods_at_usual_prices(books: Books) -> None:
    for truth in books.planted("nothing_to_say"):
        lines = books.by_customer[truth["customer"]]
        for ordered in books.report(truth)["lines"]:
            if ordered["kind"] != "product":
                continue
            before = [line for line in lines if line.sku == ordered["sku"]]
            line = books.reported_line(truth | {"subject": ordered["sku"]})
            assert len(before) >= 3
            assert median(each.quantity for each in before) == line.quantity
            assert max(before, key=lambda each: each.day).price == line.price


def test_the_odd_orders_of_the_last_day_are_what_the_truth_says(books: Books) -> None:
    def only(situation: str) -> dict[str, Any]:
        return books.report(books.planted(situation)[0])

    assert only("sample_order")["kind"] == "sample"
    assert only("test_order")["test"] is True
    assert only("internal_order")["customer"]["internal"] is True
    assert only("blocked_customer")["customer"]["status"] == "blocked"
    assert only("return")["kind"] == "return"
    assert only("cancelled")["status"] == "cancelled"
    assert only("edited")["version"] == 2
    assert only("guest")["customer"] is None
