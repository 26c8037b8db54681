"""Deliveries that are sent: the attempts before and after each send, and what became of each."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from services.alerts.channel import Failures, OperatorNotice, Receipt
from services.alerts.store.health import ENDPOINT, Endpoint

PAUSED = "sending_paused"

NAME = "coalesce(endpoint.name, endpoint.channel || ' ' || left(CAST(endpoint.id AS text), 8))"
"""How an endpoint is shown: by its name, never by its address."""

RECIPIENT = f"coalesce({NAME} || ' (' || endpoint.id || ')', delivery.recipient)"
"""How whom a delivery goes to is shown, where its endpoint is joined to it."""


def address_place(endpoint_id: UUID) -> str:
    """What an endpoint's address is sealed for."""
    return f"endpoint/{endpoint_id}/address"


@dataclass(frozen=True, slots=True)
class Held:
    """A delivery that waits to be sent, locked until the transaction ends. `attempts`: how many were made before.

    `failures`: how they failed, since somebody had it sent again. `is_cut`: nobody knows how the last one ended.
    `open_until`: its endpoint's breaker is open, or half-open when that time is past. `is_failing`: it failed lately.
    `recipient`: a mail address, or the endpoint's id; `sealed_address`: that endpoint's.
    """

    id: UUID
    alert_ids: tuple[int, ...]
    channel: str
    recipient: str
    endpoint_id: UUID | None
    expires_at: datetime
    send_after: datetime | None = None
    secret_number: int = 1
    is_endpoint_on: bool = True
    holds_unknown: bool = False
    is_expired: bool = False
    attempts: int = 0
    failures: Failures = field(default_factory=Failures)
    is_cut: bool = False
    is_failing: bool = False
    is_breaker_open: bool = False
    open_until: datetime | None = None
    suppressed: str | None = None
    sealed_address: str | None = field(default=None, repr=False)
    has_signing_secret: bool = False
    notice: OperatorNotice | None = None

    @property
    def endpoint(self) -> Endpoint:
        """What fails together: an endpoint by its own id; for users, whatever serves the channel."""
        return self.channel, str(self.endpoint_id) if self.endpoint_id else ""


def is_paused(connection: Connection) -> bool:
    """Whether an operator has paused all sending."""
    return connection.scalar(text("SELECT value FROM control WHERE name = :name"), {"name": PAUSED}) is True


_HOLD = text(
    "SELECT delivery.id, delivery.channel, delivery.recipient, delivery.endpoint_id, delivery.expires_at,"  # noqa: S608 - our own
    " delivery.send_after,"
    " delivery.expires_at <= now() AS is_expired, coalesce(endpoint.secret_number, 1) AS secret_number,"
    " coalesce(endpoint.state, 'on') = 'on' AS is_endpoint_on,"
    " coalesce(endpoint.on_unknown = 'hold', false) AS holds_unknown, tried.attempts, tried.is_cut,"
    " tried.refused, tried.other, health.channel IS NOT NULL AS is_failing, health.open_until,"
    " coalesce(health.open_until > now(), false) AS is_breaker_open, suppressed.reason AS suppressed,"
    " endpoint.address AS sealed_address, endpoint.signing_secret IS NOT NULL AS has_signing_secret,"
    " delivery.operator_notice"
    " FROM delivery LEFT JOIN endpoint ON endpoint.id = delivery.endpoint_id"
    " LEFT JOIN endpoint_health AS health ON health.channel = delivery.channel"
    f"  AND health.endpoint = {ENDPOINT}"
    " LEFT JOIN suppressed_address AS suppressed ON suppressed.channel = delivery.channel"
    "  AND suppressed.address = lower(delivery.recipient)"
    " CROSS JOIN LATERAL (SELECT coalesce(max(n), 0) AS attempts,"
    "   coalesce(bool_or(outcome IS NULL), false) AS is_cut,"
    "   count(*) FILTER (WHERE outcome = 'refused' AND counts) AS refused,"
    "   count(*) FILTER (WHERE outcome <> 'refused' AND counts) AS other"
    "  FROM (SELECT n, outcome, started_at > coalesce(delivery.resent_at, '-infinity') AS counts FROM attempt"
    "   WHERE delivery_id = delivery.id) AS made) AS tried"
    " WHERE delivery.id = ANY(:ids) AND delivery.state = 'ready' ORDER BY delivery.id FOR UPDATE OF delivery"
)


_ITEMS = text(
    "SELECT delivery_id, array_agg(alert_id ORDER BY alert_id) AS alert_ids FROM delivery_item"
    " WHERE delivery_id = ANY(:ids) GROUP BY delivery_id"
)


def hold(connection: Connection, delivery_ids: Sequence[UUID]) -> dict[UUID, Held]:
    """Return those of these deliveries that wait to be sent, locked."""
    held = {}
    rows = connection.execute(_HOLD, {"ids": list(delivery_ids)}).mappings().all()
    # Asked for once they are locked: an alert may have been added to one while its lock was waited for.
    items = connection.execute(_ITEMS, {"ids": [row["id"] for row in rows]})
    alert_ids = {row.delivery_id: tuple(row.alert_ids) for row in items}
    for row in rows:
        values = dict(row)
        notice = values.pop("operator_notice")
        failures = Failures(values.pop("refused"), values.pop("other"))
        held[row["id"]] = Held(
            **values,
            alert_ids=alert_ids.get(row["id"], ()),
            failures=failures,
            notice=notice and OperatorNotice(notice["subject"], notice["text"]),
        )
    return held


def start_attempts(connection: Connection, deliveries: Sequence[Held]) -> None:
    """Put the next attempt of each on record."""
    connection.execute(
        text(
            "INSERT INTO attempt (delivery_id, n)"
            " SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:ns AS smallint[]))"
        ),
        {"ids": [each.id for each in deliveries], "ns": [each.attempts + 1 for each in deliveries]},
    )


def take_back_attempts(connection: Connection, deliveries: Sequence[Held]) -> None:
    """Delete the attempts that were put on record and then not made."""
    connection.execute(
        text(
            "DELETE FROM attempt USING unnest(CAST(:ids AS uuid[]), CAST(:ns AS smallint[])) AS given (id, n)"
            " WHERE delivery_id = given.id AND attempt.n = given.n AND outcome IS NULL"
        ),
        {"ids": [each.id for each in deliveries], "ns": [each.attempts + 1 for each in deliveries]},
    )


def end_cut_attempts(connection: Connection, deliveries: Sequence[Held]) -> None:
    """Write down that nobody knows how the last attempts of these ended: the process died in between."""
    if not deliveries:
        return
    connection.execute(
        text(
            "UPDATE attempt SET finished_at = now(), outcome = 'unknown', detail = 'the process died in between'"
            " WHERE delivery_id = ANY(:ids) AND outcome IS NULL"
        ),
        {"ids": [each.id for each in deliveries]},
    )


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ended, and the state its delivery came to with it; None: it is tried again."""

    delivery: Held
    outcome: str
    detail: str | None = None
    state: str | None = None
    reason: str | None = None
    receipt: Receipt = None


_END = text(
    "WITH given AS (SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:ns AS smallint[]), CAST(:outcomes AS text[]),"
    "   CAST(:details AS text[]), CAST(:states AS text[]), CAST(:reasons AS text[]), CAST(:receipts AS jsonb[]))"
    "  AS given (id, n, outcome, detail, state, reason, receipt)),"
    " ended AS (UPDATE attempt SET finished_at = now(), outcome = given.outcome, detail = given.detail"
    "  FROM given WHERE delivery_id = given.id AND attempt.n = given.n),"
    " changed AS (UPDATE delivery SET state = given.state, reason = given.reason, receipt = given.receipt,"
    "  sent_at = CASE WHEN given.state = 'sent' THEN now() END"
    "  FROM given WHERE delivery.id = given.id AND given.state IS NOT NULL)"
    " SELECT extract(epoch FROM clock_timestamp() - min(event.received_at)) FROM given"
    " JOIN delivery_item ON delivery_id = given.id JOIN alert ON alert.id = alert_id"
    " JOIN sales_order ON sales_order.id = alert.order_id JOIN event ON event.id = sales_order.event_id"
    " WHERE given.outcome = 'sent' GROUP BY given.id"
)


def end_attempts(connection: Connection, endings: Sequence[Ending]) -> list[float]:
    """Write down how attempts ended. Returns the seconds since its order came in, of each that arrived."""
    seconds = connection.scalars(
        _END,
        {
            "ids": [each.delivery.id for each in endings],
            "ns": [each.delivery.attempts + 1 for each in endings],
            "outcomes": [each.outcome for each in endings],
            "details": [each.detail for each in endings],
            "states": [each.state for each in endings],
            "reasons": [each.reason for each in endings],
            "receipts": [each.receipt and json.dumps(each.receipt) for each in endings],
        },
    )
    return [float(each) for each in seconds]


def set_states(connection: Connection, states: Mapping[UUID, tuple[str, str | None]]) -> None:
    """Change what deliveries have come to without being sent, with the reason."""
    connection.execute(
        text(
            "UPDATE delivery SET state = given.state, reason = given.reason"
            " FROM unnest(CAST(:ids AS uuid[]), CAST(:states AS text[]), CAST(:reasons AS text[]))"
            "  AS given (id, state, reason) WHERE delivery.id = given.id"
        ),
        {
            "ids": list(states),
            "states": [state for state, _ in states.values()],
            "reasons": [reason for _, reason in states.values()],
        },
    )


def switch_off(connection: Connection, endpoint_id: UUID, reason: str) -> None:
    """Send nothing more to an endpoint, for that reason."""
    connection.execute(
        text("UPDATE endpoint SET state = 'off', state_reason = :reason WHERE id = :id"),
        {"id": endpoint_id, "reason": reason},
    )


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to deliver. No outcome: the process died in between, it may have arrived."""

    n: int
    started_at: datetime
    outcome: str | None
    detail: str | None


def attempts_of(connection: Connection, delivery_id: UUID) -> list[Attempt]:
    """Return every attempt of a delivery, the first first."""
    rows = connection.execute(
        text("SELECT n, started_at, outcome, detail FROM attempt WHERE delivery_id = :id ORDER BY n"),
        {"id": delivery_id},
    )
    return [Attempt(**row) for row in rows.mappings()]


@dataclass(frozen=True, slots=True)
class LoggedDelivery:
    """A delivery of an alert, what became of it, and what the channel answered."""

    channel: str
    recipient: str
    state: str
    reason: str | None
    receipt: dict[str, Any] | None
    send_after: datetime | None
    attempts: tuple[Attempt, ...]


def delivery_log(connection: Connection, alert_id: int) -> list[LoggedDelivery]:
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
            f"SELECT delivery.id, delivery.channel, {RECIPIENT} AS recipient, delivery.state, delivery.reason,"  # noqa: S608
            " delivery.receipt, delivery.send_after FROM delivery JOIN delivery_item ON delivery_id = delivery.id"
            " LEFT JOIN endpoint ON endpoint.id = delivery.endpoint_id WHERE alert_id = :alert"
            " ORDER BY notice, delivery.channel, 3"
        ),
        {"alert": alert_id},
    )
    return [
        LoggedDelivery(
            *(row.channel, row.recipient, row.state, row.reason, row.receipt, row.send_after),
            attempts=tuple(
                Attempt(each.n, each.started_at, each.outcome, each.detail)
                for each in tries
                if each.delivery_id == row.id
            ),
        )
        for row in found
    ]
