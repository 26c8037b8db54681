"""Order revisions in the database: store one as an event, with the task to score it.

Most are of new orders: one statement, one round trip. Where a revision of the order is current, its row is locked and
`services.ingest.compare` decides. A partial unique index allows one current revision, however many arrive at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast
from uuid import UUID

import msgspec
from sqlalchemy import Connection

from services.ingest.compare import FIRST_TIME, Comparison, CurrentRevision, compare, is_time, version_to_keep
from services.ingest.faults import Fault
from shared.db import Database
from shared.domain.order import Order, digest, encode

QUEUE = "scoring"


@dataclass(frozen=True, slots=True)
class Event:
    """What came in, as it came: the exact body, and the headers worth keeping, as JSON."""

    source: str
    entry_point: str
    body: bytes
    message_id: str | None = None
    headers: str | None = None


@dataclass(frozen=True, slots=True)
class OrderRevision:
    """A revision about to be stored, with the event it was read from."""

    order: Order
    digest: bytes
    normalized: str
    event: Event


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a revision. A conflict has no event where the sender can be answered. The id is only passed on."""

    comparison: Comparison
    event_id: str | None
    is_flagged: bool = False


def prepare(order: Order, event: Event) -> OrderRevision:
    """Prepare a revision for storing."""
    return OrderRevision(order, digest(order), encode(order).decode(), event)


_INSERT = (
    "INSERT INTO event (source, external_id, version, digest, is_current, entry_point, state, message_id, headers,"
    " body, normalized, flags, revision) VALUES (%s, %s, %s, %b, true, %s, 'accepted', %s, %s, %b, %s, %s, %s)"
    " ON CONFLICT (source, external_id) WHERE is_current DO NOTHING RETURNING id"
)

_PUT = "INSERT INTO task (queue, kind, key) SELECT 'scoring', 'score', id::text FROM stored"

_STORE_NEW = f"WITH stored AS ({_INSERT}), put AS ({_PUT}) SELECT id FROM stored"  # noqa: S608 - our own text

_CURRENT = (
    "SELECT id, version, digest, coalesce(revision, version) FROM event"
    " WHERE source = %s AND external_id = %s AND is_current FOR NO KEY UPDATE"
)

_REPLACE_CURRENT = (
    "UPDATE event SET is_current = false, state = CASE WHEN state = 'accepted' THEN 'stale' ELSE state END"
    " WHERE id = %s"
)

_KEEP = (
    "INSERT INTO event (source, external_id, version, digest, entry_point, message_id, headers, body, normalized,"
    " flags, state, problem) VALUES (%s, %s, %s, %b, %s, %s, %s, %b, %s, %s, %s, %s) RETURNING id"
)

_SAME_KEPT = (
    "SELECT id FROM event WHERE source = %s AND external_id = %s AND version = %s AND digest = %b"
    " AND NOT is_current LIMIT 1"
)

_REMEMBER = "UPDATE event SET version = %s, revision = coalesce(revision, version) WHERE id = %s"

_HIGHEST_NUMBER = (
    "SELECT id FROM event WHERE source = %s AND external_id = %s AND NOT is_current AND version >= %s AND version < %s"
    " AND state <> 'quarantined' ORDER BY version DESC LIMIT 1"
)

_SAME_MESSAGE = (
    "SELECT id FROM event WHERE source = %s AND external_id = %s AND NOT is_current"
    " AND message_id IS NOT DISTINCT FROM %s AND digest = %b AND state <> 'quarantined' LIMIT 1"
)

_UNREADABLE = (
    "INSERT INTO event (source, entry_point, state, message_id, headers, body, problem)"
    " VALUES (%s, %s, 'quarantined', %s, %s, %b, %s) RETURNING id"
)

_SAME_UNREADABLE = (
    "SELECT id FROM event WHERE source = %s AND external_id IS NULL AND state = 'quarantined'"
    " AND sha256(body) = sha256(%b) LIMIT 1"
)


def _columns(new: OrderRevision) -> tuple[object, ...]:
    order, event = new.order, new.event
    return (
        order.source, order.id, order.version, new.digest, event.entry_point, event.message_id, event.headers,
        event.body, new.normalized, flags_json(order),
    )  # fmt: skip


def store(database: Database, new: OrderRevision) -> Stored:
    """Store one revision, committed when this returns."""
    row = database.execute_prepared(_STORE_NEW, (*_columns(new), None))
    if row is not None:
        return Stored(Comparison.NEW, str(row[0]), bool(new.order.flags))
    with database.transaction() as connection:
        return store_beside(connection, new)


def store_beside(connection: Connection, new: OrderRevision) -> Stored:
    """Store a revision of an order we have already (or had, a moment ago), in the caller's transaction."""
    while True:
        current = current_revision(connection, new.order)
        comparison = compare(current, new.order.version, new.digest)
        if current is None:  # another one became current while we waited, or there never was one
            row = connection.exec_driver_sql(_STORE_NEW, (*_columns(new), None)).first()
            if row is not None:
                return Stored(Comparison.NEW, str(row[0]), bool(new.order.flags))
            continue
        if (
            comparison is Comparison.NEWER
            and (came_before := _came_before(connection, new, current)) is not None
        ):
            return Stored(Comparison.STALE, str(came_before))
        event_id = _take_effect(connection, new, current, comparison)
        is_flagged = comparison is Comparison.NEWER and bool(new.order.flags)
        return Stored(comparison, None if event_id is None else str(event_id), is_flagged)


def _came_before(connection: Connection, new: OrderRevision, current: CurrentRevision) -> UUID | None:
    """Return the event of what comes again late, overtaken since, though it seems newer than the current revision.

    A message is known by its id; one without an id or any version of its own, by its content; a number that comes
    after a time, by the numbers before it.
    """
    order, event = new.order, new.event
    if event.message_id is not None or order.is_unversioned or order.version == current.version:
        asked = (order.source, order.id, event.message_id, new.digest)
        found = connection.exec_driver_sql(_SAME_MESSAGE, asked).scalar()
        if found is not None:
            return cast("UUID", found)
    if is_time(current.version) and not is_time(order.version):
        asked_number = (order.source, order.id, order.version, FIRST_TIME)
        return cast("UUID | None", connection.exec_driver_sql(_HIGHEST_NUMBER, asked_number).scalar())
    return None


def current_revision(connection: Connection, order: Order) -> CurrentRevision | None:
    """Return the current revision of an order, locked until the transaction ends."""
    row = connection.exec_driver_sql(_CURRENT, (order.source, order.id)).first()
    return None if row is None else CurrentRevision(row[0], row[1], bytes(row[2]), row[3])


def _take_effect(
    connection: Connection, new: OrderRevision, current: CurrentRevision, comparison: Comparison
) -> UUID | None:
    """Do what the comparison asks for and return the event that tells what became of the revision."""
    if comparison is Comparison.DUPLICATE:
        version = version_to_keep(current.version, new.order.version)
        if version != current.version:
            connection.exec_driver_sql(_REMEMBER, (version, current.event_id))
        return current.event_id
    if comparison is Comparison.NEWER:
        replace_current(connection, current)
        return _id(connection, _STORE_NEW, (*_columns(new), revision_after(current, new.order.version)))
    if comparison is Comparison.STALE:
        return _keep(connection, new, "stale", ())
    return (
        _keep(connection, new, "quarantined", [conflict(new.order)])
        if new.event.entry_point == "webhook"
        else None
    )


def revision_after(current: CurrentRevision, version: int) -> int:
    """Return the revision of what takes the place of the current one."""
    return max(version, current.revision + 1)


def replace_current(connection: Connection, current: CurrentRevision) -> None:
    """Make room for a newer revision."""
    connection.exec_driver_sql(_REPLACE_CURRENT, (current.event_id,))


def conflict(order: Order) -> Fault:
    """What is said of a version that came with two contents."""
    return Fault(f"version {order.version} of order {order.id!r} is held with other content")


def _keep(connection: Connection, new: OrderRevision, state: str, faults: Sequence[Fault]) -> UUID:
    """Keep a revision that changes nothing; one that came before is not kept twice."""
    order = new.order
    same = connection.exec_driver_sql(
        _SAME_KEPT, (order.source, order.id, order.version, new.digest)
    ).scalar()
    if isinstance(same, UUID):
        return same
    return _id(connection, _KEEP, (*_columns(new), state, as_json(faults) if faults else None))


def _id(connection: Connection, statement: str, values: tuple[object, ...]) -> UUID:
    """Run a statement that returns one id."""
    return cast("UUID", connection.exec_driver_sql(statement, values).scalar_one())


def store_unreadable(database: Database, event: Event, faults: Sequence[Fault]) -> UUID:
    """Keep a message that is signed but could not be read, until somebody replays it. The same bytes: once."""
    values = (
        event.source,
        event.entry_point,
        event.message_id,
        event.headers,
        event.body,
        as_json(faults),
    )
    with database.transaction() as connection:
        connection.exec_driver_sql(
            "SELECT pg_advisory_xact_lock(hashtextextended('unreadable ' || %s, 0))", (event.source,)
        )
        same = connection.exec_driver_sql(_SAME_UNREADABLE, (event.source, event.body)).scalar()
        return same if isinstance(same, UUID) else _id(connection, _UNREADABLE, values)


def flags_json(order: Order) -> str | None:
    """Return an order's flags as they are stored; None for none."""
    return msgspec.json.encode(order.flags).decode() if order.flags else None


def as_json(faults: Sequence[Fault]) -> str:
    """Return faults as they are stored and answered."""
    return msgspec.json.encode([fault.as_json() for fault in faults]).decode()
