"""Quarantine: list what waits, and read it again once the cause is gone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from msgspec.structs import replace
from sqlalchemy import Connection, text

from services.ingest.source import InvalidOrder, Read, ReadContext, read_event
from services.ingest.store import (
    QUEUE,
    Comparison,
    CurrentRevision,
    as_json,
    compare,
    conflict,
    current_revision,
    flags_json,
    is_newer_by_receipt,
    replace_current,
    revision_after,
)
from shared import tasks
from shared.db import Database
from shared.domain.order import Order, digest, encode
from shared.faults import Fault

_COLUMNS = "id, source, entry_point, external_id, received_at, problem, body"
_LIST = text(f"SELECT {_COLUMNS} FROM event WHERE state = 'quarantined' ORDER BY received_at LIMIT :most")  # noqa: S608
_SHOW = text(f"SELECT {_COLUMNS} FROM event WHERE id = :id AND state = 'quarantined' FOR UPDATE")  # noqa: S608
_FLAGGED = text(
    "SELECT id, source, external_id, received_at, flags FROM event WHERE flags IS NOT NULL AND is_current"
    " ORDER BY received_at DESC LIMIT :most"
)
_RECEIVED_AT = text("SELECT received_at FROM event WHERE id = :id")
_STILL_BAD = text("UPDATE event SET problem = :problem WHERE id = :id")
_READ = text(
    "UPDATE event SET external_id = :external_id, version = :version, digest = :digest, normalized = :normalized,"
    " flags = :flags, revision = :revision, state = :state, is_current = :is_current, problem = NULL WHERE id = :id"
)


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A message that waits for a person, with its exact body."""

    id: UUID
    source: str
    entry_point: str
    order_id: str | None
    received_at: datetime
    faults: Sequence[Mapping[str, str]]
    body: bytes


@dataclass(frozen=True, slots=True)
class Flagged:
    """An order that was taken, and what a person should know of it."""

    event_id: UUID
    source: str
    order_id: str
    received_at: datetime
    flags: Sequence[str]


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of it: the comparison once it could be read, else the faults it still has."""

    comparison: Comparison | None
    faults: Sequence[Fault] = ()


def list_quarantined(database: Database, most: int) -> list[Quarantined]:
    """Return the oldest quarantined messages."""
    with database.transaction() as connection:
        return [Quarantined(*row) for row in connection.execute(_LIST, {"most": most})]


def list_flagged(database: Database, most: int) -> list[Flagged]:
    """Return the newest orders that were taken though something about them should be known."""
    with database.transaction() as connection:
        return [Flagged(*row) for row in connection.execute(_FLAGGED, {"most": most})]


def quarantined_by_source(database: Database) -> dict[str, int]:
    """Return how many messages of each source wait in quarantine."""
    with database.autocommit() as connection:
        rows = connection.execute(
            text("SELECT source, count(*) FROM event WHERE state = 'quarantined' GROUP BY 1")
        )
        return {source: number for source, number in rows}  # noqa: C416 - dict() would ask the result for keys


def find(connection: Connection, event_id: UUID) -> Quarantined | None:
    """Return one, locked until the transaction ends; None when it is not (or no longer) in quarantine."""
    row = connection.execute(_SHOW, {"id": event_id}).first()
    return None if row is None else Quarantined(*row)


def replay(
    connection: Connection, waiting: Quarantined, read: Read, context: ReadContext, *, accept: bool = False
) -> Replayed:
    """Read the exact body again. With `accept`, one that conflicts with what is current takes its place."""
    try:
        order = read_event(read, waiting.body, replace(context, received_at=waiting.received_at))
    except InvalidOrder as invalid:
        values = {"id": waiting.id, "problem": as_json(invalid.faults)}
        connection.execute(_STILL_BAD, values)
        return Replayed(None, invalid.faults)
    current = current_revision(connection, order)
    comparison = compare(current, order.version, digest(order))
    if comparison is Comparison.NEWER and current is not None and is_newer_by_receipt(current, order):
        received_at = connection.execute(_RECEIVED_AT, {"id": current.event_id}).scalar_one()
        if received_at > waiting.received_at:
            comparison = Comparison.STALE  # a replay keeps its first receipt
    if comparison is Comparison.CONFLICT and current is not None and accept:
        comparison = Comparison.NEWER  # decided by a person; the version stays the sender's own
    if comparison is Comparison.CONFLICT:
        return Replayed(comparison, [conflict(order)])
    _take_in(
        connection, waiting.id, order, current, is_current=comparison in (Comparison.NEW, Comparison.NEWER)
    )
    return Replayed(comparison)


def _take_in(
    connection: Connection, event_id: UUID, order: Order, current: CurrentRevision | None, *, is_current: bool
) -> None:
    """Move the event on: make it the current revision, with its task, or keep it as stale."""
    if is_current and current is not None:
        replace_current(connection, current)
    values = {
        "id": event_id,
        "external_id": order.id,
        "version": order.version,
        "digest": digest(order),
        "revision": revision_after(current, order.version) if is_current and current is not None else None,
        "normalized": encode(order).decode(),
        "flags": flags_json(order),
        "state": "accepted" if is_current else "stale",
        "is_current": is_current,
    }
    connection.execute(_READ, values)
    if is_current:
        tasks.put(connection, QUEUE, "score", [str(event_id)])
