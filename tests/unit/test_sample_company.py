"""The sample company is the same for the same seed, believable, and of the promised size."""

import csv
import json
from collections import Counter, defaultdict
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from deploy.sample import SampleFiles, generate
from deploy.sample.company import found_company
from deploy.sample.situations import BILL, STRICT_BILL
from tests.sample_books import TODAY

Row = dict[str, str]


def rows(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def orders(sample: SampleFiles) -> list[Row]:
    return rows(sample.orders)


@pytest.fixture(scope="module")
def last_day(sample: SampleFiles) -> list[dict[str, Any]]:
    return [json.loads(line) for line in sample.last_day.read_text("utf-8").splitlines()]


def net(row: Row) -> Decimal:
    return Decimal(row["quantity"]) * Decimal(row["unit_price"]) - Decimal(row["discount"] or 0)


def is_sale(row: Row) -> bool:
    return row["order_kind"] == "sale" and row["order_status"] == "confirmed" and row["test"] == "false"


def day_of(row: Row) -> date:
    return datetime.fromisoformat(row["ordered_at"]).date()


def test_the_same_seed_and_day_write_the_same_bytes(sample: SampleFiles, tmp_path: Path) -> None:
    generate(tmp_path, TODAY, 7)
    for path in sorted(tmp_path.iterdir()):
        assert path.read_bytes() == (sample.orders.parent / path.name).read_bytes(), path.name


def test_another_day_is_the_same_company_shifted() -> None:
    one, other = found_company(7, TODAY), found_company(7, date(2025, 6, 10))
    assert (other.first_day, other.last_day) == (date(2023, 6, 10), date(2025, 6, 9))
    assert [each.name for each in one.customers] == [each.name for each in other.customers]
    assert [each.prices[-1].amount for each in one.catalogue.products] == [
        each.prices[-1].amount for each in other.catalogue.products
    ]
    assert {id_: part.situation for id_, part in one.parts.items()} == {
        id_: part.situation for id_, part in other.parts.items()
    }


def test_another_seed_is_another_company() -> None:
    assert found_company(8, TODAY).customers != found_company(7, TODAY).customers


def test_it_has_the_promised_size(
    sample: SampleFiles, orders: list[Row], last_day: list[dict[str, Any]]
) -> None:
    assert len(rows(sample.customers)) == 602
    assert 750 <= len(rows(sample.products)) <= 850
    assert len(rows(sample.reps)) == 11
    assert 60_000 <= len(orders) <= 90_000
    assert 40 <= len({each["id"] for each in last_day}) <= 85


def test_every_number_is_a_decimal_and_every_reference_is_known(
    sample: SampleFiles, orders: list[Row]
) -> None:
    known = {row["id"] for row in rows(sample.customers)}
    skus = {row["id"] for row in rows(sample.products)}
    for row in orders:
        Decimal(row["quantity"]), net(row)
        assert not row["customer_id"] or row["customer_id"] in known
        assert (row["sku"] in skus) == (row["line_kind"] == "product")


def test_no_discount_is_negative_on_a_sale(orders: list[Row], last_day: list[dict[str, Any]]) -> None:
    """An import refuses an order with one."""
    for row in orders:
        assert Decimal(row["discount"] or 0) * Decimal(row["quantity"]) >= 0, row
    for order in last_day:
        for line in order["lines"]:
            assert Decimal(line.get("discount", 0)) * Decimal(line["quantity"]) >= 0, order["id"]


def test_nothing_is_dated_on_the_last_day_or_after_it_in_the_history(orders: list[Row]) -> None:
    days = [day_of(row) for row in orders]
    assert min(days) >= date(2024, 11, 22)
    assert max(days) < date(2026, 11, 21)


def test_history_is_ordered_and_the_versions_of_an_order_stand_together(orders: list[Row]) -> None:
    moments = [datetime.fromisoformat(row["ordered_at"]) for row in orders]
    assert moments == sorted(moments)
    heads = [(row["order_id"], int(row["version"])) for row in orders]
    changes = [head for head, before in zip(heads[1:], heads, strict=False) if head != before]
    assert len(changes) == len(set(changes))
    assert any(version == 2 for _, version in heads)


def test_working_days_are_alike_and_weekends_are_quiet(orders: list[Row]) -> None:
    on = Counter(day_of(row).weekday() for row in orders if is_sale(row))
    working = [on[weekday] for weekday in range(5)]
    assert max(working) < 1.4 * min(working)
    assert on[5] < 0.2 * min(working)
    assert on[6] == 0


def test_a_fifth_of_the_customers_makes_most_of_the_revenue(orders: list[Row]) -> None:
    revenue: dict[str, Decimal] = defaultdict(Decimal)
    for row in orders:
        if is_sale(row) and row["customer_id"]:
            revenue[row["customer_id"]] += net(row)
    ranked = sorted(revenue.values(), reverse=True)
    assert Decimal("0.6") < sum(ranked[: len(ranked) // 5]) / sum(ranked) < Decimal("0.75")


def test_heating_sells_in_winter_and_the_garden_in_summer(orders: list[Row]) -> None:
    sold: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for row in orders:
        month = day_of(row).month
        half = "summer" if 5 <= month <= 8 else "winter" if month in (11, 12, 1, 2) else "between"
        sold[row["category"], half] += net(row)
    assert sold["Heating", "winter"] > 2 * sold["Heating", "summer"]
    assert sold["Garden and grounds", "summer"] > Decimal("1.5") * sold["Garden and grounds", "winter"]


def test_most_lines_are_bought_again_by_the_same_customer(orders: list[Row]) -> None:
    seen: set[tuple[str, str]] = set()
    repeated = 0
    lines = [row for row in orders if is_sale(row) and row["customer_id"] and row["sku"]]
    for row in lines:
        repeated += (row["customer_id"], row["sku"]) in seen
        seen.add((row["customer_id"], row["sku"]))
    assert 0.6 < repeated / len(lines) < 0.9


def test_returns_point_at_a_line_that_was_sold_or_at_nothing(orders: list[Row]) -> None:
    sold = {(row["order_id"], row["line_id"]): row for row in orders if row["order_kind"] == "sale"}
    returns = [row for row in orders if row["order_kind"] == "return"]
    linked = [row for row in returns if row["returns_order_id"]]
    assert 0.6 < len(linked) / len(returns) < 0.95
    for row in linked:
        original = sold[row["returns_order_id"], row["returns_line_id"]]
        assert original["sku"] == row["sku"]
        assert 0 < -Decimal(row["quantity"]) <= Decimal(original["quantity"])
    assert all(net(row) < 0 for row in returns)


def test_every_way_an_order_can_be_is_there(orders: list[Row]) -> None:
    assert {row["order_kind"] for row in orders} == {"sale", "return", "credit", "sample"}
    assert {row["order_status"] for row in orders} == {"confirmed", "cancelled"}
    assert {row["test"] for row in orders} == {"true", "false"}
    assert {row["currency"] for row in orders} == {"EUR", "GBP"}
    assert {row["line_kind"] for row in orders} == {"product", "freight", "manual"}
    assert any(not row["customer_id"] for row in orders)
    assert any(Decimal(row["units_per_pack"]) > 1 for row in orders)
    assert any(row["order_discount"] for row in orders)


def test_the_last_day_runs_through_the_day_with_an_edit_a_repeat_and_a_cancellation(
    last_day: list[dict[str, Any]],
) -> None:
    first = [each for at, each in enumerate(last_day) if each["version"] == 1 and each not in last_day[:at]]
    moments = [datetime.fromisoformat(each["ordered_at"]) for each in first]
    assert moments == sorted(moments)
    assert all(moment.date() == date(2026, 11, 21) and moment.tzinfo for moment in moments)
    assert len([each for at, each in enumerate(last_day) if each in last_day[:at]]) == 1
    assert sorted(each["status"] for each in last_day if each["version"] == 2) == ["cancelled", "confirmed"]
    for at, each in enumerate(last_day):
        if each["version"] == 2:
            assert any(before["id"] == each["id"] and before["version"] == 1 for before in last_day[:at])


def test_prices_end_like_shelf_prices_and_lie_above_cost(sample: SampleFiles) -> None:
    cost = {row["product_id"]: Decimal(row["cost"]) for row in rows(sample.costs)}
    for row in rows(sample.products):
        price = Decimal(row["list_price"])
        assert price % Decimal("0.5") == Decimal("0.45")
        assert Decimal("0.1") < 1 - cost[row["id"]] / price < Decimal("0.65"), row["name"]


def test_every_customer_but_a_few_has_a_rep_and_there_is_one_default_owner(sample: SampleFiles) -> None:
    reps = rows(sample.reps)
    assert [row["id"] for row in reps if row["default_owner"] == "true"] == ["R00"]
    assert all(row["email"].endswith("@sample.example") for row in reps)
    assert {row["rep_id"] for row in rows(sample.territories)} == {row["id"] for row in reps} - {"R00"}
    nobodys = [row for row in rows(sample.customers) if not row["territory_id"]]
    assert 0 < len(nobodys) < 30


def test_every_situation_is_played_whatever_the_day() -> None:
    wanted = sum(count for _, count, _ in (*STRICT_BILL, *BILL))
    for month in (2, 5, 8, 11):
        parts = found_company(7, date(2026, month, 28)).parts.values()
        assert len([part for part in parts if not part.situation.startswith("branch_of")]) == wanted
