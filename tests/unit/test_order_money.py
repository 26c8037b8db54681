"""What an order is worth in all, against plain arithmetic that shares no code with the product."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from services.ingest.body import OrderBody
from services.ingest.normalise import normalise
from services.ingest.source import InvalidOrder, ReadContext
from shared.domain.order import LARGEST_AMOUNT, Order
from tests.ingest_service import an_order

NOW = datetime(2026, 3, 5, 12, tzinfo=UTC)
CONTEXT = ReadContext("standard", ZoneInfo("UTC"), "EUR", NOW)
BIG = "99999999999"


def read(order: dict[str, Any]) -> Order:
    return normalise(OrderBody.model_validate(order), CONTEXT)


def a_line(quantity: object, unit_price: object, **changes: Any) -> dict[str, Any]:
    return {"sku": "A", "quantity": quantity, "unit_price": unit_price, **changes}


def a_fee(amount: str, kind: str = "fee") -> dict[str, Any]:
    return a_line("1", amount, kind=kind, sku=None)


@pytest.mark.parametrize(
    ("lines", "freight", "net"),
    [
        pytest.param([a_line("2", "100"), a_fee("-15")], None, "-185", id="goods positive, a fee kept back"),
        pytest.param([a_line("-2", "100"), a_fee("15")], None, "-185", id="goods negative, a fee kept back"),
        pytest.param([a_line("2", "100"), a_line("-1", "0.01")], None, "-199.99", id="a rounding line"),
        pytest.param([a_line("2", "100"), a_fee("-15")], "10", "-195", id="freight given back too"),
        pytest.param([a_line("2", "100"), a_fee("8", "freight")], None, "-208", id="freight as a line"),
        pytest.param([a_line("2", "100")], None, "-200", id="all positive"),
        pytest.param([a_line("-2", "100")], None, "-200", id="all negative"),
        pytest.param([a_fee("-15")], None, "-15", id="a fee alone stands as written"),
    ],
)
@pytest.mark.parametrize("kind", ["return", "credit"])
def test_a_return_is_worth(kind: str, lines: list[dict[str, Any]], freight: str | None, net: str) -> None:
    assert read(an_order(kind=kind, lines=lines, freight=freight)).net == Decimal(net)


@dataclass(frozen=True)
class Written:
    """A line of a generated order, in whole cents."""

    kind: str
    quantity: int
    price: int
    discount_percent: int

    @property
    def discount(self) -> int:
        return abs(self.quantity * self.price) * self.discount_percent // 100

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "sku": "A" if self.kind == "product" else None,
            "quantity": self.quantity,
            "unit_price": f"{Fraction(self.price, 100).__float__():.2f}",
            "discount": f"{self.discount / 100:.2f}",
        }


LINES = st.builds(
    Written,
    st.sampled_from(["product", "product", "product", "fee", "freight", "manual"]),
    st.integers(-9, 9).filter(bool),
    st.integers(0, 99_999),
    st.integers(0, 100),
)


def plain_total(kind: str, lines: list[Written], freight: int) -> int:
    """The order's worth in cents, by ORDERS: line by line, then the sign of a return by its goods."""
    total = goods = 0
    for line in lines:
        amount = line.quantity * line.price
        amount = amount + line.discount if amount < 0 else amount - line.discount
        total += amount
        goods += 0 if line.kind in ("fee", "freight") else amount
    total += freight
    return -total if kind in ("return", "credit") and goods > 0 else total


@given(
    st.sampled_from(["return", "credit", "sale", "adjustment"]),
    st.lists(LINES, min_size=1, max_size=6),
    st.integers(0, 5000),
)
@settings(max_examples=300)
def test_an_order_is_worth_what_plain_arithmetic_says(kind: str, lines: list[Written], freight: int) -> None:
    if kind == "sale" and max(line.quantity for line in lines) < 0:
        kind = "adjustment"
    order = an_order(kind=kind, lines=[line.as_json() for line in lines], freight=f"{freight / 100:.2f}")
    assert read(order).net * 100 == plain_total(kind, lines, freight)


EXTREMES = st.sampled_from([
    "0", "1", "-1", "-30", "1e-30", "0.00001", "0.3333333333333333333333333333", BIG, f"-{BIG}", f"{BIG}.99999999999",
    "1e11", "100", "0.19", "2",
])  # fmt: skip
AMOUNTS = ("unit_price", "net_unit_price", "discount", "tax", "tax_rate", "cost", "units_per_pack")
EXTREME_LINES = st.fixed_dictionaries(
    {"sku": st.just("A"), "quantity": EXTREMES}, optional=dict.fromkeys(AMOUNTS, EXTREMES)
)


@given(
    order=st.fixed_dictionaries(
        {
            "lines": st.lists(EXTREME_LINES, max_size=3),
            "kind": st.sampled_from(["sale", "return", "adjustment"]),
        },
        optional={"discount": EXTREMES, "freight": EXTREMES, "prices_include_tax": st.booleans()},
    )
)
def test_whatever_the_numbers_an_order_is_refused_or_fits_its_columns(order: dict[str, Any]) -> None:
    try:
        taken = read({"id": "o1", "ordered_at": "2026-03-02T10:00:00Z", **order})
    except (InvalidOrder, ValidationError):
        return
    assert abs(taken.net) < LARGEST_AMOUNT
    for line in taken.lines:
        assert max(abs(line.net), abs(line.quantity), line.unit_cost or 0) <= LARGEST_AMOUNT
        assert not line.quantity or abs(line.net / line.quantity) <= LARGEST_AMOUNT


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        pytest.param(
            {"lines": [a_line("1", None, net_unit_price="-30")]}, "/lines/0/net_unit_price", id="net price"
        ),
        pytest.param({"lines": [a_line(BIG, BIG)]}, "/lines/0", id="a product of two numbers"),
        pytest.param({"lines": [a_line("6", BIG), a_line("6", BIG)]}, "/lines", id="a sum"),
        pytest.param({"lines": [a_line("0.01", None, net_unit_price=BIG, units_per_pack="0.01")]}, "/lines/0",
                     id="a price of one base unit"),
        pytest.param({"lines": [a_line(BIG, "0", units_per_pack="100")]}, "/lines/0/quantity", id="base units"),
        pytest.param({"lines": [a_line(BIG, "0"), *[a_line(BIG, "0")] * 10]}, "/lines", id="a sum of quantities"),
        pytest.param(
            {"lines": [a_line("1", "1", cost=BIG, units_per_pack="0.001")]}, "/lines/0/cost", id="cost of one"
        ),
        pytest.param({"freight": "999999999999", "lines": [a_line("1", "1")]}, "/lines", id="freight on top"),
    ],
)  # fmt: skip
def test_an_amount_that_cannot_be_worked_with_is_a_fault(changes: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InvalidOrder) as caught:
        read(an_order(**changes))
    assert f"#{pointer}" in [fault.as_json()["pointer"] for fault in caught.value.faults]


@pytest.mark.parametrize(
    "number", ["1_000", "\uff11\uff12", "٣", True, "1e12", "NaN", "Infinity", "", "0x1F"]
)
def test_a_number_is_written_in_one_way(number: object) -> None:
    with pytest.raises(ValidationError):
        read(an_order(lines=[a_line(number, "1")]))


@pytest.mark.parametrize("version", [True, False, "1_0", "\uff11", -1, 1.5])
def test_a_version_is_a_whole_number(version: object) -> None:
    with pytest.raises(ValidationError):
        read(an_order(version=version))


@pytest.mark.parametrize("currency", ["ZZZ", "eur", "XXX", "EURO"])
def test_a_currency_is_one_of_iso_4217(currency: str) -> None:
    with pytest.raises(ValidationError):
        read(an_order(currency=currency))


@pytest.mark.parametrize(
    ("given", "status"), [("Blocked", "blocked"), (" CLOSED ", "closed"), ("active", "active"), ("", None)]
)
def test_the_case_of_a_customer_s_status_does_not_matter(given: str, status: str | None) -> None:
    customer = read(an_order(customer={"id": "c1", "status": given})).customer
    assert customer is not None
    assert customer.status == status


@pytest.mark.parametrize("status", ["gesperrt", "inactive", "block", 1])
def test_an_unknown_status_of_a_customer_is_a_fault(status: object) -> None:
    with pytest.raises(ValidationError) as caught:
        read(an_order(customer={"id": "c1", "status": status}))
    assert [error["loc"] for error in caught.value.errors()] == [("customer", "status")]
