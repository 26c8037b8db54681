"""This file reads the events behind score tasks and records what became of them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, text

from shared.domain.order import Order, decode


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of an order that is the newest held."""

    event_id: UUID
    door: str
    version: int
    digest: bytes
    order: Order

    @property
    def identity(self) -> tuple[str, str]:
        """Who the order is, whatever its version: (source, id)."""
        return self.order.source, self.order.id


def lock_heads(connection: Connection, event_ids: Sequence[str]) -> list[Reading]:
    """Read the newest readings among these events, in business time, and hold them until commit.

    The lock keeps ingest from moving the head meanwhile: one order is never applied twice at once.
    """
    rows = connection.execute(
        text(
            "SELECT id, door, version, digest, normal FROM event"
            " WHERE id = ANY(CAST(:ids AS uuid[])) AND is_head AND normal IS NOT NULL ORDER BY id FOR NO KEY UPDATE"
        ),
        {"ids": list(event_ids)},
    )
    readings = [Reading(row.id, row.door, row.version, row.digest, decode(row.normal)) for row in rows]
    return sorted(readings, key=lambda reading: (reading.order.ordered_at, reading.identity))


def record_outcome(connection: Connection, event_ids: Sequence[str], applied: Collection[UUID]) -> None:
    """Mark events as applied, the others as superseded by a newer reading."""
    connection.execute(
        text(
            "UPDATE event SET state = CASE WHEN id = ANY(:applied) THEN 'applied' ELSE 'superseded' END,"
            " applied_at = CASE WHEN id = ANY(:applied) THEN now() END"
            " WHERE id = ANY(CAST(:ids AS uuid[])) AND (state = 'accepted' OR id = ANY(:applied))"
        ),
        {"ids": list(event_ids), "applied": list(applied)},
    )
