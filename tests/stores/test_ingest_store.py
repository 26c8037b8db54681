"""Revisions of one order, at once and in every sequence, end in one current revision."""

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
from services.ingest.normalise import normalise
from services.ingest.source import ReadContext
from services.ingest.store import (
    Comparison,
    CurrentRevision,
    Event,
    OrderRevision,
    Stored,
    compare,
    prepare,
    store,
)
from services.ingest.store_many import store_many
from shared.db import REQUEST, Database
from tests.databases import conninfo
from tests.ingest_service import an_order, rows

CONTEXT = ReadContext("standard", ZoneInfo("UTC"), "EUR", datetime(2026, 3, 5, tzinfo=UTC))


def a_reading(
    version: int, number: str | None = None, *, order_id: str = "o1", entry_point: str = "webhook"
) -> OrderRevision:
    body = OrderBody.model_validate(an_order(id=order_id, version=version, number=number))
    return prepare(normalise(body, CONTEXT), Event("standard", entry_point, b"{}"))


@pytest.mark.parametrize(
    ("held", "version", "digest", "comparison"),
    [
        pytest.param(None, 1, b"a", Comparison.NEW, id="nothing held"),
        pytest.param((3, b"a"), 3, b"a", Comparison.DUPLICATE, id="the same again"),
        pytest.param((3, b"a"), 9, b"a", Comparison.DUPLICATE, id="the same under a newer version"),
        pytest.param((3, b"a"), 1, b"a", Comparison.DUPLICATE, id="the same under an older version"),
        pytest.param((3, b"a"), 2, b"b", Comparison.STALE, id="older"),
        pytest.param((3, b"a"), 4, b"b", Comparison.NEWER, id="newer"),
        pytest.param((3, b"a"), 3, b"b", Comparison.CONFLICT, id="one version, two contents"),
    ],
)
def test_a_reading_is(
    held: tuple[int, bytes] | None, version: int, digest: bytes, comparison: Comparison
) -> None:
    known = None if held is None else CurrentRevision(uuid4(), *held)
    assert compare(known, version, digest) is comparison


@pytest.mark.parametrize("sequence", list(itertools.permutations((1, 2, 3))), ids=str)
def test_versions_in_any_sequence_end_with_the_newest_held(
    database: Database, sequence: tuple[int, ...]
) -> None:
    for version in sequence:
        store(database, a_reading(version, str(version)))
    assert rows(database, "SELECT version, state FROM event WHERE is_current") == [(3, "accepted")]
    assert rows(database, "SELECT count(*) FROM event") == [(3,)]


SECOND = 1_772_712_000_000_000


@pytest.mark.parametrize(
    ("held", "version", "digest", "comparison"),
    [
        pytest.param((SECOND, b"a"), 2, b"b", Comparison.NEWER, id="a number after a time"),
        pytest.param((2, b"a"), SECOND, b"b", Comparison.NEWER, id="a time after a number"),
        pytest.param((SECOND, b"a"), SECOND, b"b", Comparison.NEWER, id="two edits in one second"),
        pytest.param(
            (SECOND + 1, b"a"), SECOND + 1, b"b", Comparison.CONFLICT, id="two edits in one microsecond"
        ),
        pytest.param(
            (3, bytes(32)), 3, b"\x02" + b"b" * 32, Comparison.DUPLICATE, id="one version by two readers"
        ),
    ],
)
def test_versions_of_two_sorts_compare(
    held: tuple[int, bytes], version: int, digest: bytes, comparison: Comparison
) -> None:
    assert compare(CurrentRevision(uuid4(), *held), version, digest) is comparison


def come(
    database: Database,
    number: str,
    version: int | None = None,
    *,
    minute: int = 0,
    message_id: str | None = None,
    **changes: object,
) -> Comparison:
    """Store an order as it would come in that minute."""
    context = replace(CONTEXT, received_at=CONTEXT.received_at + timedelta(minutes=minute, microseconds=7))
    body = OrderBody.model_validate(an_order(number=number, version=version, **changes))
    message = Event("standard", "webhook" if message_id else "api", b"{}", message_id)
    return store(database, prepare(normalise(body, context), message)).comparison


def test_an_order_first_seen_without_a_version_is_not_stale_for_ever(database: Database) -> None:
    assert come(database, "first") is Comparison.NEW
    assert come(database, "second", 2) is Comparison.NEWER
    assert come(database, "older", 1) is Comparison.STALE
    assert come(database, "third", 3) is Comparison.NEWER
    assert rows(database, "SELECT version FROM event WHERE is_current") == [(3,)]
    [(newest,)] = rows(database, "SELECT max(coalesce(revision, version)) FROM event")
    assert rows(database, "SELECT revision FROM event WHERE is_current") == [(newest,)]


def test_a_number_is_not_newer_than_a_later_one_because_a_time_came_between(database: Database) -> None:
    assert come(database, "fifth", 5) is Comparison.NEW
    assert come(database, "unversioned", minute=1) is Comparison.NEWER
    assert come(database, "fourth", 4, minute=2) is Comparison.STALE
    assert come(database, "sixth", 6, minute=3) is Comparison.NEWER


def test_a_late_retry_without_a_version_rolls_nothing_back(database: Database) -> None:
    assert come(database, "first") is Comparison.NEW
    assert come(database, "second", minute=1) is Comparison.NEWER
    assert come(database, "first", minute=2) is Comparison.STALE
    [(number,)] = rows(database, "SELECT normalized::json->>'number' FROM event WHERE is_current")
    assert number == "second"


@pytest.mark.parametrize("message_id", [None, "msg_3"], ids=["by the API", "in a message of its own"])
def test_earlier_facts_without_a_version_are_stale_whoever_sends_them(
    database: Database, message_id: str | None
) -> None:
    assert come(database, "first", message_id=message_id and "msg_1") is Comparison.NEW
    assert come(database, "second", minute=1, message_id=message_id and "msg_2") is Comparison.NEWER
    assert come(database, "first", minute=2, message_id=message_id) is Comparison.STALE
    assert come(database, "third", minute=3, message_id=message_id and "msg_4") is Comparison.NEWER


def test_earlier_facts_under_a_later_time_of_the_sender_are_newer(database: Database) -> None:
    assert come(database, "first", updated_at="2026-03-04T10:00:00Z") is Comparison.NEW
    assert come(database, "second", updated_at="2026-03-04T10:05:00Z") is Comparison.NEWER
    assert come(database, "first", updated_at="2026-03-04T10:10:00Z") is Comparison.NEWER


def test_earlier_facts_under_a_version_of_another_sort_are_stale(database: Database) -> None:
    at: dict[str, Any] = {"updated_at": "2026-03-04T10:00:00Z"}
    assert come(database, "first", **at) is Comparison.NEW
    assert come(database, "second", 7) is Comparison.NEWER
    assert come(database, "first", **at) is Comparison.STALE
    assert come(database, "third", 8) is Comparison.NEWER


def test_of_two_edits_in_one_second_the_later_receipt_holds(database: Database) -> None:
    at: dict[str, Any] = {"updated_at": "2026-03-04T10:00:00Z"}
    assert come(database, "first", **at) is Comparison.NEW
    assert come(database, "second", **at) is Comparison.NEWER
    assert come(database, "first", **at) is Comparison.STALE


def test_a_new_name_of_a_customer_is_no_other_fact(database: Database) -> None:
    assert come(database, "one", 1, customer={"id": "c1", "name": "Contoso"}) is Comparison.NEW
    assert come(database, "one", 1, customer={"id": "c1", "name": "Contoso GmbH"}) is Comparison.DUPLICATE


def test_what_follows_the_highest_version_there_is_has_a_revision_too(database: Database) -> None:
    highest = 2**62 - 1
    assert come(database, "one", highest) is Comparison.NEW
    assert come(database, "two", 5) is Comparison.NEWER
    assert rows(database, "SELECT version, revision FROM event WHERE is_current") == [(5, highest + 1)]


def test_a_repeat_keeps_the_revision_and_raises_the_version(database: Database) -> None:
    come(database, "one", 1)
    assert come(database, "one", 9) is Comparison.DUPLICATE
    assert rows(database, "SELECT version, revision FROM event") == [(9, 1)]
    assert come(database, "two", 8) is Comparison.STALE


def at_once(database: Database, readings: list[OrderRevision]) -> list[Stored]:
    """Store all of them at the same moment, each in a thread."""
    together = threading.Barrier(len(readings))

    def send(reading: OrderRevision) -> Stored:
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
    assert Counter(each.comparison for each in stored) == {Comparison.NEW: 1, Comparison.DUPLICATE: 7}
    assert len({each.event_id for each in stored}) == 1
    assert rows(busy_database, "SELECT count(*) FROM task") == [(1,)]
    busy_database.close()


@pytest.mark.parametrize("attempt", range(5))
def test_eight_versions_at_once_leave_the_newest_held(busy_database: Database, attempt: int) -> None:
    stored = at_once(busy_database, [a_reading(version, f"{attempt}-{version}") for version in range(8)])
    comparisons = {each.comparison for each in stored}
    assert comparisons <= {Comparison.NEW, Comparison.NEWER, Comparison.STALE}
    assert rows(busy_database, "SELECT version FROM event WHERE is_current") == [(7,)]
    accepted = sum(each.comparison in (Comparison.NEW, Comparison.NEWER) for each in stored)
    assert rows(busy_database, "SELECT count(*) FROM task") == [(accepted,)]
    busy_database.close()


def test_two_contents_of_one_version_at_once_hold_one_and_set_the_other_aside(
    busy_database: Database,
) -> None:
    stored = at_once(busy_database, [a_reading(1, str(number % 2)) for number in range(8)])
    assert {each.comparison for each in stored} == {Comparison.NEW, Comparison.DUPLICATE, Comparison.CONFLICT}
    states = rows(busy_database, "SELECT state, count(*) FROM event GROUP BY state ORDER BY state")
    assert states == [("accepted", 1), ("quarantined", 1)]
    busy_database.close()


def test_two_streams_of_the_same_orders_at_once_store_each_once(busy_database: Database) -> None:
    mine = [a_reading(1, order_id=f"o{number}", entry_point="api") for number in range(200)]
    with ThreadPoolExecutor(2) as pool:
        stored = list(pool.map(lambda batch: store_many(busy_database, batch), [mine, mine[::-1]]))
    comparisons = Counter(each.comparison for batch in stored for each in batch)
    assert comparisons == {Comparison.NEW: 200, Comparison.DUPLICATE: 200}
    busy_database.close()


@pytest.mark.parametrize("prepare", [True, False])
def test_an_order_is_stored_with_and_without_prepared_statements(database_url: str, *, prepare: bool) -> None:
    plain = Database(database_url, REQUEST, prepare=prepare)
    stored = [store(plain, a_reading(1)).comparison for _ in range(2)]
    assert stored == [Comparison.NEW, Comparison.DUPLICATE]
    prepared = plain.execute_prepared("SELECT count(*) FROM pg_prepared_statements", ())
    assert prepared == ("2" if prepare else "0",)
    plain.close()


def test_a_statement_that_fails_costs_nothing_else(database: Database) -> None:
    with pytest.raises(psycopg.Error):
        database.execute_prepared("SELECT 1 / 0", ())
    assert database.execute_prepared("SELECT 1", ()) == ("1",)
    with database.transaction() as connection:
        assert connection.execute(text("SELECT count(*) FROM event")).scalar() == 0


def test_a_text_is_not_cut_at_a_nul(database: Database) -> None:
    with pytest.raises(psycopg.DataError):
        database.execute_prepared("SELECT %s::text", ("a\0b",))
    assert database.execute_prepared("SELECT %b::bytea = '\\x6100'::bytea, %s::text", (b"a\0", None)) == (
        "t",
        None,
    )


def test_a_server_that_dropped_us_costs_one_answer(database: Database) -> None:
    assert database.execute_prepared("SELECT 1", ()) == ("1",)
    others = "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    with psycopg.connect(conninfo(database.engine.url.render_as_string(hide_password=False))) as connection:
        connection.execute(f"{others} AND datname = current_database()")
    with pytest.raises(psycopg.OperationalError):
        database.execute_prepared("SELECT 1", ())
    assert database.execute_prepared("SELECT 1", ()) == ("1",)
