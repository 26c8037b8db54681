"""Orders over the API: one at a time, thousands as NDJSON, and what became of them."""

import json
from typing import Any

import pytest
from werkzeug.test import TestResponse

from services.ingest import bulk
from shared.db import Database
from shared.web import LARGEST_BODY
from tests.ingest_service import Ingest, an_order, ingest_on


@pytest.fixture
def ingest(database: Database, database_url: str) -> Ingest:
    return ingest_on(database, database_url)


@pytest.fixture
def writer(ingest: Ingest) -> dict[str, str]:
    return ingest.token("orders:write", source="erp")


def post(ingest: Ingest, token: dict[str, str], order: object) -> TestResponse:
    return ingest.client.post("/v1/orders", json=order, headers=token)


def post_lines(ingest: Ingest, token: dict[str, str], lines: list[bytes]) -> list[dict[str, Any]]:
    answer = ingest.client.post(
        "/v1/orders", data=b"\n".join(lines) + b"\n", headers=token, content_type=bulk.MEDIA_TYPE
    )
    assert answer.status_code == 200
    return [json.loads(line) for line in answer.data.splitlines()]


def as_line(order: object) -> bytes:
    return json.dumps(order).encode()


def test_an_order_is_taken_for_the_token_s_source(ingest: Ingest, writer: dict[str, str]) -> None:
    answer = post(ingest, writer, an_order())
    assert answer.status_code == 202
    assert ingest.rows("SELECT source, external_id, entry_point FROM event") == [("erp", "o1", "api")]
    assert ingest.rows("SELECT key FROM task") == [(answer.get_json()["id"],)]


def test_the_api_answers_repeats_older_newer_and_contradicting_readings(
    ingest: Ingest, writer: dict[str, str]
) -> None:
    statuses = [
        post(ingest, writer, an_order(version=version, number=number)).status_code
        for version, number in ((5, "a"), (6, "a"), (4, "b"), (6, "c"), (7, "c"))
    ]
    assert statuses == [202, 200, 200, 409, 202]
    assert ingest.rows("SELECT count(*) FROM event WHERE state = 'quarantined'") == [(0,)]


def test_a_contradiction_is_a_422_that_names_each_fault(ingest: Ingest, writer: dict[str, str]) -> None:
    lines = [{"sku": "A", "quantity": "x", "unit_price": 1}, {"sku": "B"}]
    answer = post(ingest, writer, an_order(lines=lines))
    assert (answer.status_code, answer.content_type) == (422, "application/problem+json")
    pointers = {error["pointer"] for error in answer.get_json()["errors"]}
    assert pointers == {"#/lines/0/quantity", "#/lines/1/quantity"}
    assert ingest.rows("SELECT count(*) FROM event") == [(0,)]


@pytest.mark.parametrize(
    ("headers", "body", "content_type", "status"),
    [
        pytest.param({}, b"{}", "application/json", 401, id="nobody"),
        pytest.param(
            {"Authorization": "Bearer tip_x"}, b"{}", "application/json", 401, id="an unknown token"
        ),
        pytest.param(None, b"{", "application/json", 400, id="half a JSON text"),
        pytest.param(None, b"a=b", "application/x-www-form-urlencoded", 415, id="a form"),
        pytest.param(None, b"[" * 2000, "application/json", 400, id="two thousand brackets"),
        pytest.param(None, b" " * (1 << 20) + b"{}", "application/json", 413, id="more than a mebibyte"),
    ],
)
def test_refuses(
    ingest: Ingest,
    writer: dict[str, str],
    headers: dict[str, str] | None,
    body: bytes,
    content_type: str,
    status: int,
) -> None:
    answer = ingest.client.post(
        "/v1/orders", data=body, headers=writer if headers is None else headers, content_type=content_type
    )
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json")


def test_a_token_without_the_scope_may_not_write(ingest: Ingest) -> None:
    assert post(ingest, ingest.token("orders:read"), an_order()).status_code == 403


def test_each_line_gets_a_result_and_bad_ones_hold_nobody_back(
    ingest: Ingest, writer: dict[str, str]
) -> None:
    held = an_order(id="held", version=2)
    post(ingest, writer, held)
    results = post_lines(
        ingest,
        writer,
        [
            as_line(an_order(id="new")),
            b"no json",
            b"",
            as_line(held),
            as_line(an_order(id="held", version=1, number="old")),
            as_line(an_order(id="held", version=2, number="other")),
            as_line(an_order(id="held", version=3, number="newer")),
            as_line(an_order(id="bad", lines=[{"sku": "A", "quantity": "-1", "unit_price": "1"}])),
            as_line(an_order(id="new")),
            b" " * (LARGEST_BODY + 1),
            as_line(an_order(id="last")),
        ],
    )
    assert [(each["line"], each["status"], each.get("outcome")) for each in results] == [
        (1, 202, "accepted"),
        (2, 400, None),
        (4, 200, "duplicate"),
        (5, 200, "stale"),
        (6, 409, None),
        (7, 202, "accepted"),
        (8, 422, None),
        (9, 200, "duplicate"),
        (10, 413, None),
        (11, 202, "accepted"),
    ]
    assert results[6]["errors"][0]["pointer"] == "#/lines"
    heads = ingest.rows("SELECT external_id FROM event WHERE is_current ORDER BY external_id")
    assert [row[0] for row in heads] == ["held", "last", "new"]
    assert ingest.rows("SELECT count(*) FROM task") == [(4,)]


def test_thousands_of_lines_are_stored_in_batches(ingest: Ingest, writer: dict[str, str]) -> None:
    many = [as_line(an_order(id=f"o{number}")) for number in range(1000)]
    assert {each["status"] for each in post_lines(ingest, writer, many)} == {202}
    assert {each["outcome"] for each in post_lines(ingest, writer, many)} == {"duplicate"}
    assert ingest.rows("SELECT count(*), count(*) FILTER (WHERE is_current) FROM event") == [(1000, 1000)]
    assert len(ingest.notified) == 1000


def test_a_stream_is_answered_as_it_comes(ingest: Ingest) -> None:
    asked: list[int] = []

    def read(size: int) -> bytes:
        asked.append(size)
        return b"x\n" * (size // 2) if len(asked) <= 3 else b""

    lines = bulk.numbered_lines(read)
    assert [next(lines).number for _ in range(5)] == [1, 2, 3, 4, 5]
    assert len(asked) == 1


def test_a_sender_learns_what_became_of_an_order(ingest: Ingest, writer: dict[str, str]) -> None:
    made = post(ingest, writer, an_order())
    told = ingest.client.get(made.headers["Location"], headers=writer).get_json()
    assert (told["state"], told["is_current"], told["order_id"], told["order"]) == (
        "accepted",
        True,
        "o1",
        None,
    )


def test_an_event_is_shown_to_its_source_and_to_readers_only(ingest: Ingest, writer: dict[str, str]) -> None:
    place = post(ingest, writer, an_order()).headers["Location"]
    others = [
        ingest.token("orders:write", source="shop"),
        ingest.token("orders:read"),
        ingest.token("alerts:read"),
    ]
    assert [ingest.client.get(place, headers=each).status_code for each in others] == [404, 200, 403]
    assert ingest.client.get("/v1/events/none-such", headers=writer).status_code == 404


def test_the_api_is_described(ingest: Ingest) -> None:
    spec = ingest.client.get("/openapi.json").get_json()
    taken = spec["paths"]["/v1/orders"]["post"]["requestBody"]["content"]
    assert set(taken) == {"application/json", bulk.MEDIA_TYPE}
    assert "OrderBody" in spec["components"]["schemas"]
