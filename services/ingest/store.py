"""This file stores readings of orders as events, and with each new one the task to score it.

Most readings are of new orders: one statement, one round trip. Where a reading of the order is held, its row is
locked and `services.ingest.receive` decides. The partial unique index on heads makes sure that there is one reading
held, however many arrive at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast
from uuid import UUID

import msgspec
from sqlalchemy import Connection

from services.ingest.faults import Fault
from services.ingest.receive import FIRST_TIME, Held, Verdict, is_time, judge, version_to_keep
from shared.db import Database
from shared.domain.order import Order, digest, encode
from shared.raw_executor import Value

QUEUE = "scoring"


@dataclass(frozen=True, slots=True)
class Message:
    """What came in, as it came: the exact body, and the headers worth keeping, as JSON."""

    source: str
    door: str
    body: bytes
    message_id: str | None = None
    headers: str | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """A reading about to be stored, with the message it was read from."""

    order: Order
    digest: bytes
    normal: str
    message: Message


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of an arrival. A conflict at a door that can answer has no event. The id is only passed on."""

    verdict: Verdict
    event_id: str | None
    is_flagged: bool = False


def arrival(order: Order, message: Message) -> Arrival:
    """Prepare a reading for storing."""
    return Arrival(order, digest(order), encode(order).decode(), message)


_INSERT = (
    "INSERT INTO event (source, external_id, version, digest, is_head, door, state, message_id, headers, body, normal,"
    " flags, revision) VALUES (%s, %s, %s, %b, true, %s, 'accepted', %s, %s, %b, %s, %s, %s)"
    " ON CONFLICT (source, external_id) WHERE is_head DO NOTHING RETURNING id"
)

_PUT = "INSERT INTO task (queue, kind, key) SELECT 'scoring', 'score', id::text FROM stored"

_STORE_NEW = f"WITH stored AS ({_INSERT}), put AS ({_PUT}) SELECT id FROM stored"  # noqa: S608 - our own text

_HEAD = (
    "SELECT id, version, digest, coalesce(revision, version) FROM event"
    " WHERE source = %s AND external_id = %s AND is_head FOR NO KEY UPDATE"
)

_STEP_DOWN = (
    "UPDATE event SET is_head = false, state = CASE WHEN state = 'accepted' THEN 'superseded' ELSE state END"
    " WHERE id = %s"
)

_ASIDE = (
    "INSERT INTO event (source, external_id, version, digest, door, message_id, headers, body, normal, flags, state,"
    " problem) VALUES (%s, %s, %s, %b, %s, %s, %s, %b, %s, %s, %s, %s) RETURNING id"
)

_SAME_ASIDE = (
    "SELECT id FROM event WHERE source = %s AND external_id = %s AND version = %s AND digest = %b"
    " AND NOT is_head LIMIT 1"
)

_REMEMBER = "UPDATE event SET version = %s, revision = coalesce(revision, version) WHERE id = %s"

_HIGHEST_NUMBER = (
    "SELECT id FROM event WHERE source = %s AND external_id = %s AND NOT is_head AND version >= %s AND version < %s"
    " AND state <> 'quarantined' ORDER BY version DESC LIMIT 1"
)

_SAME_MESSAGE = (
    "SELECT id FROM event WHERE source = %s AND external_id = %s AND NOT is_head"
    " AND message_id IS NOT DISTINCT FROM %s AND digest = %b AND state <> 'quarantined' LIMIT 1"
)

_UNREADABLE = (
    "INSERT INTO event (source, door, state, message_id, headers, body, problem)"
    " VALUES (%s, %s, 'quarantined', %s, %s, %b, %s) RETURNING id"
)

_SAME_UNREADABLE = (
    "SELECT id FROM event WHERE source = %s AND external_id IS NULL AND state = 'quarantined'"
    " AND sha256(body) = sha256(%b) LIMIT 1"
)


def _columns(new: Arrival) -> tuple[Value, ...]:
    order, message = new.order, new.message
    return (
        order.source, order.id, order.version, new.digest, message.door, message.message_id, message.headers,
        message.body, new.normal, flags_json(order),
    )  # fmt: skip


def store(database: Database, new: Arrival) -> Stored:
    """Store one reading, committed when this returns."""
    row = database.execute_raw(_STORE_NEW, (*_columns(new), None))
    if row is not None:
        return Stored(Verdict.NEW, row[0], bool(new.order.flags))
    with database.transaction() as connection:
        return store_beside(connection, new)


def store_beside(connection: Connection, new: Arrival) -> Stored:
    """Store a reading of an order that is held already (or was, a moment ago), in the caller's transaction."""
    while True:
        held = head(connection, new.order)
        verdict = judge(held, new.order.version, new.digest)
        if held is None:  # the head moved while we waited for its lock, or was never there
            row = connection.exec_driver_sql(_STORE_NEW, (*_columns(new), None)).first()
            if row is not None:
                return Stored(Verdict.NEW, str(row[0]), bool(new.order.flags))
            continue
        if verdict is Verdict.NEWER and (came_before := _came_before(connection, new, held)) is not None:
            return Stored(Verdict.SUPERSEDED, str(came_before))
        event_id = _take_effect(connection, new, held, verdict)
        is_flagged = verdict is Verdict.NEWER and bool(new.order.flags)
        return Stored(verdict, None if event_id is None else str(event_id), is_flagged)


def _came_before(connection: Connection, new: Arrival, held: Held) -> UUID | None:
    """Return the event of what comes again late, overtaken since, though it seems newer than the current revision.

    A message is known by its id; one without an id or any version of its own, by its content; a number that comes
    after a time, by the numbers before it.
    """
    order, message = new.order, new.message
    if message.message_id is not None or order.is_unversioned or order.version == held.version:
        asked = (order.source, order.id, message.message_id, new.digest)
        found = connection.exec_driver_sql(_SAME_MESSAGE, asked).scalar()
        if found is not None:
            return cast("UUID", found)
    if is_time(held.version) and not is_time(order.version):
        asked_number = (order.source, order.id, order.version, FIRST_TIME)
        return cast("UUID | None", connection.exec_driver_sql(_HIGHEST_NUMBER, asked_number).scalar())
    return None


def head(connection: Connection, order: Order) -> Held | None:
    """Return the reading held of an order, locked until the transaction ends."""
    row = connection.exec_driver_sql(_HEAD, (order.source, order.id)).first()
    return None if row is None else Held(row[0], row[1], bytes(row[2]), row[3])


def _take_effect(connection: Connection, new: Arrival, held: Held, verdict: Verdict) -> UUID | None:
    """Do what the verdict asks for and return the event that tells what became of the reading."""
    if verdict is Verdict.REPEAT:
        version = version_to_keep(held.version, new.order.version)
        if version != held.version:
            connection.exec_driver_sql(_REMEMBER, (version, held.event_id))
        return held.event_id
    if verdict is Verdict.NEWER:
        step_down(connection, held)
        return _id(connection, _STORE_NEW, (*_columns(new), revision_after(held, new.order.version)))
    if verdict is Verdict.SUPERSEDED:
        return _set_aside(connection, new, "superseded", ())
    return (
        _set_aside(connection, new, "quarantined", [conflict(new.order)])
        if new.message.door == "webhook"
        else None
    )


def revision_after(held: Held, version: int) -> int:
    """Return the revision of what takes the place of the current one."""
    return max(version, held.revision + 1)


def step_down(connection: Connection, held: Held) -> None:
    """Make room for a newer reading."""
    connection.exec_driver_sql(_STEP_DOWN, (held.event_id,))


def conflict(order: Order) -> Fault:
    """What is said of a version that came with two contents."""
    return Fault(f"version {order.version} of order {order.id!r} is held with other content")


def _set_aside(connection: Connection, new: Arrival, state: str, faults: Sequence[Fault]) -> UUID:
    """Keep a reading that changes nothing; one that came before is not kept twice."""
    order = new.order
    same = connection.exec_driver_sql(
        _SAME_ASIDE, (order.source, order.id, order.version, new.digest)
    ).scalar()
    if isinstance(same, UUID):
        return same
    return _id(connection, _ASIDE, (*_columns(new), state, as_json(faults) if faults else None))


def _id(connection: Connection, statement: str, values: tuple[object, ...]) -> UUID:
    """Run a statement that returns one id."""
    return cast("UUID", connection.exec_driver_sql(statement, values).scalar_one())


def store_unreadable(database: Database, message: Message, faults: Sequence[Fault]) -> UUID:
    """Keep a message that is signed but could not be read, until somebody replays it. The same bytes: once."""
    values = (
        message.source,
        message.door,
        message.message_id,
        message.headers,
        message.body,
        as_json(faults),
    )
    with database.transaction() as connection:
        connection.exec_driver_sql(
            "SELECT pg_advisory_xact_lock(hashtextextended('unreadable ' || %s, 0))", (message.source,)
        )
        same = connection.exec_driver_sql(_SAME_UNREADABLE, (message.source, message.body)).scalar()
        return same if isinstance(same, UUID) else _id(connection, _UNREADABLE, values)


def flags_json(order: Order) -> str | None:
    """Return an order's flags as they are stored; None for none."""
    return msgspec.json.encode(order.flags).decode() if order.flags else None


def as_json(faults: Sequence[Fault]) -> str:
    """Return faults as they are stored and answered."""
    return msgspec.json.encode([fault.as_json() for fault in faults]).decode()
