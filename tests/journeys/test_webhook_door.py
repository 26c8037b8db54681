"""Signed webhooks over the ingest service: what each gets for an answer, and what is stored."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.test import TestResponse

from services.ingest.app import create_app
from shared.clock import real_now
from shared.db import Database
from shared.metrics import Metrics
from shared.settings import Settings
from shared.signing import new_secret, sign

SECRET = new_secret()
OLD_SECRET = new_secret()


class Bell:
    """Notes what was rung."""

    def __init__(self) -> None:
        self.rung: list[str] = []

    def __call__(self, queue: str) -> None:
        self.rung.append(queue)


@pytest.fixture
def bell() -> Bell:
    return Bell()


@pytest.fixture
def app(database: Database, database_url: str, bell: Bell) -> APIFlask:
    settings = Settings(
        database_url=database_url,
        secret_key="k" * 32,
        hook_secrets={"standard": (SECRET, OLD_SECRET)},
    )
    metrics = Metrics("ingest", "test")
    return create_app(settings, database, bell, real_now, metrics, bind=("127.0.0.1", 8001))


@pytest.fixture
def client(app: APIFlask) -> FlaskClient:
    return app.test_client()


def an_order(**changes: Any) -> dict[str, Any]:
    return {
        "id": "o1",
        "version": 1,
        "ordered_at": "2026-03-02T10:00:00+01:00",
        "currency": "EUR",
        "customer": {"id": "c1", "name": "Contoso"},
        "lines": [{"id": "l1", "sku": "A", "quantity": "3", "unit_price": "2.50"}],
        **changes,
    }


def post(
    client: FlaskClient, order: object, *, secret: str = SECRET, raw: bytes | None = None
) -> TestResponse:
    envelope = {"type": "order.created", "timestamp": datetime.now(UTC).isoformat(), "data": order}
    body = json.dumps(envelope).encode() if raw is None else raw
    headers = sign("msg_1", datetime.now(UTC), body, [secret])
    return client.post("/hooks/standard", data=body, headers=headers, content_type="application/json")


def rows(database: Database, statement: str) -> list[Any]:
    with database.transaction() as connection:
        return list(connection.execute(text(statement)))


def test_a_new_order_is_stored_with_its_task_and_rung_for(client, database, bell) -> None:
    answer = post(client, an_order())
    assert answer.status_code == 202
    [(event_id, state, is_head, door)] = rows(database, "SELECT id, state, is_head, door FROM event")
    assert answer.json == {"id": str(event_id), "status": "accepted"}
    assert answer.headers["Location"] == f"/v1/events/{event_id}"
    assert (state, is_head, door) == ("accepted", True, "webhook")
    assert rows(database, "SELECT queue, kind, key FROM task") == [("scoring", "score", str(event_id))]
    assert bell.rung == ["scoring"]


def test_an_older_secret_still_verifies_during_rotation(client) -> None:
    assert post(client, an_order(), secret=OLD_SECRET).status_code == 202


def test_the_same_content_again_is_a_repeat_whatever_its_bytes(client, database) -> None:
    first = post(client, an_order())
    again = post(client, an_order(version=2, note="unknown fields do not count"))
    assert (again.status_code, again.json) == (200, {"id": first.json["id"], "status": "repeat"})
    assert len(rows(database, "SELECT id FROM event")) == 1
    assert rows(database, "SELECT version FROM event") == [(2,)]


def test_an_older_version_is_stored_and_changes_nothing(client, database) -> None:
    held = post(client, an_order(version=5)).json["id"]
    older = post(client, an_order(version=4, number="old"))
    assert (older.status_code, older.json["status"]) == (200, "superseded")
    assert post(client, an_order(version=4, number="old")).json == older.json
    assert [str(row[0]) for row in rows(database, "SELECT id FROM event WHERE is_head")] == [held]
    assert len(rows(database, "SELECT key FROM task")) == 1


def test_a_newer_version_takes_the_place_of_the_one_held(client, database) -> None:
    first = post(client, an_order(version=1)).json["id"]
    newer = post(client, an_order(version=2, number="new"))
    assert (newer.status_code, newer.json["status"]) == (202, "accepted")
    states = rows(database, "SELECT id::text, state, is_head FROM event ORDER BY version")
    assert states == [(first, "superseded", False), (newer.json["id"], "accepted", True)]
    assert len(rows(database, "SELECT key FROM task")) == 2


def test_one_version_with_two_contents_waits_for_a_person(client, database) -> None:
    held = post(client, an_order()).json["id"]
    other = post(client, an_order(number="other"))
    assert (other.status_code, other.json["status"]) == (202, "quarantined")
    assert [str(row[0]) for row in rows(database, "SELECT id FROM event WHERE is_head")] == [held]
    [(state, problem)] = rows(database, "SELECT state, problem FROM event WHERE NOT is_head")
    assert state == "quarantined"
    assert "held with other content" in problem[0]["detail"]
    assert len(rows(database, "SELECT key FROM task")) == 1


@pytest.mark.parametrize(
    ("raw", "pointer"),
    [
        pytest.param(b"{", "#", id="half a JSON text"),
        pytest.param(b'{"type":"order.created"}', "#/data", id="no order"),
        pytest.param(b'{"type":"x","data":{"id":"1","id":"2"}}', "#", id="a name twice"),
        pytest.param(
            json.dumps({"type": "x", "data": an_order(lines=[{"sku": "A", "quantity": 1}])}).encode(),
            "#/data/lines/0",
            id="a line without a price",
        ),
    ],
)
def test_what_is_signed_but_unreadable_is_kept_and_shown(client, database, raw: bytes, pointer: str) -> None:
    answer = post(client, None, raw=raw)
    assert (answer.status_code, answer.json["status"]) == (202, "quarantined")
    [(body, state, problem)] = rows(database, "SELECT body, state, problem FROM event")
    assert (bytes(body), state) == (raw, "quarantined")
    assert problem[0]["pointer"] == pointer
    assert rows(database, "SELECT key FROM task") == []


def test_a_wrong_signature_is_refused_without_a_reason_and_not_stored(client, database) -> None:
    answer = post(client, an_order(), secret=new_secret())
    assert answer.status_code == 401
    assert answer.content_type == "application/problem+json"
    assert rows(database, "SELECT id FROM event") == []
    counted = client.get("/metrics").text
    assert 'tipoff_orders_received_total{door="webhook",outcome="unsigned",source="standard"} 1.0' in counted


def test_a_body_that_is_not_json_is_refused(client) -> None:
    answer = client.post("/hooks/standard", data=b"x", content_type="text/plain")
    assert answer.status_code == 415


def test_a_body_over_a_mebibyte_is_refused(client) -> None:
    assert post(client, None, raw=b" " * (1024 * 1024 + 1)).status_code == 413


def test_an_unknown_connection_is_not_there(client) -> None:
    answer = client.post("/hooks/nobody", data=b"{}", content_type="application/json")
    assert (answer.status_code, answer.content_type) == (404, "application/problem+json")
