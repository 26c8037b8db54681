"""Price agreements, contacts and holds over the API: all rows of a request, or none, and each fault named."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text
from werkzeug.test import TestResponse

from services.ingest.facts import BODIES, MOST_ROWS
from services.ingest.imports.entities import ENTITIES
from shared.db import Database
from tests.ingest_service import Ingest, ingest_on

AGREEMENT = {"customer_id": "c1", "product_id": "A", "unit_price": "8.50", "valid_from": "2026-01-01"}
CONTACT = {
    "id": "k1",
    "customer_id": "c1",
    "at": "2026-01-05T10:00:00+01:00",
    "channel": "phone",
    "by": "Ann",
}
HOLD = {"customer_id": "c1", "kind": "complaint", "valid_from": "2026-01-05", "note": "Wrong colour"}


@pytest.fixture
def ingest(database: Database, database_url: str) -> Ingest:
    """The service of a company whose ERP named one customer and one product."""
    with database.transaction() as connection:
        for statement in (
            "INSERT INTO customer (name) VALUES ('Contoso')",
            "INSERT INTO customer_ref VALUES ('erp', 'c1', 1)",
            "INSERT INTO product (name) VALUES ('Drill')",
            "INSERT INTO product_ref VALUES ('erp', 'A', 1)",
        ):
            connection.execute(text(statement))
    return ingest_on(database, database_url)


def post(ingest: Ingest, kind: str, *rows: Any, source: str = "erp") -> TestResponse:
    token = ingest.token("facts:write", source=source)
    return ingest.client.post("/v1/facts", json={"kind": kind, "rows": rows}, headers=token)


def faults(answer: TestResponse) -> dict[str, str]:
    """Details by pointer."""
    assert (answer.status_code, answer.content_type) == (422, "application/problem+json"), answer.data
    return {each["pointer"]: each["detail"] for each in answer.get_json()["errors"]}


def stored(ingest: Ingest, query: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in ingest.rows(query)]


def test_facts_are_taken_and_brought_up_to_date(ingest: Ingest) -> None:
    for kind, first, second in (
        ("price-agreements", AGREEMENT, AGREEMENT | {"unit_price": 8.4, "valid_to": "2026-12-31"}),
        ("contacts", CONTACT, CONTACT | {"result": "won", "by": " "}),
        ("holds", HOLD, {**HOLD, "valid_to": "2026-01-09", "note": None}),
    ):
        for row in (first, second, second):
            answer = post(ingest, kind, row)
            assert (answer.status_code, answer.get_json()) == (200, {"kind": kind, "rows": 1})
    assert stored(
        ingest, "SELECT customer_id, product_id, unit_price, currency, valid_to FROM price_agreement"
    ) == [(1, 1, Decimal("8.4"), "EUR", date(2026, 12, 31))]
    at = "to_char(at AT TIME ZONE 'UTC', 'HH24:MI')"
    assert stored(ingest, f"SELECT source, {at}, channel, made_by, result FROM contact") == [
        ("erp", "09:00", "phone", "Ann", "won")
    ]
    assert stored(ingest, "SELECT kind, valid_to, note FROM hold") == [
        ("complaint", date(2026, 1, 9), "Wrong colour")
    ]


def test_an_agreement_with_a_segment_about_a_category_is_one_of_its_own(ingest: Ingest) -> None:
    wide = {"segment": "trade", "category": "Tools", "unit_price": 7, "currency": "GBP"}
    assert post(ingest, "price-agreements", AGREEMENT, wide, wide | {"currency": "EUR"}).status_code == 200
    wide_ones = (
        "SELECT currency, valid_from FROM price_agreement WHERE segment = 'trade' AND category = 'Tools'"
    )
    assert stored(ingest, f"{wide_ones} ORDER BY currency") == [
        ("EUR", date(1990, 1, 1)),
        ("GBP", date(1990, 1, 1)),
    ]
    assert stored(ingest, "SELECT count(*) FROM price_agreement") == [(3,)]


def test_every_fault_is_named_and_nothing_is_stored(ingest: Ingest) -> None:
    answer = post(
        ingest,
        "price-agreements",
        AGREEMENT,
        AGREEMENT | {"unit_price": "many", "valid_from": "5.1.2026", "until": "soon"},
        AGREEMENT | {"segment": "trade", "valid_to": "2025-12-31"},
        {"unit_price": "0.00001", "currency": "EURO"},
    )
    named = faults(answer)
    assert named.keys() == {
        "#/rows/1/unit_price",
        "#/rows/1/valid_from",
        "#/rows/1/until",
        "#/rows/2",
        "#/rows/3/unit_price",
        "#/rows/3/currency",
    }
    assert named["#/rows/1/valid_from"] == "write a day as 2026-01-31"
    assert named["#/rows/2"] == ("valid_to is before valid_from; customer_id and segment exclude each other")
    assert stored(ingest, "SELECT count(*) FROM price_agreement") == [(0,)]


def test_what_no_one_knows_and_what_is_said_twice_is_named(ingest: Ingest) -> None:
    answer = post(
        ingest,
        "price-agreements",
        AGREEMENT,
        AGREEMENT | {"currency": "EUR", "unit_price": 9},
        AGREEMENT | {"customer_id": "c9", "product_id": "Z"},
        AGREEMENT | {"customer_id": " c1 ", "currency": "GBP"},
    )
    assert faults(answer) == {
        "#/rows/1": "the same customer_id and segment and product_id and category and currency and valid_from"
        " stands in an earlier row",
        "#/rows/2/customer_id": "“c9” is not known",
        "#/rows/2/product_id": "“Z” is not known",
    }
    assert stored(ingest, "SELECT count(*) FROM price_agreement") == [(0,)]


def test_ids_are_those_of_the_token_s_source(ingest: Ingest) -> None:
    assert faults(post(ingest, "holds", HOLD, source="shop")) == {"#/rows/0/customer_id": "“c1” is not known"}


@pytest.mark.parametrize(
    ("kind", "row", "pointer"),
    [
        pytest.param("holds", HOLD | {"kind": "strike"}, "#/rows/0/kind", id="an unknown kind of hold"),
        pytest.param("holds", HOLD | {"valid_from": 20260105}, "#/rows/0/valid_from", id="a number for a day"),
        pytest.param("holds", HOLD | {"valid_from": "1889-01-05"}, "#/rows/0/valid_from", id="a day long ago"),
        pytest.param("holds", HOLD | {"valid_from": "2026-02-30"}, "#/rows/0/valid_from", id="no day"),
        pytest.param("holds", HOLD | {"customer_id": "  "}, "#/rows/0/customer_id", id="nobody"),
        pytest.param("holds", HOLD | {"note": "n" * 4001}, "#/rows/0/note", id="a novel"),
        pytest.param("holds", "complaint", "#/rows/0", id="a row that is a word"),
        pytest.param("contacts", CONTACT | {"at": "yesterday"}, "#/rows/0/at", id="no time"),
        pytest.param("contacts", CONTACT | {"at": 1767606000}, "#/rows/0/at", id="seconds since somewhen"),
        pytest.param("contacts", CONTACT | {"at": "0001-01-01T00:00:00Z"}, "#/rows/0", id="a time long ago"),
        pytest.param("contacts", {"id": "k1", "at": "2026-01-05"}, "#/rows/0/customer_id", id="with nobody"),
        pytest.param("price-agreements", AGREEMENT | {"unit_price": -1}, "#/rows/0/unit_price", id="a price below 0"),
        pytest.param("price-agreements", AGREEMENT | {"unit_price": True}, "#/rows/0/unit_price", id="a true price"),
        pytest.param("price-agreements", AGREEMENT | {"unit_price": "1e12"}, "#/rows/0/unit_price", id="a fantasy"),
    ],
)  # fmt: skip
def test_refuses(ingest: Ingest, kind: str, row: Any, pointer: str) -> None:
    assert faults(post(ingest, kind, row)).keys() == {pointer}


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        pytest.param(b"{", "application/json", 400, id="half a JSON text"),
        pytest.param(b"[]", "application/json", 422, id="a list"),
        pytest.param(b'{"kind": "orders", "rows": []}', "application/json", 422, id="an unknown kind"),
        pytest.param(b'{"kind": "holds"}', "application/json", 422, id="no rows"),
        pytest.param(b'{"kind": "holds", "rows": []}', "application/json", 422, id="none of them"),
        pytest.param(b"kind=holds", "application/x-www-form-urlencoded", 415, id="a form"),
        pytest.param(b" " * (1 << 20) + b"{}", "application/json", 413, id="more than a mebibyte"),
        pytest.param(
            b'{"kind": "holds", "rows": [' + b"1," * MOST_ROWS + b"1]}",
            "application/json",
            422,
            id="too many",
        ),
    ],
)
def test_refuses_a_body(ingest: Ingest, body: bytes, content_type: str, status: int) -> None:
    token = ingest.token("facts:write", source="erp")
    answer = ingest.client.post("/v1/facts", data=body, headers=token, content_type=content_type)
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json")


def test_a_token_without_the_scope_may_not_write(ingest: Ingest) -> None:
    body = {"kind": "holds", "rows": [HOLD]}
    assert ingest.client.post("/v1/facts", json=body).status_code == 401
    token = ingest.token("orders:write", source="erp")
    assert ingest.client.post("/v1/facts", json=body, headers=token).status_code == 403


@pytest.mark.parametrize("kind", BODIES)
def test_the_api_and_the_import_of_a_name_take_the_same_columns(kind: str) -> None:
    rows: Any = BODIES[kind].model_fields["rows"].annotation
    (body,) = rows.__args__
    fields = body.model_fields
    columns = {column.name: column.is_required for column in ENTITIES[kind].columns}
    assert {name: field.is_required() for name, field in fields.items()} == columns
    for column in ENTITIES[kind].columns:
        if column.one_of:
            assert fields[column.name].annotation.__args__ == column.one_of


def test_the_page_describes_every_kind(ingest: Ingest) -> None:
    spec = ingest.client.get("/openapi.json").get_json()
    sent = spec["paths"]["/v1/facts"]["post"]["requestBody"]["content"]["application/json"]["schema"]["anyOf"]
    named = [each["$ref"].rpartition("/")[2] for each in sent]
    assert named == ["PriceAgreementsBody", "ContactsBody", "HoldsBody"]
    assert spec["components"]["schemas"]["HoldBody"]["properties"].keys() == HOLD.keys() | {
        "valid_to",
        "reference",
    }
