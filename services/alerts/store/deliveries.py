"""The delivery log: an attempt before each send, its outcome after, and whether sending is paused."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

PAUSED = "sending_paused"


@dataclass(frozen=True, slots=True)
class Held:
    """A delivery that may be sent, held until the transaction ends."""

    id: UUID
    alert_ids: tuple[int, ...]
    channel: str
    recipient: str
    endpoint_id: UUID | None
    secret_number: int

    @property
    def endpoint(self) -> tuple[str, str | None]:
        """What fails together: a webhook's own address; for mail, the one relay."""
        return self.channel, self.recipient if self.endpoint_id else None


@dataclass(frozen=True, slots=True)
class Started:
    """A delivery whose `n`-th attempt is on record and may now be made."""

    delivery: Held
    n: int


def is_paused(connection: Connection) -> bool:
    """Whether an operator has paused all sending."""
    return connection.scalar(text("SELECT value FROM control WHERE name = :name"), {"name": PAUSED}) is True


_HOLD = text(
    "SELECT delivery.id, ARRAY(SELECT alert_id FROM delivery_item WHERE delivery_id = delivery.id ORDER BY alert_id)"
    " AS alert_ids, delivery.channel, delivery.recipient, delivery.endpoint_id,"
    " delivery.state, delivery.expires_at <= now() AS is_expired,"
    " coalesce(endpoint.secret_number, 1) AS secret_number, coalesce(endpoint.state, 'on') AS endpoint_state"
    " FROM delivery LEFT JOIN endpoint ON endpoint.id = delivery.endpoint_id WHERE delivery.id = :id"
    " FOR UPDATE OF delivery"
)


def hold(connection: Connection, delivery_id: UUID) -> Held | None:
    """Return a delivery that waits to be sent, locked. None when there is nothing to send (any more); it says why."""
    row = connection.execute(_HOLD, {"id": delivery_id}).one_or_none()
    if row is None or row.state != "ready":
        return None
    if row.is_expired:
        set_state(connection, delivery_id, "expired", "too old to send; it stays in the inbox")
        return None
    if row.endpoint_state != "on":
        set_state(connection, delivery_id, "dead", "the endpoint is switched off")
        return None
    return Held(row.id, tuple(row.alert_ids), row.channel, row.recipient, row.endpoint_id, row.secret_number)


def start(connection: Connection, delivery: Held) -> Started:
    """Put the next attempt on record."""
    n = connection.execute(
        text(
            "INSERT INTO attempt (delivery_id, n) SELECT :id, 1 + coalesce(max(n), 0) FROM attempt"
            " WHERE delivery_id = :id RETURNING n"
        ),
        {"id": delivery.id},
    ).scalar_one()
    return Started(delivery, n)


def end_attempt(connection: Connection, started: Started, outcome: str, detail: str | None) -> None:
    """Write down how an attempt ended."""
    connection.execute(
        text(
            "UPDATE attempt SET finished_at = now(), outcome = :outcome, detail = :detail"
            " WHERE delivery_id = :id AND n = :n"
        ),
        {"id": started.delivery.id, "n": started.n, "outcome": outcome, "detail": detail},
    )


def set_state(connection: Connection, delivery_id: UUID, state: str, reason: str | None) -> None:
    """Change what a delivery has come to."""
    connection.execute(
        text("UPDATE delivery SET state = :state, reason = :reason WHERE id = :id"),
        {"id": delivery_id, "state": state, "reason": reason},
    )


def switch_off(connection: Connection, endpoint_id: UUID, reason: str) -> None:
    """Close an endpoint that said it is gone."""
    connection.execute(
        text("UPDATE endpoint SET state = 'off', state_reason = :reason WHERE id = :id"),
        {"id": endpoint_id, "reason": reason},
    )


def record_sent(connection: Connection, started: Started, receipt: dict[str, Any] | None) -> float | None:
    """Write down that an attempt arrived. Returns the seconds since the order came in, None when not known."""
    seconds = connection.scalar(
        text(
            "WITH ended AS (UPDATE attempt SET finished_at = now(), outcome = 'sent'"
            "  WHERE delivery_id = :id AND n = :n),"
            " sent AS (UPDATE delivery SET state = 'sent', reason = NULL, sent_at = now(),"
            "  receipt = CAST(:receipt AS jsonb) WHERE id = :id)"
            " SELECT extract(epoch FROM clock_timestamp() - min(event.received_at)) FROM alert"
            " JOIN sales_order ON sales_order.id = alert.order_id JOIN event ON event.id = sales_order.event_id"
            " WHERE alert.id = ANY(:alerts)"
        ),
        {
            "id": started.delivery.id,
            "n": started.n,
            "alerts": list(started.delivery.alert_ids),
            "receipt": receipt and json.dumps(receipt),
        },
    )
    return None if seconds is None else float(seconds)


def alerts_of(connection: Connection, delivery_ids: Sequence[UUID]) -> list[int]:
    """Return the alerts these deliveries are about."""
    found = connection.execute(
        text("SELECT DISTINCT alert_id FROM delivery_item WHERE delivery_id = ANY(:ids)"),
        {"ids": list(delivery_ids)},
    )
    return list(found.scalars())
