"""Signed webhooks over the ingest service: what each gets for an answer, and what is stored."""

import json
from dataclasses import replace

import pytest
from sqlalchemy import text

from services.ingest.replay import list_flagged
from services.ingest.source import all_sources
from shared.db import Database
from shared.domain.order import Order
from shared.signing import new_secret
from tests.ingest_service import OLD_SECRET, Ingest, an_order, ingest_on, rows


@pytest.fixture
def ingest(database: Database, database_url: str) -> Ingest:
    return ingest_on(database, database_url)


def test_a_new_order_is_stored_with_its_task_and_rung_for(ingest: Ingest) -> None:
    answer = ingest.hook(an_order())
    assert answer.status_code == 202
    [(event_id, state, is_current, entry_point)] = ingest.rows(
        "SELECT id, state, is_current, entry_point FROM event"
    )
    assert answer.json == {"id": str(event_id), "status": "accepted"}
    assert answer.headers["Location"] == f"/v1/events/{event_id}"
    assert (state, is_current, entry_point) == ("accepted", True, "webhook")
    assert ingest.rows("SELECT queue, kind, key FROM task") == [("scoring", "score", str(event_id))]
    assert ingest.notified == ["scoring"]


def test_an_older_secret_still_verifies_during_rotation(ingest: Ingest) -> None:
    assert ingest.hook(an_order(), secret=OLD_SECRET).status_code == 202


def test_the_same_content_again_is_a_repeat_whatever_its_bytes(ingest: Ingest) -> None:
    first = ingest.hook(an_order())
    again = ingest.hook(an_order(version=2, note="unknown fields do not count"))
    assert (again.status_code, again.json) == (200, {"id": first.get_json()["id"], "status": "duplicate"})
    assert len(ingest.rows("SELECT id FROM event")) == 1
    assert ingest.rows("SELECT version FROM event") == [(2,)]


def test_an_older_version_is_stored_and_changes_nothing(ingest: Ingest) -> None:
    held = ingest.hook(an_order(version=5)).get_json()["id"]
    older = ingest.hook(an_order(version=4, number="old"))
    assert (older.status_code, older.get_json()["status"]) == (200, "stale")
    assert ingest.hook(an_order(version=4, number="old")).json == older.json
    assert [str(row[0]) for row in ingest.rows("SELECT id FROM event WHERE is_current")] == [held]
    assert len(ingest.rows("SELECT key FROM task")) == 1


def test_a_newer_version_takes_the_place_of_the_one_held(ingest: Ingest) -> None:
    first = ingest.hook(an_order(version=1)).get_json()["id"]
    newer = ingest.hook(an_order(version=2, number="new"))
    assert (newer.status_code, newer.get_json()["status"]) == (202, "accepted")
    states = ingest.rows("SELECT id::text, state, is_current FROM event ORDER BY version")
    assert states == [(first, "stale", False), (newer.get_json()["id"], "accepted", True)]
    assert len(ingest.rows("SELECT key FROM task")) == 2


def test_one_version_with_two_contents_waits_for_a_person(ingest: Ingest) -> None:
    held = ingest.hook(an_order()).get_json()["id"]
    other = ingest.hook(an_order(number="other"))
    assert (other.status_code, other.get_json()["status"]) == (202, "quarantined")
    assert [str(row[0]) for row in ingest.rows("SELECT id FROM event WHERE is_current")] == [held]
    [(state, problem)] = ingest.rows("SELECT state, problem FROM event WHERE NOT is_current")
    assert state == "quarantined"
    assert "held with other content" in problem[0]["detail"]
    assert len(ingest.rows("SELECT key FROM task")) == 1


@pytest.mark.parametrize(
    ("raw", "pointer"),
    [
        pytest.param(b"{", "#", id="half a JSON text"),
        pytest.param(b'{"type":"order.created"}', "#/data", id="no order"),
        pytest.param(b'{"type":"x","data":{"id":"1","id":"2"}}', "#", id="a name twice"),
        pytest.param(
            json.dumps(
                {"type": "order.created", "data": an_order(lines=[{"sku": "A", "quantity": 1}])}
            ).encode(),
            "#/data/lines/0",
            id="a line without a price",
        ),
    ],
)
def test_what_is_signed_but_unreadable_is_kept_and_shown(ingest: Ingest, raw: bytes, pointer: str) -> None:
    answer = ingest.hook(None, raw=raw)
    assert (answer.status_code, answer.get_json()["status"]) == (202, "quarantined")
    [(body, state, problem)] = ingest.rows("SELECT body, state, problem FROM event")
    assert (bytes(body), state) == (raw, "quarantined")
    assert problem[0]["pointer"] == pointer
    assert ingest.rows("SELECT key FROM task") == []


def test_a_wrong_signature_is_refused_without_a_reason_and_not_stored(ingest: Ingest) -> None:
    answer = ingest.hook(an_order(), secret=new_secret())
    assert answer.status_code == 401
    assert answer.content_type == "application/problem+json"
    assert ingest.rows("SELECT id FROM event") == []
    counted = ingest.client.get("/metrics").text
    assert (
        'tipoff_orders_received_total{entry_point="webhook",outcome="unsigned",source="standard"} 1.0'
        in counted
    )


def test_a_body_that_is_not_json_is_refused(ingest: Ingest) -> None:
    answer = ingest.client.post("/hooks/standard", data=b"x", content_type="text/plain")
    assert answer.status_code == 415


def test_a_body_over_a_mebibyte_is_refused(ingest: Ingest) -> None:
    assert ingest.hook(None, raw=b" " * (1024 * 1024 + 1)).status_code == 413


def test_an_unknown_connection_is_not_there(ingest: Ingest) -> None:
    answer = ingest.client.post("/hooks/nobody", data=b"{}", content_type="application/json")
    assert (answer.status_code, answer.content_type) == (404, "application/problem+json")


@pytest.mark.parametrize("topic", ["ping", "contact.created", "customer.updated", "x"])
def test_a_topic_that_is_not_an_order_s_never_becomes_a_sale(ingest: Ingest, topic: str) -> None:
    answer = ingest.hook(None, raw=json.dumps({"type": topic, "data": an_order()}).encode())
    assert (answer.status_code, answer.get_json()["status"]) == (202, "quarantined")
    [(problem,)] = ingest.rows("SELECT problem FROM event")
    assert problem == [{"pointer": "#/type", "detail": f"the topic {topic!r} is not about an order"}]


def test_a_deleted_order_is_a_cancelled_one(ingest: Ingest) -> None:
    ingest.hook(an_order(version=1))
    gone = ingest.hook(None, raw=json.dumps({"type": "order.deleted", "data": an_order(version=2)}).encode())
    assert gone.get_json()["status"] == "accepted"
    [(normalized,)] = ingest.rows("SELECT normalized FROM event WHERE version = 2")
    assert json.loads(normalized)["status"] == "cancelled"


def test_an_unreadable_body_that_comes_again_is_kept_once(ingest: Ingest) -> None:
    first, again = ingest.hook(None, raw=b"{"), ingest.hook(None, raw=b"{")
    assert first.json == again.json
    assert ingest.hook(None, raw=b"{{").json != first.json
    assert ingest.rows("SELECT count(*) FROM event") == [(2,)]


def test_amounts_that_overflow_while_a_discount_is_shared_out_are_kept_and_named(ingest: Ingest) -> None:
    line = {"sku": "A", "quantity": "999999999999", "unit_price": "999999999999"}
    answer = ingest.hook(an_order(lines=[line], discount="1"))
    assert (answer.status_code, answer.get_json()["status"]) == (202, "quarantined")


def test_whatever_a_reader_throws_the_event_is_kept_with_the_reason(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(raw: bytes, context: object) -> Order:
        raise KeyError(len(raw), context is None)

    broken = replace(all_sources()["standard"], read=read)
    monkeypatch.setattr("services.ingest.app.all_sources", lambda: {"standard": broken})
    answer = ingest_on(database, database_url).hook(an_order())
    assert (answer.status_code, answer.get_json()["status"]) == (202, "quarantined")
    [(state, problem)] = rows(database, "SELECT state, problem FROM event")
    assert state == "quarantined"
    assert problem[0]["detail"].startswith("the reader failed: KeyError(")


def test_an_event_whose_task_died_is_dead_with_the_reason(ingest: Ingest) -> None:
    event_id = ingest.hook(an_order()).get_json()["id"]
    with ingest.database.transaction() as connection:
        connection.execute(text("UPDATE task SET state = 'dead', error = 'DataError: out of range'"))
    told = ingest.client.get(f"/v1/events/{event_id}", headers=ingest.token("orders:read")).get_json()
    assert told["state"] == "dead"
    assert told["problem"] == [{"detail": "DataError: out of range", "pointer": "#"}]


def test_an_order_whose_totals_differ_is_taken_flagged_counted_and_listed(ingest: Ingest) -> None:
    event_id = ingest.hook(an_order(totals={"total": "99"})).get_json()["id"]
    flags = ["total 99 is not what the lines make: 7.50"]
    told = ingest.client.get(f"/v1/events/{event_id}", headers=ingest.token("orders:read")).get_json()
    assert (told["state"], told["flags"]) == ("accepted", flags)
    assert [(str(each.event_id), each.flags) for each in list_flagged(ingest.database, 9)] == [
        (event_id, flags)
    ]
    assert 'tipoff_orders_flagged_total{source="standard"} 1.0' in ingest.client.get("/metrics").text


def test_what_waits_in_quarantine_is_counted(ingest: Ingest) -> None:
    def counted() -> list[str]:
        lines = ingest.client.get("/metrics").get_data(as_text=True).splitlines()
        return [line for line in lines if line.startswith("tipoff_events_quarantined{")]

    ingest.hook(None, raw=b'{"type": "order.created", "data": {}}')
    assert counted() == ['tipoff_events_quarantined{source="standard"} 1.0']
