"""What live customers stopped taking, and what they re-order: rows of small companies whose answers are known."""

from collections.abc import Iterator
from datetime import date, timedelta
from random import Random

import pytest

from services.scoring.fit.models import reorder, stopped_item
from tests.model_facts import AS_OF, Bought, facts_of

TODAY = AS_OF.date()
STAPLE, SIDE = 1, 2


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


def trade() -> Iterator[Bought]:
    """Customers who order every ten days. Their side item they drop now and then, for a while or for good."""
    chance = Random(3)
    for customer in range(240):
        side_until, back_at = 540, 540
        for days in range(540, 0, -10):
            yield Bought(customer, ago(days), product=STAPLE)
            if days > side_until or days <= back_at:
                yield Bought(customer, ago(days), product=SIDE, net=40)
            if days <= back_at and chance.random() < 0.03:
                side_until, back_at = days, days - chance.choice([60, 70, 120, 300, 600])


def test_what_stopped_is_found_with_its_chance_to_come_back() -> None:
    with facts_of(list(trade())) as facts:
        (piece,) = stopped_item.MODEL.build(facts)
        rows = facts.engine.rows(piece.rows)
    assert {row["product_id"] for row in rows} == {SIDE}
    for row in rows:
        assert 45 <= row["silent_days"] <= 240
        assert row["orders_since"] >= 3
        assert 0 < row["p0"] < 1
        assert 0 < row["gain"] < row["revenue"] * 0.3


def test_what_nobody_buys_any_more_has_not_been_stopped_by_anyone() -> None:
    orders = [each for each in trade() if each.product == STAPLE or each.day < ago(60)]
    with facts_of(orders) as facts:
        assert [
            row for piece in stopped_item.MODEL.build(facts) for row in facts.engine.rows(piece.rows)
        ] == []


def told_of(customer: int, side: Iterator[Bought], substitutes: dict[int, int] | None = None) -> bool:
    """Whether a customer who orders the staple every ten days, and this beside it, is found to have stopped it."""
    staple = (Bought(customer, ago(days), product=STAPLE) for days in range(540, 0, -10))
    with facts_of([*trade(), *staple, *side], substitutes=substitutes or {}) as facts:
        (piece,) = stopped_item.MODEL.build(facts)
        return customer in {row["customer_id"] for row in facts.engine.rows(piece.rows)}


def side_of(customer: int, *spans: range, product: int = SIDE) -> Iterator[Bought]:
    return (Bought(customer, ago(days), product=product) for span in spans for days in span)


@pytest.mark.parametrize(
    ("days", "is_told"),
    [
        pytest.param(range(80, 0, -20), False, id="that often since"),
        pytest.param(range(80, 79, -1), True, id="once since"),
        pytest.param(range(300, 90, -20), True, id="before, and no more"),
    ],
)
def test_an_item_is_not_missed_where_its_substitute_is_taken_in_its_place(days: range, is_told: bool) -> None:
    substitute = 3
    bought = [*side_of(900, range(530, 90, -20)), *side_of(900, days, product=substitute)]
    assert told_of(900, iter(bought), substitutes={SIDE: substitute}) == is_told


@pytest.mark.parametrize(
    ("spans", "is_told"),
    [
        pytest.param((range(540, 460, -10), range(355, 90, -10)), False, id="as a year ago"),
        pytest.param((range(540, 90, -10),), True, id="unlike a year ago"),
        pytest.param((range(350, 90, -10),), True, id="and a year ago it was not known yet"),
    ],
)
def test_an_item_absent_at_this_time_of_the_year_is_out_of_season(
    spans: tuple[range, ...], is_told: bool
) -> None:
    assert told_of(901, side_of(901, *spans)) == is_told


@pytest.mark.parametrize(
    ("days", "last_quantity", "is_told"),
    [
        pytest.param((200, 180, 160, 140, 120), 1, True, id="of the same quantity each time"),
        pytest.param((200, 180, 160, 140, 120), 4, False, id="the last for four times as long"),
        pytest.param((140, 138, 136, 122, 120), 1, False, id="within a few days, twice"),
    ],
)
def test_a_rhythm_takes_five_purchases_and_what_was_bought_must_be_used_up(
    days: tuple[int, ...], last_quantity: float, is_told: bool
) -> None:
    taken = (
        Bought(902, ago(each), product=SIDE, quantity=last_quantity if each == days[-1] else 1)
        for each in days
    )
    assert told_of(902, taken) == is_told


@pytest.mark.parametrize("months_of_others", [1, 6])
def test_what_others_take_much_less_of_too_is_out_of_season(months_of_others: int) -> None:
    product = 4
    others = (
        Bought(customer, ago(days + customer), product=product)
        for customer in range(8)
        for days in (*range(30 * months_of_others + 90, 100, -5), 20)
    )
    own = side_of(903, range(220, 90, -20), product=product)
    assert told_of(903, iter([*own, *others])) == (months_of_others == 1)


def test_items_bought_often_and_lately_are_re_ordered_first() -> None:
    orders = [Bought(1, ago(days), product=10) for days in (20, 80, 140)]
    orders += [Bought(1, ago(days), product=11) for days in (300, 400, 500)]
    orders += [Bought(1, ago(30), product=12), Bought(2, ago(30), product=12)]
    with facts_of(orders) as facts:
        rows = facts.engine.rows(
            reorder.best_of(facts, reorder.selling(facts))
            .filter(lambda row: row.customer_id == 1)
            .order_by("place")
        )
    assert [row["product_id"] for row in rows] == [10, 12, 11]


def test_who_left_is_less_likely_to_buy_again_what_they_bought_most() -> None:
    chance, orders = Random(5), []
    for customer in range(300):
        left = customer * 7 % 400 if customer % 2 else 0  # days ago, for good
        orders += [
            Bought(customer, ago(days), product=product)
            for days in range(500, left, -20)
            for product in (10, 11, 12)
            if chance.random() < 0.4
        ]
    with facts_of(orders) as facts:
        rows = facts.engine.rows(next(reorder.MODEL.build(facts)).rows)
    first = {row["customer_id"]: float(row["p0"]) for row in rows if row["place"] == 0}
    stays = [first[customer] for customer in range(0, 300, 2)]
    gone = [first[customer] for customer in range(1, 300, 2) if customer * 7 % 400 > 200]
    assert min(stays) > 2 * max(gone)
