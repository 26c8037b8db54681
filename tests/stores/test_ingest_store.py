"""Readings of one order that arrive at once, in every sequence, end in one reading held."""

import itertools
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import psycopg
import pytest
from msgspec.structs import replace
from sqlalchemy import text

from services.ingest.body import OrderBody
from services.ingest.normalise import Receipt, normalise
from services.ingest.receive import Held, Verdict, judge
from services.ingest.store import Arrival, Message, Stored, arrival, store
from services.ingest.store_many import store_many
from shared.db import REQUEST, Database
from tests.databases import conninfo
from tests.ingest_service import an_order, rows

RECEIPT = Receipt("standard", ZoneInfo("UTC"), "EUR", datetime(2026, 3, 5, tzinfo=UTC))


def a_reading(
    version: int, number: str | None = None, *, order_id: str = "o1", door: str = "webhook"
) -> Arrival:
    body = OrderBody.model_validate(an_order(id=order_id, version=version, number=number))
    return arrival(normalise(body, RECEIPT), Message("standard", door, b"{}"))


@pytest.mark.parametrize(
    ("held", "version", "digest", "verdict"),
    [
        pytest.param(None, 1, b"a", Verdict.NEW, id="nothing held"),
        pytest.param((3, b"a"), 3, b"a", Verdict.REPEAT, id="the same again"),
        pytest.param((3, b"a"), 9, b"a", Verdict.REPEAT, id="the same under a newer version"),
        pytest.param((3, b"a"), 1, b"a", Verdict.REPEAT, id="the same under an older version"),
        pytest.param((3, b"a"), 2, b"b", Verdict.SUPERSEDED, id="older"),
        pytest.param((3, b"a"), 4, b"b", Verdict.NEWER, id="newer"),
        pytest.param((3, b"a"), 3, b"b", Verdict.CONFLICT, id="one version, two contents"),
    ],
)
def test_a_reading_is(held: tuple[int, bytes] | None, version: int, digest: bytes, verdict: Verdict) -> None:
    known = None if held is None else Held(uuid4(), *held)
    assert judge(known, version, digest) is verdict


@pytest.mark.parametrize("sequence", list(itertools.permutations((1, 2, 3))), ids=str)
def test_versions_in_any_sequence_end_with_the_newest_held(
    database: Database, sequence: tuple[int, ...]
) -> None:
    for version in sequence:
        store(database, a_reading(version, str(version)))
    assert rows(database, "SELECT version, state FROM event WHERE is_head") == [(3, "accepted")]
    assert rows(database, "SELECT count(*) FROM event") == [(3,)]


def test_a_message_that_comes_again_after_a_newer_one_undoes_nothing(database: Database) -> None:
    def come(minute: int, number: str, message_id: str) -> Verdict:
        receipt = replace(RECEIPT, received_at=RECEIPT.received_at + timedelta(minutes=minute))
        body = OrderBody.model_validate(
            an_order(id="o1", number=number) | {"version": None, "updated_at": None}
        )
        return store(
            database, arrival(normalise(body, receipt), Message("standard", "webhook", b"{}", message_id))
        ).verdict

    assert come(0, "first", "msg_1") is Verdict.NEW
    assert come(1, "second", "msg_2") is Verdict.NEWER
    assert come(2, "first", "msg_1") is Verdict.SUPERSEDED
    assert come(3, "first", "msg_3") is Verdict.NEWER


SECOND = 1_772_712_000_000_000


@pytest.mark.parametrize(
    ("held", "version", "digest", "verdict"),
    [
        pytest.param((SECOND, b"a"), 2, b"b", Verdict.NEWER, id="a number after a time"),
        pytest.param((2, b"a"), SECOND, b"b", Verdict.NEWER, id="a time after a number"),
        pytest.param((SECOND, b"a"), SECOND, b"b", Verdict.NEWER, id="two edits in one second"),
        pytest.param(
            (SECOND + 1, b"a"), SECOND + 1, b"b", Verdict.CONFLICT, id="two edits in one microsecond"
        ),
        pytest.param((3, bytes(32)), 3, b"\x02" + b"b" * 32, Verdict.REPEAT, id="one version by two readers"),
    ],
)
def test_versions_of_two_sorts_compare(
    held: tuple[int, bytes], version: int, digest: bytes, verdict: Verdict
) -> None:
    assert judge(Held(uuid4(), *held), version, digest) is verdict


def come(
    database: Database,
    number: str,
    version: int | None = None,
    *,
    minute: int = 0,
    message_id: str | None = None,
    **changes: object,
) -> Verdict:
    """Store an order as it would come in that minute."""
    receipt = replace(RECEIPT, received_at=RECEIPT.received_at + timedelta(minutes=minute, microseconds=7))
    body = OrderBody.model_validate(an_order(number=number, version=version, **changes))
    message = Message("standard", "webhook" if message_id else "api", b"{}", message_id)
    return store(database, arrival(normalise(body, receipt), message)).verdict


def test_an_order_first_seen_without_a_version_is_not_stale_for_ever(database: Database) -> None:
    assert come(database, "first") is Verdict.NEW
    assert come(database, "second", 2) is Verdict.NEWER
    assert come(database, "older", 1) is Verdict.SUPERSEDED
    assert come(database, "third", 3) is Verdict.NEWER
    assert rows(database, "SELECT version FROM event WHERE is_head") == [(3,)]
    [(newest,)] = rows(database, "SELECT max(coalesce(revision, version)) FROM event")
    assert rows(database, "SELECT revision FROM event WHERE is_head") == [(newest,)]


def test_a_number_is_not_newer_than_a_later_one_because_a_time_came_between(database: Database) -> None:
    assert come(database, "fifth", 5) is Verdict.NEW
    assert come(database, "unversioned", minute=1) is Verdict.NEWER
    assert come(database, "fourth", 4, minute=2) is Verdict.SUPERSEDED
    assert come(database, "sixth", 6, minute=3) is Verdict.NEWER


def test_a_late_retry_without_a_version_rolls_nothing_back(database: Database) -> None:
    assert come(database, "first") is Verdict.NEW
    assert come(database, "second", minute=1) is Verdict.NEWER
    assert come(database, "first", minute=2) is Verdict.SUPERSEDED
    [(number,)] = rows(database, "SELECT normal::json->>'number' FROM event WHERE is_head")
    assert number == "second"


def test_of_two_edits_in_one_second_the_later_receipt_holds(database: Database) -> None:
    at: dict[str, Any] = {"updated_at": "2026-03-04T10:00:00Z"}
    assert come(database, "first", **at) is Verdict.NEW
    assert come(database, "second", **at) is Verdict.NEWER
    assert come(database, "first", **at) is Verdict.SUPERSEDED


def test_a_new_name_of_a_customer_is_no_other_fact(database: Database) -> None:
    assert come(database, "one", 1, customer={"id": "c1", "name": "Contoso"}) is Verdict.NEW
    assert come(database, "one", 1, customer={"id": "c1", "name": "Contoso GmbH"}) is Verdict.REPEAT


def test_a_repeat_keeps_the_revision_and_raises_the_version(database: Database) -> None:
    come(database, "one", 1)
    assert come(database, "one", 9) is Verdict.REPEAT
    assert rows(database, "SELECT version, revision FROM event") == [(9, 1)]
    assert come(database, "two", 8) is Verdict.SUPERSEDED


def at_once(database: Database, readings: list[Arrival]) -> list[Stored]:
    """Store all of them at the same moment, each in a thread."""
    together = threading.Barrier(len(readings))

    def send(reading: Arrival) -> Stored:
        together.wait()
        return store(database, reading)

    with ThreadPoolExecutor(len(readings)) as pool:
        return list(pool.map(send, readings))


@pytest.fixture
def busy_database(database_url: str) -> Database:
    return Database(database_url, REQUEST, pool_size=8)


@pytest.mark.parametrize("attempt", range(5))
def test_the_same_order_eight_times_at_once_is_stored_once(busy_database: Database, attempt: int) -> None:
    stored = at_once(busy_database, [a_reading(1, str(attempt)) for _ in range(8)])
    assert Counter(each.verdict for each in stored) == {Verdict.NEW: 1, Verdict.REPEAT: 7}
    assert len({each.event_id for each in stored}) == 1
    assert rows(busy_database, "SELECT count(*) FROM task") == [(1,)]
    busy_database.close()


@pytest.mark.parametrize("attempt", range(5))
def test_eight_versions_at_once_leave_the_newest_held(busy_database: Database, attempt: int) -> None:
    stored = at_once(busy_database, [a_reading(version, f"{attempt}-{version}") for version in range(8)])
    verdicts = {each.verdict for each in stored}
    assert verdicts <= {Verdict.NEW, Verdict.NEWER, Verdict.SUPERSEDED}
    assert rows(busy_database, "SELECT version FROM event WHERE is_head") == [(7,)]
    accepted = sum(each.verdict in (Verdict.NEW, Verdict.NEWER) for each in stored)
    assert rows(busy_database, "SELECT count(*) FROM task") == [(accepted,)]
    busy_database.close()


def test_two_contents_of_one_version_at_once_hold_one_and_set_the_other_aside(
    busy_database: Database,
) -> None:
    stored = at_once(busy_database, [a_reading(1, str(number % 2)) for number in range(8)])
    assert {each.verdict for each in stored} == {Verdict.NEW, Verdict.REPEAT, Verdict.CONFLICT}
    states = rows(busy_database, "SELECT state, count(*) FROM event GROUP BY state ORDER BY state")
    assert states == [("accepted", 1), ("quarantined", 1)]
    busy_database.close()


def test_two_streams_of_the_same_orders_at_once_store_each_once(busy_database: Database) -> None:
    mine = [a_reading(1, order_id=f"o{number}", door="api") for number in range(200)]
    with ThreadPoolExecutor(2) as pool:
        stored = list(pool.map(lambda batch: store_many(busy_database, batch), [mine, mine[::-1]]))
    verdicts = Counter(each.verdict for batch in stored for each in batch)
    assert verdicts == {Verdict.NEW: 200, Verdict.REPEAT: 200}
    busy_database.close()


@pytest.mark.parametrize("prepare", [True, False])
def test_an_order_is_stored_with_and_without_prepared_statements(database_url: str, *, prepare: bool) -> None:
    plain = Database(database_url, REQUEST, prepare=prepare)
    stored = [store(plain, a_reading(1)).verdict for _ in range(2)]
    assert stored == [Verdict.NEW, Verdict.REPEAT]
    prepared = "SELECT count(*)::text FROM pg_prepared_statements WHERE name LIKE 'tipoff%'"
    assert plain.execute_raw(prepared, ()) == ("2" if prepare else "0",)
    plain.close()


def test_a_statement_that_fails_costs_nothing_else(database: Database) -> None:
    with pytest.raises(psycopg.Error):
        database.execute_raw("SELECT 1 / 0", ())
    assert database.execute_raw("SELECT 1", ()) == ("1",)
    with database.transaction() as connection:
        assert connection.execute(text("SELECT count(*) FROM event")).scalar() == 0


def test_a_server_that_dropped_us_costs_one_answer(database: Database) -> None:
    assert database.execute_raw("SELECT 1", ()) == ("1",)
    others = "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    with psycopg.connect(conninfo(database.engine.url.render_as_string(hide_password=False))) as connection:
        connection.execute(f"{others} AND datname = current_database()")
    with pytest.raises(psycopg.OperationalError):
        database.execute_raw("SELECT 1", ())
    assert database.execute_raw("SELECT 1", ()) == ("1",)
