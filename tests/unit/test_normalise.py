"""What an order is worth, whichever way a sender writes it; and what a body that contradicts itself is told."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.ingest.body import ORDER, OrderBody, parse
from services.ingest.normalise import normalise
from services.ingest.pricing import shares
from services.ingest.source import InvalidOrder, ReadContext
from shared.domain.order import LineKind, Order, decode, digest, encode
from tests.ingest_service import an_order

NOW = datetime(2026, 3, 5, 12, tzinfo=UTC)
CONTEXT = ReadContext("standard", ZoneInfo("Europe/London"), "GBP", NOW)


def read(order: dict[str, Any], context: ReadContext = CONTEXT) -> Order:
    return normalise(OrderBody.model_validate(order), context)


def a_line(**changes: Any) -> dict[str, Any]:
    return {"sku": "A", "quantity": "2", "unit_price": "10", **changes}


def net_of(line: dict[str, Any], **order: Any) -> Decimal:
    return read(an_order(lines=[line], **order)).lines[0].net


@pytest.mark.parametrize(
    ("line", "order", "net"),
    [
        pytest.param(a_line(), {}, "20", id="price times quantity"),
        pytest.param(a_line(discount="1.50"), {}, "18.50", id="less the line's discount"),
        pytest.param(a_line(), {"discount": "5"}, "15", id="less the order's discount"),
        pytest.param(a_line(unit_price=None, net_unit_price="9.25"), {}, "18.50", id="a net price"),
        pytest.param(
            a_line(net_unit_price="9.25", discount="1.50"), {}, "18.50", id="net and gross that agree"
        ),
        pytest.param(
            a_line(tax="3.19"), {"prices_include_tax": True}, "16.81", id="less the tax it includes"
        ),
        pytest.param(
            a_line(quantity="1", unit_price="12", net_unit_price="10", tax="2"),
            {"prices_include_tax": True},
            "10",
            id="both prices, of which one includes tax",
        ),
        pytest.param(
            a_line(quantity="1", unit_price="12", net_unit_price="10", tax_rate="0.2"),
            {"prices_include_tax": True, "discount": "6"},
            "5",
            id="both prices, and half off the order",
        ),
        pytest.param(a_line(tax_rate="0.25"), {"prices_include_tax": True}, "16", id="less tax by its rate"),
        pytest.param(a_line(tax="3.80", tax_rate="0.19"), {}, "20", id="tax on top, told twice alike"),
        pytest.param(a_line(quantity=2, unit_price=0.1), {}, "0.2", id="numbers instead of texts"),
        pytest.param(
            a_line(quantity="-2", discount="1"), {"kind": "return"}, "-19", id="a return, discounted"
        ),
        pytest.param(
            a_line(quantity="2", discount="1"), {"kind": "return"}, "-19", id="a return written positive"
        ),
        pytest.param(a_line(unit_price="0"), {}, "0", id="a free line"),
        pytest.param(a_line(quantity="0"), {}, "0", id="nothing of it"),
    ],
)
def test_a_line_brings_in(line: dict[str, Any], order: dict[str, Any], net: str) -> None:
    assert net_of(line, **order) == Decimal(net)


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        pytest.param({"lines": [a_line(unit_price=None)]}, "#/lines/0", id="a line without a price"),
        pytest.param({"lines": [a_line(sku=" ")]}, "#/lines/0/sku", id="a product without a sku"),
        pytest.param({"lines": [a_line(quantity="-1")]}, "#/lines", id="a sale of nothing but returns"),
        pytest.param({"lines": [a_line(id="1"), a_line(id="1")]}, "#/lines/1/id", id="one line id twice"),
        pytest.param({"lines": [a_line(discount="21")]}, "#/lines/0/discount", id="more discount than worth"),
        pytest.param({"lines": [a_line(discount="-1")]}, "#/lines/0/discount", id="a negative discount"),
        pytest.param({"lines": [a_line(unit_price="-1")]}, "#/lines/0/unit_price", id="a negative price"),
        pytest.param(
            {"lines": [a_line(net_unit_price="7")]}, "#/lines/0/net_unit_price", id="net against gross"
        ),
        pytest.param({"lines": [a_line(tax_rate="19")]}, "#/lines/0/tax_rate", id="a rate in per cent"),
        pytest.param(
            {"lines": [a_line(tax="9", tax_rate="0.19")]}, "#/lines/0/tax", id="a tax that is not its rate"
        ),
        pytest.param({"prices_include_tax": True}, "#/lines/0", id="included tax nobody tells"),
        pytest.param(
            {"prices_include_tax": True, "lines": [a_line(tax="100")]},
            "#/lines/0/tax",
            id="an included tax beyond the amount, which would make a negative sale",
        ),
        pytest.param(
            {"prices_include_tax": True, "lines": [a_line(tax="-3")]},
            "#/lines/0/tax",
            id="a negative tax that would add to the amount",
        ),
        pytest.param(
            {"lines": [a_line(units_per_pack="0")]}, "#/lines/0/units_per_pack", id="packs of nothing"
        ),
        pytest.param({"lines": [a_line(cost="-1")]}, "#/lines/0/cost", id="a negative cost"),
        pytest.param({"discount": "99"}, "#/discount", id="more order discount than lines"),
        pytest.param({"ordered_at": "1989-12-31T12:00:00Z"}, "#/ordered_at", id="before 1990"),
        pytest.param({"ordered_at": "2026-03-07T00:00:00Z"}, "#/ordered_at", id="after tomorrow"),
    ],
)
def test_a_contradiction_is_named_where_it_stands(changes: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InvalidOrder) as caught:
        read(an_order(**changes))
    assert [fault.as_json()["pointer"] for fault in caught.value.faults] == [pointer]


@pytest.mark.parametrize("moment", [1764000000, 1764000000.5, "1764000000", "-1764000000.5"])
def test_a_number_is_no_time(moment: object) -> None:
    with pytest.raises(ValidationError, match="write a time as 2026-01-31T09:00:00Z"):
        read(an_order(ordered_at=moment))


def test_every_contradiction_is_named_at_once() -> None:
    lines = [a_line(unit_price=None), a_line(sku=None)]
    with pytest.raises(InvalidOrder) as caught:
        read(an_order(ordered_at="1900-01-01T00:00:00Z", lines=lines))
    pointers = {fault.as_json()["pointer"] for fault in caught.value.faults}
    assert pointers == {"#/ordered_at", "#/lines/0", "#/lines/1/sku"}


@pytest.mark.parametrize(
    "totals",
    [
        pytest.param({"subtotal": "40", "total": "35"}, id="subtotal before discounts"),
        pytest.param({"subtotal": "35", "discount": "5", "total": "41.65"}, id="total with tax"),
        pytest.param({"tax": "6.65", "total": "41.65"}, id="tax and total"),
    ],
)
def test_totals_may_mean_what_senders_mean_by_them(totals: dict[str, str]) -> None:
    lines = [a_line(tax="3.80"), a_line(discount="5", tax="2.85")]
    assert read(an_order(lines=lines, totals=totals)).net == Decimal(35)


def test_base_quantities_and_costs_are_per_unit() -> None:
    line = read(an_order(lines=[a_line(units_per_pack="6", cost="4.50")])).lines[0]
    assert (line.quantity, line.unit_cost) == (Decimal(12), Decimal("0.75"))


@pytest.mark.parametrize(
    "told",
    [
        pytest.param({"tax_rate": "0.2"}, id="a rate"),
        pytest.param({"tax": "4"}, id="an amount"),
        pytest.param({"tax": "4", "tax_rate": "0.2"}, id="both"),
    ],
)
@pytest.mark.parametrize("kind", ["sale", "return"])
def test_freight_loses_the_tax_its_lines_tell(told: dict[str, str], kind: str) -> None:
    lines = [a_line(unit_price="12", **told)]
    order = read(an_order(kind=kind, lines=lines, freight="6", prices_include_tax=True))
    assert [abs(line.net) for line in order.lines] == [Decimal(20), Decimal(5)]


@pytest.mark.parametrize(
    ("totals", "flag"),
    [
        ({"total": "99"}, "total 99 is not what the lines make"),
        ({"subtotal": "99"}, "subtotal 99 is not what the lines make"),
    ],
)
def test_totals_that_differ_are_a_flag_and_no_other_order(totals: dict[str, str], flag: str) -> None:
    order = read(an_order(totals=totals))
    assert [each.partition(":")[0] for each in order.flags] == [flag]
    assert digest(order) == digest(read(an_order()))


def test_a_line_without_a_sku_is_named_by_the_upstream_s_product_id() -> None:
    lines = [a_line(sku=None, product_id=632910392), a_line(sku="B", product_id="7")]
    assert [line.sku for line in read(an_order(lines=lines)).lines] == ["632910392", "B"]


def test_freight_keeps_its_amount_where_the_lines_cancel_out() -> None:
    lines = [
        a_line(quantity="1", unit_price="100000000000", tax="0"),
        a_line(quantity="-1", unit_price=None, net_unit_price="99999999999.9998", tax="0.0001"),
    ]
    order = read(an_order(lines=lines, freight="99999999999", prices_include_tax=True))
    assert order.lines[-1].net == Decimal(99999999999)


def test_freight_is_a_line_of_its_own() -> None:
    order = read(an_order(freight="4.90"))
    assert [(line.kind, line.net) for line in order.lines[1:]] == [(LineKind.FREIGHT, Decimal("4.90"))]


def test_the_order_discount_is_borne_by_products() -> None:
    lines = [a_line(), a_line(kind="freight", sku=None, unit_price="5")]
    nets = [line.net for line in read(an_order(lines=lines, discount="3")).lines]
    assert nets == [Decimal(17), Decimal(10)]


def test_a_time_without_offset_is_read_in_the_connection_s_zone() -> None:
    assert read(an_order(ordered_at="2025-07-01T12:00:00")).ordered_at == datetime(2025, 7, 1, 11, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "envelope_at", "version"),
    [
        pytest.param({"version": 7, "updated_at": "2026-01-01T00:00:00Z"}, NOW, 7, id="its version"),
        pytest.param({"updated_at": "1970-01-01T00:00:02Z"}, NOW, 2_000_000, id="when it was updated"),
        pytest.param({}, datetime(1970, 1, 1, 0, 0, 3, tzinfo=UTC), 3_000_000, id="the envelope's time"),
        pytest.param({}, None, 1_772_712_000_000_000, id="the time of context"),
    ],
)
def test_which_reading_is_newer_is_told_by(
    changes: dict[str, Any], envelope_at: datetime | None, version: int
) -> None:
    order = an_order(**({"version": None} | changes))
    context = ReadContext("standard", ZoneInfo("UTC"), "GBP", NOW, envelope_at)
    assert read(order, context).version == version


def test_nothing_but_content_makes_the_digest() -> None:
    one = read(an_order())
    same = read(
        an_order(
            version=2,
            note="ignored",
            status=None,
            ordered_at="2026-03-02T09:00:00Z",
            lines=[{"id": "l1", "sku": " A ", "quantity": 3, "unit_price": 2.5, "kind": None}],
        )
    )
    assert digest(one) == digest(same)
    assert digest(one) != digest(read(an_order(number="other")))


def test_text_is_composed_and_free_of_control_characters() -> None:
    line = read(an_order(lines=[a_line(title="Cafe\u0301\u0007 \u0000x ")])).lines[0]
    assert line.title == "Café x"


def test_a_missing_currency_is_the_company_s() -> None:
    assert read(an_order(currency=None)).currency == "GBP"


AMOUNTS = st.decimals("0.01", "100000", places=2)


@given(st.lists(AMOUNTS, min_size=1, max_size=40), st.integers(0, 100))
def test_shares_of_a_discount_add_up_to_it(weights: list[Decimal], percent: int) -> None:
    whole = (sum(weights, Decimal(0)) * percent / 100).quantize(Decimal("0.0001"))
    parts = shares(whole, weights)
    assert sum(parts, Decimal(0)) == whole
    exact = [whole * weight / sum(weights, Decimal(0)) for weight in weights]
    assert all(abs(part - each) <= Decimal("0.0001") for part, each in zip(parts, exact, strict=True))


@given(
    st.lists(st.tuples(st.integers(1, 500), AMOUNTS), min_size=1, max_size=12),
    st.text(max_size=20),
    st.timedeltas(timedelta(0), timedelta(days=900)),
)
def test_an_order_survives_its_encoding(
    bought: list[tuple[int, Decimal]], title: str, ago: timedelta
) -> None:
    lines = [a_line(quantity=quantity, unit_price=str(price), title=title) for quantity, price in bought]
    order = read(an_order(lines=lines, ordered_at=(NOW - ago).isoformat()))
    assert decode(encode(order)) == order
    assert digest(decode(encode(order))) == digest(order)


@pytest.mark.parametrize(
    ("raw", "details"),
    [
        pytest.param(b"[]", {"#": "an object is needed here"}, id="a list for an order"),
        pytest.param(
            b'{"id": "1", "ordered_at": "2026-03-02T10:00:00Z", "lines": [5], "customer": []}',
            {"#/lines/0": "an object is needed here", "#/customer": "an object is needed here"},
            id="a number for a line, a list for a customer",
        ),
    ],
)
def test_what_is_no_object_is_told_without_names_of_our_code(raw: bytes, details: dict[str, str]) -> None:
    with pytest.raises(InvalidOrder) as caught:
        parse(ORDER, raw)
    assert {fault.pointer: fault.detail for fault in caught.value.faults} == details
