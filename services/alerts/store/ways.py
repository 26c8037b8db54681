"""An alert's deliveries, and every try of each."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to deliver. No outcome: the process died in between, it may have arrived."""

    n: int
    started_at: datetime
    outcome: str | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One way an alert took, and what became of it."""

    id: UUID
    channel: str
    recipient: str
    state: str
    reason: str | None
    send_after: datetime | None
    sent_at: datetime | None
    attempts: tuple[Attempt, ...]


def deliveries_of(connection: Connection, alert_id: int) -> list[Delivery]:
    """Return every delivery of an alert with its attempts, oldest first."""
    tries = connection.execute(
        text(
            "SELECT attempt.delivery_id, n, started_at, outcome, detail FROM attempt"
            " JOIN delivery_item USING (delivery_id) WHERE alert_id = :alert ORDER BY n"
        ),
        {"alert": alert_id},
    ).all()
    found = connection.execute(
        text(
            "SELECT delivery.id, delivery.channel, delivery.recipient, state, reason, send_after, sent_at"
            " FROM delivery JOIN delivery_item ON delivery_id = delivery.id WHERE alert_id = :alert"
            " ORDER BY notice, delivery.channel, delivery.recipient"
        ),
        {"alert": alert_id},
    ).mappings()
    return [
        Delivery(
            **row,
            attempts=tuple(
                Attempt(each.n, each.started_at, each.outcome, each.detail)
                for each in tries
                if each.delivery_id == row["id"]
            ),
        )
        for row in found
    ]
