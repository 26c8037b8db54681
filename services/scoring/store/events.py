"""Read the events behind score tasks and record what became of them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, text

from services.scoring.store.rows import as_array
from shared.domain.order import Order, decode
from shared.tasks import Task


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of an order that is the newest held."""

    event_id: UUID
    entry_point: str
    version: int
    digest: bytes
    order: Order

    @property
    def identity(self) -> tuple[str, str]:
        """Who the order is, whatever its version: (source, id)."""
        return self.order.source, self.order.id


def not_done(connection: Connection, batch: Sequence[Task]) -> list[Task]:
    """Return the tasks that are not done: a batch that failed in part is run again as a whole."""
    rows = connection.execute(
        text("SELECT id FROM task WHERE id = ANY(CAST(:ids AS bigint[])) AND state <> 'done'"),
        {"ids": as_array(task.id for task in batch)},
    )
    still = set(rows.scalars())
    return [task for task in batch if task.id in still]


def read(connection: Connection, event_ids: Sequence[str]) -> dict[str, Reading]:
    """Read the newest readings among these events, by event id. Nothing is held yet."""
    rows = connection.execute(
        text(
            "SELECT id, entry_point, coalesce(revision, version) AS version, digest, normalized FROM event"
            " WHERE id = ANY(CAST(:ids AS uuid[])) AND is_current AND normalized IS NOT NULL"
        ),
        {"ids": list(event_ids)},
    ).all()
    return {
        str(row.id): Reading(row.id, row.entry_point, row.version, row.digest, decode(row.normalized))
        for row in rows
    }


def lock_heads(connection: Connection, readings: Sequence[Reading]) -> list[Reading]:
    """Return the readings that are still the newest, in business time, held until commit.

    The lock keeps ingest from moving the head meanwhile: one order is never applied twice at once.
    """
    rows = connection.execute(
        text(
            "SELECT id FROM event WHERE id = ANY(CAST(:ids AS uuid[])) AND is_current ORDER BY id FOR NO KEY UPDATE"
        ),
        {"ids": [str(each.event_id) for each in readings]},
    )
    heads = set(rows.scalars())
    held = [each for each in readings if each.event_id in heads]
    return sorted(held, key=lambda reading: (reading.order.ordered_at, reading.identity))


def record_outcome(connection: Connection, event_ids: Sequence[str], applied: Collection[UUID]) -> None:
    """Mark events as applied, the others as superseded by a newer reading."""
    connection.execute(
        text(
            "UPDATE event SET state = CASE WHEN id = ANY(:applied) THEN 'applied' ELSE 'stale' END,"
            " applied_at = CASE WHEN id = ANY(:applied) THEN now() END"
            " WHERE id = ANY(CAST(:ids AS uuid[])) AND (state = 'accepted' OR id = ANY(:applied))"
        ),
        {"ids": list(event_ids), "applied": list(applied)},
    )
