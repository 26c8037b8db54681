"""Order revisions: store one as an event with the task to score it, compare it with the current one.

Most are of new orders: one statement, one round trip. Where a revision of the order is current, its row is locked and
the two are compared. A partial unique index allows one current revision, however many arrive at once.

A version is the sender's number, or a time in microseconds since 1970 where the sender gives no number. Numbers below
10^14 (the year 1973) are the sender's. Two numbers, or two times, compare by value. A time and a number say nothing
about each other, and two times within one second little: then what comes later is newer, unless its facts were there
before (`overtaken`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import cast
from uuid import UUID

import msgspec
from sqlalchemy import Connection

from shared.db import Database
from shared.domain.order import Order, digest, encode
from shared.faults import Fault

QUEUE = "scoring"
FIRST_TIME = 10**14
SECOND = 1_000_000


class Comparison(StrEnum):
    """What a revision is, beside the current one."""

    NEW = "new"
    NEWER = "newer"
    DUPLICATE = "duplicate"
    STALE = "stale"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class CurrentRevision:
    """The current revision of an order. `revision` rises with each current one, whatever the versions do."""

    event_id: UUID
    version: int
    digest: bytes
    revision: int = 0


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

# The same facts before, or a higher number: a time lies beyond every number.
_OVERTAKEN = (
    "SELECT DISTINCT ON (external_id) external_id, event.id"
    " FROM unnest(%s::text[], %s::bigint[], %s::bytea[]) AS new (external_id, version, digest)"
    " JOIN event USING (external_id) WHERE source = %s AND NOT is_current AND state <> 'quarantined' AND"
    " (event.digest = new.digest OR (event.version >= new.version AND event.version < %s))"
    " ORDER BY external_id, event.version DESC"
)

_UNREADABLE = (
    "INSERT INTO event (source, entry_point, state, message_id, headers, body, problem)"
    " VALUES (%s, %s, 'quarantined', %s, %s, %b, %s) RETURNING id"
)

_SAME_UNREADABLE = (
    "SELECT id FROM event WHERE source = %s AND external_id IS NULL AND state = 'quarantined'"
    " AND sha256(body) = sha256(%b) LIMIT 1"
)


def _columns(new: OrderRevision) -> tuple[str | int | bytes | None, ...]:
    order, event = new.order, new.event
    return (
        order.source, order.id, order.version, new.digest, event.entry_point, event.message_id, event.headers,
        event.body, new.normalized, flags_json(order),
    )  # fmt: skip


def store(database: Database, new: OrderRevision) -> Stored:
    """Store one revision, committed when this returns."""
    row = database.execute_prepared(_STORE_NEW, (*_columns(new), None))
    if row is not None:
        return Stored(Comparison.NEW, row[0], bool(new.order.flags))
    with database.transaction() as connection:
        return store_beside(connection, new)


def store_beside(connection: Connection, new: OrderRevision) -> Stored:
    """Store a revision of an order we have already (or had, a moment ago), in the caller's transaction."""
    order = new.order
    while (current := current_revision(connection, order)) is None:
        # Another one became current while we waited, or there never was one.
        row = connection.exec_driver_sql(_STORE_NEW, (*_columns(new), None)).first()
        if row is not None:
            return Stored(Comparison.NEW, str(row[0]), bool(order.flags))
    comparison = compare(current, order.version, new.digest)
    if comparison is Comparison.NEWER:
        if is_newer_by_receipt(current, order) and (before := overtaken(connection, [(order, new.digest)])):
            return Stored(Comparison.STALE, str(before[order.id]))
        replace_current(connection, current)
        values = (*_columns(new), revision_after(current, order.version))
        return Stored(comparison, str(_id(connection, _STORE_NEW, values)), bool(order.flags))
    if comparison is Comparison.DUPLICATE:
        version = version_to_keep(current.version, order.version)
        if version != current.version:
            connection.exec_driver_sql(_REMEMBER, (version, current.event_id))
        return Stored(comparison, str(current.event_id))
    if comparison is Comparison.STALE:
        return Stored(comparison, str(_keep(connection, new, "stale", None)))
    if new.event.entry_point != "webhook":
        return Stored(comparison, None)
    return Stored(comparison, str(_keep(connection, new, "quarantined", as_json([conflict(order)]))))


def compare(current: CurrentRevision | None, version: int, digest: bytes) -> Comparison:
    """Compare a revision with the current one. The same content is a duplicate whatever its version."""
    if current is None:
        return Comparison.NEW
    if digest == current.digest:
        return Comparison.DUPLICATE
    if version == current.version:
        if digest[:-32] != current.digest[:-32]:
            # Two versions of the reader differ, not what the sender sent.
            return Comparison.DUPLICATE
        # Within one second a clock cannot tell which edit is newer: the later receipt holds.
        return Comparison.NEWER if is_time(version) and version % SECOND == 0 else Comparison.CONFLICT
    if is_time(version) != is_time(current.version):
        return Comparison.NEWER
    return Comparison.NEWER if version > current.version else Comparison.STALE


def is_newer_by_receipt(current: CurrentRevision, order: Order) -> bool:
    """Does only the order of receipt make it newer? Then it is stale all the same if it was there before."""
    return (
        order.is_unversioned
        or order.version == current.version
        or is_time(order.version) != is_time(current.version)
    )


def is_time(version: int) -> bool:
    """Is this version a time, as the sender gave no number?"""
    return version >= FIRST_TIME


def version_to_keep(current: int, repeated: int) -> int:
    """Return the version of the current revision once its content came again: a number goes before a time."""
    if is_time(current) != is_time(repeated):
        return min(current, repeated)
    return max(current, repeated)


def current_revision(connection: Connection, order: Order) -> CurrentRevision | None:
    """Return the current revision of an order, locked until the transaction ends."""
    row = connection.exec_driver_sql(_CURRENT, (order.source, order.id)).first()
    return None if row is None else CurrentRevision(row[0], row[1], bytes(row[2]), row[3])


def overtaken(connection: Connection, new: Sequence[tuple[Order, bytes]]) -> dict[str, UUID]:
    """Return, by order, the events that show revisions of one source to be stale, though they came last.

    The facts were there before, or, for a number that follows a time, a higher number was.
    """
    if not new:
        return {}
    ids, versions = [order.id for order, _ in new], [order.version for order, _ in new]
    values = (ids, versions, [digest for _, digest in new], new[0][0].source, FIRST_TIME)
    return {row[0]: row[1] for row in connection.exec_driver_sql(_OVERTAKEN, values)}


def replace_current(connection: Connection, current: CurrentRevision) -> None:
    """Make room for a newer revision."""
    connection.exec_driver_sql(_REPLACE_CURRENT, (current.event_id,))


def revision_after(current: CurrentRevision, version: int) -> int:
    """Return the revision of what takes the place of the current one."""
    return max(version, current.revision + 1)


def conflict(order: Order) -> Fault:
    """Return the fault of a version that came with two contents."""
    return Fault(f"version {order.version} of order {order.id!r} is held with other content")


def _keep(connection: Connection, new: OrderRevision, state: str, problem: str | None) -> UUID:
    """Keep a revision that changes nothing; one that came before is not kept twice."""
    order = new.order
    asked = (order.source, order.id, order.version, new.digest)
    same = connection.exec_driver_sql(_SAME_KEPT, asked).scalar()
    return same if isinstance(same, UUID) else _id(connection, _KEEP, (*_columns(new), state, problem))


def _id(connection: Connection, statement: str, values: tuple[object, ...]) -> UUID:
    """Run a statement that returns one id."""
    return cast("UUID", connection.exec_driver_sql(statement, values).scalar_one())


def store_unreadable(database: Database, event: Event, faults: Sequence[Fault]) -> UUID:
    """Keep a message that is signed but could not be read, until somebody replays it. The same bytes: once."""
    values = (
        event.source, event.entry_point, event.message_id, event.headers, event.body, as_json(faults),
    )  # fmt: skip
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
