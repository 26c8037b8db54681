"""Why an order is skipped: one case each."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from msgspec import structs

from services.scoring.detect import skip_reason
from services.scoring.facts import CustomerFacts
from shared.domain.order import CustomerRef, Line, LineKind, Order, OrderKind, OrderStatus

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
ACME = CustomerFacts(7, "Acme")
SALE = Order(
    source="standard",
    id="1",
    version=1,
    ordered_at=NOW,
    currency="GBP",
    lines=(Line("1", LineKind.PRODUCT, Decimal(1), Decimal(5), sku="A"),),
    customer=CustomerRef("acme"),
)


def test_a_sale_to_an_account_is_looked_at() -> None:
    assert skip_reason(SALE, ACME, NOW) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param({"is_test": True}, "a test order", id="a test order"),
        pytest.param({"status": OrderStatus.DRAFT}, "a draft order", id="a draft"),
        pytest.param({"status": OrderStatus.CANCELLED}, "a cancelled order", id="a cancelled order"),
        pytest.param({"kind": OrderKind.RETURN}, "a return", id="a return"),
        pytest.param({"kind": OrderKind.CREDIT}, "a credit", id="a credit"),
        pytest.param({"kind": OrderKind.SAMPLE}, "a sample", id="a sample"),
        pytest.param({"kind": OrderKind.REPLACEMENT}, "a replacement", id="a replacement"),
        pytest.param({"kind": OrderKind.ADJUSTMENT}, "an adjustment", id="an adjustment"),
        pytest.param(
            {"ordered_at": NOW - timedelta(days=3, seconds=1)}, "more than 3 days old", id="a late order"
        ),
        pytest.param(
            {"ordered_at": NOW + timedelta(hours=1)},
            "ahead of the business clock",
            id="an order of the future",
        ),
        pytest.param(
            {"customer": CustomerRef("acme", internal=True)},
            "an internal customer",
            id="a customer called internal",
        ),
        pytest.param(
            {"customer": CustomerRef("acme", status="blocked")},
            "a blocked customer",
            id="a customer called blocked",
        ),
    ],
)
def test_skips(change: dict[str, Any], reason: str) -> None:
    assert skip_reason(structs.replace(SALE, **change), ACME, NOW) == reason


@pytest.mark.parametrize(
    ("customer", "reason"),
    [
        pytest.param(None, "a guest", id="a guest"),
        pytest.param(replace(ACME, is_internal=True), "an internal customer", id="an internal customer"),
        pytest.param(replace(ACME, status="blocked"), "a blocked customer", id="a blocked customer"),
        pytest.param(replace(ACME, status="closed"), "a closed customer", id="a closed customer"),
    ],
)
def test_skips_orders_of(customer: CustomerFacts | None, reason: str) -> None:
    order = SALE if customer else structs.replace(SALE, customer=None)
    assert skip_reason(order, customer, NOW) == reason


def test_skips_imported_history() -> None:
    assert skip_reason(SALE, ACME, NOW, is_history=True) == "history import"


@pytest.mark.parametrize(
    "ordered_at",
    [
        pytest.param(NOW - timedelta(days=3), id="three days behind"),
        pytest.param(NOW + timedelta(minutes=5), id="within a shop's clock error"),
    ],
)
def test_looks_at_an_order(ordered_at: datetime) -> None:
    assert skip_reason(structs.replace(SALE, ordered_at=ordered_at), ACME, NOW) is None


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        pytest.param(
            (Line("1", LineKind.FREIGHT, Decimal(1), Decimal(5)),), "no product lines", id="freight alone"
        ),
        pytest.param(
            (
                Line("1", LineKind.PRODUCT, Decimal(3), Decimal(0), sku="A"),
                Line("2", LineKind.MANUAL, Decimal(1), Decimal(90)),
            ),
            "zero-price lines with a manual total",
            id="goods whose price stands in a manual total",
        ),
    ],
)
def test_skips_an_order_of_lines_that_no_kind_can_look_at(lines: tuple[Line, ...], reason: str) -> None:
    assert skip_reason(structs.replace(SALE, lines=lines), ACME, NOW) == reason


def test_skips_an_order_in_a_currency_without_a_rate() -> None:
    assert (
        skip_reason(structs.replace(SALE, currency="ZZZ"), ACME, NOW, has_rate=False)
        == "no exchange rate for ZZZ"
    )
