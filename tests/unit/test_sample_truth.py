"""The truth file of the sample company says of each planted situation and each decoy what is at stake."""

from datetime import timedelta
from decimal import Decimal

import pytest

from tests.sample_books import LAST_DAY, Books

KINDS = (
    "going_quiet",
    "spend_drop",
    "stopped_item",
    "stopped_category",
    "basket_gap",
    "reorder_due",
    "half_usual",
    "below_floor",
    "price_error",
    "margin_erosion",
    "discount_outlier",
    "cost_not_passed_on",
)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_planted_and_has_decoys(books: Books, kind: str) -> None:
    of_kind = [each for each in books.truths if each["kind"] == kind]
    assert sum(each["expect"] == kind and each["merits_call"] for each in of_kind) >= 2
    assert sum(each["is_decoy"] for each in of_kind) >= 2
    assert all(each["is_decoy"] == (each["expect"] == "quiet") for each in of_kind)


def test_money_is_stated_of_every_situation_of_a_kind(books: Books) -> None:
    for each in books.truths:
        assert (each["kind"] is None) == (each["stake"] is None)
        if each["kind"]:
            assert each["per"] in ("quarter", "order")
            assert 0 <= float(each["gain"]) <= 0.5 * float(each["stake"])
            assert each["merits_call"] == (float(each["gain"]) >= 10)


def test_a_customer_plays_one_part(books: Books) -> None:
    playing = [each["customer"] for each in books.truths if each["kind"]]
    assert len(playing) == len(set(playing))


def test_the_stake_of_a_quiet_customer_is_a_quarter_of_its_last_year(books: Books) -> None:
    for truth in books.planted("gone_quiet"):
        began = books.since(truth) - timedelta(days=364)
        year = sum(
            line.quantity * line.price * books.margin(line)
            for line in books.bought_by(truth)
            if began <= line.day < books.since(truth)
        )
        assert Decimal(truth["stake"]) == pytest.approx(year / 4, rel=Decimal("0.2"))


def test_what_shows_on_the_last_day_names_its_order(books: Books) -> None:
    orders = {each["id"]: each for each in books.reports}
    for truth in books.truths:
        assert truth["on_last_day"] == (truth["order"] is not None)
        if truth["on_last_day"] and truth["kind"]:
            assert orders[truth["order"]]["customer"]["id"] == truth["customer"]
            assert orders[truth["order"]]["ordered_at"].startswith(LAST_DAY.isoformat())
