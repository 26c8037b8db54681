"""How a replayed month is judged: the plain rule, and what became of whom was named."""

from datetime import date, timedelta

import pytest

from bench.month_judge import (
    Bought,
    Caught,
    Named,
    Past,
    by_weight,
    caught,
    overdue_on,
    plain_rule,
    typical_gap,
    usual_gap,
)

FIRST = date(2010, 10, 1)
UNTIL = date(2010, 11, 1)


def ago(*days: int) -> tuple[date, ...]:
    return tuple(FIRST - timedelta(days=each) for each in days)


def a_past(*days: int, net: float = 100, item: str = "DRILL") -> Past:
    """A customer who bought the item so many days before October; negative: after its first day."""
    return Past(tuple(Bought(day, item, 1, net) for day in ago(*days)))


def test_the_usual_gap_is_drawn_to_the_typical_one_as_if_seen_twice() -> None:
    assert usual_gap(ago(60, 50, 40), 40) == (10 + 10 + 2 * 40) / 4


def test_the_typical_gap_is_the_median_of_the_customers_means_before_the_day() -> None:
    pasts = {"a": a_past(50, 40, 20), "b": a_past(60, 10), "c": a_past(30), "d": a_past(40, 10, -300)}
    assert typical_gap(pasts, FIRST) == 30


@pytest.mark.parametrize(
    ("days", "typical", "expected"),
    [
        pytest.param((50, 40, 30, 20), 10, None, id="four order days say too little"),
        pytest.param((60, 50, 40, 30, 20), 10, ago(4)[0], id="past 15 days, on the sixteenth"),
        pytest.param((24, 23, 22, 21, 20), 1, ago(5)[0], id="never before 14 days are over"),
    ],
)
def test_overdue_on(days: tuple[int, ...], typical: float, expected: date | None) -> None:
    assert overdue_on(ago(*days), typical) == expected


def test_the_rule_names_whoever_becomes_overdue_in_the_month_the_largest_first() -> None:
    pasts = {
        "small": a_past(55, 45, 35, 25, 15, 5),
        "large": a_past(55, 45, 35, 25, 15, 5, net=900),
        "ordered in time": a_past(55, 45, 35, 25, 15, 5, -5, -15, -25),
        "overdue before": a_past(90, 80, 70, 60, 50, 40),
    }
    named = plain_rule(pasts, FIRST, UNTIL)
    assert [(each.customer, each.weight) for each in named] == [("large", 5400), ("small", 600)]
    assert {each.day for each in named} == {FIRST + timedelta(days=11)}


def test_a_customer_counts_once_as_first_named() -> None:
    named = [Named("a", UNTIL, 9), Named("a", FIRST, 5), Named("b", FIRST, 7)]
    assert by_weight(named) == [Named("b", FIRST, 7), Named("a", FIRST, 5)]


@pytest.mark.parametrize(
    ("past", "lost"),
    [
        pytest.param(a_past(200, 30), 200 / 3, id="no order in 90 days: a third of 270 days' sales"),
        pytest.param(a_past(300, 30), 100 / 3, id="sales before those days do not count"),
        pytest.param(a_past(200, 30, -90), 200 / 3, id="an order on the day after the 90"),
        pytest.param(a_past(200, 30, -89), 0, id="an order on the last of them"),
        pytest.param(a_past(200, 30, 0), 0, id="an order on the very day"),
    ],
)
def test_lost_trade(past: Past, lost: float) -> None:
    assert past.lost_trade(FIRST) == pytest.approx(lost)


def test_goods_given_back_lessen_the_trade_and_are_no_order() -> None:
    past = Past((Bought(ago(30)[0], "DRILL", 1, 300), Bought(FIRST, "DRILL", -1, -300)))
    assert past.is_lost(FIRST)
    assert past.trade(FIRST + timedelta(days=1)) == 0


def test_what_is_bought_of_some_items() -> None:
    past = Past((*a_past(-3, item="BIT").lines, *a_past(-3, -40, net=7).lines))
    assert past.bought(("DRILL",), FIRST, 30) == 7


def test_a_list_is_judged_by_the_lost_and_the_trade_they_took() -> None:
    pasts = {"gone": a_past(30), "back": a_past(30, -10)}
    assert caught(pasts, [Named("gone", FIRST, 1), Named("back", FIRST, 2)]) == Caught(2, 1, 100 / 3)
