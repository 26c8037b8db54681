"""This file lets people look at what waits in quarantine, and has it read again once the cause is gone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from msgspec.structs import replace
from sqlalchemy import Connection, text

from services.ingest.faults import Contradiction, Fault
from services.ingest.normalise import Receipt
from services.ingest.receive import Held, Verdict, judge
from services.ingest.source import Read, read_event
from services.ingest.store import QUEUE, as_json, conflict, flags_json, head, revision_after, step_down
from shared import tasks
from shared.db import Database
from shared.domain.order import Order, digest, encode

_COLUMNS = "id, source, door, external_id, received_at, problem, body"
_LIST = text(f"SELECT {_COLUMNS} FROM event WHERE state = 'quarantined' ORDER BY received_at LIMIT :most")  # noqa: S608
_SHOW = text(f"SELECT {_COLUMNS} FROM event WHERE id = :id AND state = 'quarantined' FOR UPDATE")  # noqa: S608
_FLAGGED = text(
    "SELECT id, source, external_id, received_at, flags FROM event WHERE flags IS NOT NULL AND is_head"
    " ORDER BY received_at DESC LIMIT :most"
)
_STILL_BAD = text("UPDATE event SET problem = :problem WHERE id = :id")
_READ = text(
    "UPDATE event SET external_id = :external_id, version = :version, digest = :digest, normal = :normal,"
    " flags = :flags, revision = :revision, state = :state, is_head = :is_head, problem = NULL WHERE id = :id"
)


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A message that waits for a person, with its exact body."""

    id: UUID
    source: str
    door: str
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
    """What became of it: the verdict once it could be read, else the faults it still has."""

    verdict: Verdict | None
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
    """Return one, held until the transaction ends; None when it is not (or no longer) in quarantine."""
    row = connection.execute(_SHOW, {"id": event_id}).first()
    return None if row is None else Quarantined(*row)


def replay(
    connection: Connection, waiting: Quarantined, read: Read, receipt: Receipt, *, accept: bool = False
) -> Replayed:
    """Read the exact body again. With `accept`, one that conflicts with what is held takes its place."""
    try:
        order = read_event(read, waiting.body, replace(receipt, received_at=waiting.received_at))
    except Contradiction as contradiction:
        values = {"id": waiting.id, "problem": as_json(contradiction.faults)}
        connection.execute(_STILL_BAD, values)
        return Replayed(None, contradiction.faults)
    held = head(connection, order)
    verdict = judge(held, order.version, digest(order))
    if verdict is Verdict.CONFLICT and held is not None and accept:
        verdict = Verdict.NEWER  # decided by a person; the version stays the sender's own
    if verdict is Verdict.CONFLICT:
        return Replayed(verdict, [conflict(order)])
    _take_in(connection, waiting.id, order, held, is_held=verdict in (Verdict.NEW, Verdict.NEWER))
    return Replayed(verdict)


def _take_in(
    connection: Connection, event_id: UUID, order: Order, held: Held | None, *, is_held: bool
) -> None:
    """Move the event on: to the reading held, with its task, or aside."""
    if is_held and held is not None:
        step_down(connection, held)
    values = {
        "id": event_id,
        "external_id": order.id,
        "version": order.version,
        "digest": digest(order),
        "revision": revision_after(held, order.version) if is_held and held is not None else None,
        "normal": encode(order).decode(),
        "flags": flags_json(order),
        "state": "accepted" if is_held else "superseded",
        "is_head": is_held,
    }
    connection.execute(_READ, values)
    if is_held:
        tasks.put(connection, QUEUE, "score", [str(event_id)])
