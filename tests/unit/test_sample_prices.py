"""Prices in the sample company that are wrong, leak or creep, and those that are low for a reason."""

from collections import defaultdict
from datetime import timedelta
from decimal import Decimal
from statistics import fmean, median

import pytest

from deploy.sample.price_situations import FLOOR_MARGIN
from tests.sample_books import LAST_DAY, Books, Bought, Truth

QUARTER = timedelta(days=91)


def usual_price(books: Books, truth: Truth) -> Decimal:
    return median(line.price for line in books.of_subject(truth))


def discounts(lines: list[Bought]) -> float:
    return fmean(float(line.discount) for line in lines)


def in_last_quarter(lines: list[Bought]) -> list[Bought]:
    return [line for line in lines if line.day >= LAST_DAY - QUARTER]


def margin_rate(books: Books, lines: list[Bought]) -> float:
    sold = sum(line.quantity * line.price for line in lines)
    return float(sum(line.quantity * line.price * books.margin(line) for line in lines) / sold)


def test_a_line_under_the_floor_is_above_cost(books: Books) -> None:
    for truth in books.planted("line_under_floor"):
        assert 0 < books.margin(books.reported_line(truth)) < FLOOR_MARGIN
        assert Decimal(books.products[truth["subject"]]["floor_margin"]) == FLOOR_MARGIN


def test_goods_given_away_on_purpose_say_so(books: Books) -> None:
    (free, *_) = books.planted("free_goods")
    paid, given = [line for line in books.report(free)["lines"] if line["kind"] == "product"]
    assert paid["sku"] == given["sku"]
    assert Decimal(given["discount"]) == Decimal(given["quantity"]) * Decimal(given["unit_price"])
    assert books.report(books.planted("sample_given")[0])["kind"] == "sample"
    assert books.report(books.planted("replacement_sent")[0])["kind"] == "replacement"
    for truth in books.planted("clearance"):
        assert {line.get("reason") for line in books.report(truth)["lines"] if line["kind"] == "product"} == {
            "clearance"
        }
        assert books.products[truth["subject"]]["status"] == "discontinued"
        assert books.margin(books.reported_line(truth)) < 0


def test_a_mistyped_price_is_far_off_the_customers_own(books: Books) -> None:
    for truth in books.planted("mistyped_price"):
        line = books.reported_line(truth)
        assert len(books.of_subject(truth)) >= 5
        assert line.price < Decimal("0.8") * usual_price(books, truth)
        assert books.margin(line) > FLOOR_MARGIN


def test_an_agreed_price_is_low_and_the_customers_own(books: Books) -> None:
    for truth in books.planted("agreed_price"):
        line = books.reported_line(truth)
        agreement = books.agreements[truth["customer"], truth["subject"]]
        assert line.price == Decimal(agreement["unit_price"])
        assert agreement["valid_from"] < line.day.isoformat() < agreement["valid_to"]
        lately = in_last_quarter(books.of_subject(truth))
        assert len(lately) >= 3
        assert {each.price for each in lately} == {line.price}
        assert line.discount > Decimal("0.15")


def test_a_larger_quantity_has_the_price_of_its_break(books: Books) -> None:
    for truth in books.planted("larger_quantity"):
        line = books.reported_line(truth)
        assert line.quantity > max(each.quantity for each in books.of_subject(truth))
        assert line.quantity >= max(books.breaks[truth["subject"]])
        assert line.price < Decimal("0.96") * usual_price(books, truth)


def test_a_price_cut_is_everybodys(books: Books) -> None:
    for truth in books.planted("list_price_cut"):
        line = books.reported_line(truth)
        assert line.price < Decimal("0.9") * books.of_subject(truth)[-1].price
        assert LAST_DAY - books.of_subject(truth)[-1].day >= timedelta(days=21)
        before: dict[str, list[Decimal]] = defaultdict(list)
        lately: dict[str, list[Decimal]] = defaultdict(list)
        for customer, row in books.customers.items():
            for each in books.by_customer[customer]:
                if each.sku == truth["subject"]:
                    is_late = each.day > LAST_DAY - timedelta(days=21)
                    (lately if is_late else before)[row["currency"]].append(each.listed)
        assert lately
        for currency, prices in lately.items():
            assert max(prices) < Decimal("0.9") * max(before[currency])


def test_a_discount_creeps_a_point_a_month(books: Books) -> None:
    for truth in books.planted("price_erosion"):
        lines, since = books.bought_by(truth), books.since(truth)
        before = discounts([line for line in lines if line.day < since])
        by_month = defaultdict(list)
        for line in lines:
            if line.day >= since:
                by_month[(line.day - since).days // 30].append(line)
        rises = [discounts(each) - before for _, each in sorted(by_month.items())]
        assert 0.06 < rises[-1] < 0.11, truth
        assert rises[0] < 0.02
        assert rises == pytest.approx(sorted(rises), abs=0.01)


def test_a_discount_creeps_on_half_of_the_goods_only(books: Books) -> None:
    for truth in books.planted("erosion_on_half"):
        lately = [line for line in books.bought_by(truth) if line.day > LAST_DAY - timedelta(days=60)]
        crept = sum(line.discount > Decimal("0.05") for line in lately) / len(lately)
        assert 0.25 < crept < 0.8, truth
        assert all(
            line.discount < Decimal("0.04")
            for line in books.bought_by(truth)
            if line.day < books.since(truth)
        )


def test_a_poorer_mix_earns_less_at_the_same_prices(books: Books) -> None:
    for truth in books.planted("poorer_mix"):
        lines, since = books.bought_by(truth), books.since(truth)
        before = [line for line in lines if line.day < since]
        after = [line for line in lines if line.day >= since]
        assert margin_rate(books, after) < margin_rate(books, before) - 0.04, truth
        assert discounts(after) == pytest.approx(discounts(before), abs=0.01)


def test_a_cost_rise_lowers_the_rate_of_all_who_buy_paper(books: Books) -> None:
    for truth in books.planted("cost_rise_for_all"):
        lines = [line for line in books.bought_by(truth) if line.category == "Cleaning"]
        before = margin_rate(books, [line for line in lines if line.day < books.since(truth)])
        assert margin_rate(books, in_last_quarter(lines)) < before - 0.01
        assert discounts(in_last_quarter(lines)) < 0.04


def test_an_odd_discount_is_twice_what_others_get(books: Books) -> None:
    planted = {each["customer"] for each in books.planted("odd_discount")}
    for truth in books.planted("odd_discount"):
        lines = in_last_quarter(books.bought_by(truth))
        skus = {line.sku for line in lines}
        others = [
            float(line.discount)
            for customer, theirs in books.by_customer.items()
            if customer and customer not in planted
            for line in in_last_quarter(theirs)
            if line.sku in skus
        ]
        assert discounts(lines) > 0.12
        assert len(others) >= 10
        assert median(others) < 0.05


def test_a_bulk_buyer_pays_the_break_of_its_quantities(books: Books) -> None:
    for truth in books.planted("bulk_buyer"):
        lines = [line for line in in_last_quarter(books.bought_by(truth)) if books.breaks[line.sku]]
        bulk = [line for line in lines if line.quantity >= max(books.breaks[line.sku])]
        assert len(bulk) >= 4
        assert all(line.price >= Decimal("0.96") * line.listed for line in bulk)


def test_agreed_discounts_and_contracts_are_on_file(books: Books) -> None:
    for situation in ("agreed_discount", "contract_price"):
        for truth in books.planted(situation):
            agreement = books.agreements[truth["customer"], truth["subject"]]
            lately = in_last_quarter(books.of_subject(truth))
            agreed = Decimal(agreement["unit_price"])
            assert agreed in {line.price for line in lately}, truth
            assert all(line.price == min(agreed, line.listed) for line in lately), truth
    leaking = {each["customer"] for each in books.planted("cost_not_passed_on")}
    assert not leaking & {customer for customer, _ in books.agreements}


def test_a_cost_passed_on_is_paid_from_the_twentieth_day(books: Books) -> None:
    for truth in books.planted("cost_passed_on"):
        since = books.since(truth)
        lines = books.of_subject(truth)
        rise = books.cost(truth["subject"], LAST_DAY) - books.cost(
            truth["subject"], since - timedelta(days=1)
        )
        before = [line.price for line in lines if line.day < since][-1]
        kept = {line.price for line in lines if since <= line.day < since + timedelta(days=20)}
        paid = {line.price for line in lines if line.day >= since + timedelta(days=20)}
        assert kept <= {before}
        assert min(paid) - before > Decimal("0.75") * rise, truth
