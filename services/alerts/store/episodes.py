"""The history of episodes: who moved one from which state to which, when and why."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection, text

RECORD_CLOSED = (
    "INSERT INTO episode_event (episode_id, from_state, to_state, actor, at, reason)"
    " SELECT closed.id, (SELECT to_state FROM episode_event WHERE episode_id = closed.id ORDER BY id DESC LIMIT 1),"
    " 'closed', 'alerts', closed.closed_at, closed.close_reason FROM closed"
)
"""What follows `WITH closed AS (UPDATE episode ... RETURNING id, closed_at, close_reason)`."""

_RECORD = text(
    "INSERT INTO episode_event (episode_id, from_state, to_state, actor, actor_id, at, reason)"
    " SELECT moved.id, (SELECT to_state FROM episode_event WHERE episode_id = moved.id ORDER BY id DESC LIMIT 1),"
    " CAST(:state AS text), CAST(:actor AS text), CAST(:actor_id AS bigint), CAST(:at AS timestamptz),"
    " CAST(:reason AS text) FROM unnest(CAST(:ids AS bigint[])) AS moved (id)"
)


@dataclass(frozen=True, slots=True)
class Change:
    """What came of an episode, when, by whom and why. `actor_id`: the user who acted, where one is known."""

    state: str
    at: datetime
    actor: str = "alerts"
    actor_id: int | None = None
    reason: str | None = None


def record_change(connection: Connection, episode_ids: Sequence[int], change: Change) -> None:
    """Write down that these episodes came to a state."""
    if episode_ids:
        connection.execute(_RECORD, asdict(change) | {"ids": sorted(episode_ids)})


def of_alert(connection: Connection, alert_id: int) -> list[int]:
    """Return the episodes an alert is about: those of its message, else all that stand in it."""
    found = connection.execute(
        text(
            "SELECT episode_id FROM decision WHERE alert_id = :alert AND episode_id IS NOT NULL"
            " AND (rank IS NOT NULL OR NOT EXISTS ("
            "  SELECT FROM decision AS other WHERE other.alert_id = :alert AND other.rank IS NOT NULL))"
        ),
        {"alert": alert_id},
    )
    return sorted(set(found.scalars()))
