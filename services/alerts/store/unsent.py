"""Deliveries for an operator: looking them up, having them sent again, and discarding what nobody needs any more."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

from services.alerts.store.deliveries import RECIPIENT, is_paused
from shared import tasks
from shared.metrics import DeliveryBacklog

UNSENT = ("dead", "expired", "held", "not_allowed")
"""States in which a delivery ended unsent, and may be sent after all."""

COUNTED_UNSENT = ("dead", "expired", "held")
"""Those that were to be sent, and somebody has to look at: resent or discarded, they no longer count."""

RESENDABLE = (*UNSENT, "ready", "sent")
"""What may be sent again. What was withdrawn may not: it is no longer true."""


DISCARDABLE = (*UNSENT, "ready")


@dataclass(frozen=True, slots=True)
class Which:
    """Which deliveries are meant; what is None says nothing. `cause` is part of the reason or of the last error."""

    ids: tuple[UUID, ...] | None = None
    states: tuple[str, ...] | None = None
    channel: str | None = None
    cause: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    endpoint_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class ListedDelivery:
    """One delivery on a line. `what` it is about: a customer, a rep, or an operator's notice."""

    id: UUID
    created_at: datetime
    channel: str
    recipient: str
    state: str
    what: str
    attempts: int
    reason: str | None
    next_try: datetime | None


_FROM = (
    " FROM delivery LEFT JOIN LATERAL (SELECT n, detail FROM attempt WHERE delivery_id = delivery.id"
    "  ORDER BY n DESC LIMIT 1) AS last ON true"
)

_WHERE = (
    " WHERE (CAST(:ids AS uuid[]) IS NULL OR delivery.id = ANY(CAST(:ids AS uuid[])))"
    " AND (CAST(:states AS text[]) IS NULL OR delivery.state = ANY(CAST(:states AS text[])))"
    " AND (CAST(:channel AS text) IS NULL OR delivery.channel = :channel)"
    " AND (CAST(:endpoint_id AS uuid) IS NULL OR delivery.endpoint_id = :endpoint_id)"
    " AND (CAST(:since AS timestamptz) IS NULL OR delivery.created_at >= :since)"
    " AND (CAST(:until AS timestamptz) IS NULL OR delivery.created_at < :until)"
    " AND (CAST(:cause AS text) IS NULL"
    "  OR strpos(lower(concat_ws(' ', delivery.reason, last.detail)), lower(:cause)) > 0)"
)

_LIST = text(
    f"SELECT delivery.id, delivery.created_at, delivery.channel, {RECIPIENT} AS recipient, delivery.state,"  # noqa: S608 - our own
    " coalesce((SELECT string_agg(coalesce(customer.name, about.name, 'customer ' || customer.id), ', ')"
    "   FROM delivery_item JOIN alert ON alert.id = alert_id LEFT JOIN customer ON customer.id = alert.customer_id"
    "   LEFT JOIN rep AS about ON about.id = alert.about_rep_id WHERE delivery_id = delivery.id),"
    "  delivery.operator_notice->>'subject', '') AS what,"
    " coalesce(last.n, 0) AS attempts, coalesce(delivery.reason, last.detail, task.error) AS reason,"
    " CASE WHEN delivery.state = 'ready' THEN task.run_at END AS next_try"
    f"{_FROM} LEFT JOIN endpoint ON endpoint.id = delivery.endpoint_id"
    " LEFT JOIN task ON task.kind = 'deliver' AND task.key = CAST(delivery.id AS text)"
    f"{_WHERE} ORDER BY delivery.created_at DESC, delivery.id LIMIT :most"
)

# What somebody has dealt with, or what answered itself, is no longer sent.
_STILL_OPEN = (
    " AND (delivery.operator_notice IS NOT NULL OR EXISTS (SELECT FROM delivery_item JOIN alert ON alert.id = alert_id"
    "  WHERE delivery_id = delivery.id AND alert.state = 'open'))"
)

_RESEND = text(
    f"WITH which AS (SELECT delivery.id {_FROM} {_WHERE} {_STILL_OPEN})"  # noqa: S608
    " UPDATE delivery SET state = 'ready', reason = NULL, sent_at = NULL, resent_at = now(), due_at = now(),"
    "  expires_at = greatest(expires_at, now() + interval '4 days') FROM which WHERE delivery.id = which.id"
    " RETURNING delivery.id"
)

_DISCARD = text(
    f"WITH which AS (SELECT delivery.id {_FROM} {_WHERE})"  # noqa: S608
    " UPDATE delivery SET state = 'withdrawn', reason = 'discarded by an operator' FROM which"
    " WHERE delivery.id = which.id RETURNING delivery.id"
)


def find(connection: Connection, which: Which, most: int) -> list[ListedDelivery]:
    """Return these deliveries, the newest first."""
    rows = connection.execute(_LIST, _values(which) | {"most": most}).mappings()
    return [ListedDelivery(**row) for row in rows]


def resend(connection: Connection, which: Which) -> int:
    """Send these once more, under the ids they have, for four days at least; not those about closed alerts alone.

    Returns how many.
    """
    ids = connection.scalars(_RESEND, _values(_within(which, RESENDABLE))).all()
    tasks.put_again(connection, "alerts", "deliver", [str(each) for each in ids])
    return len(ids)


def discard(connection: Connection, which: Which) -> int:
    """Give these up for good: they are no longer counted as unsent. Returns how many."""
    return len(connection.scalars(_DISCARD, _values(_within(which, DISCARDABLE))).all())


_BACKLOG = text(
    "SELECT channel, state, count(*) FILTER (WHERE state <> 'ready' OR due_at <= now()) AS number,"
    " coalesce(extract(epoch FROM now() - min(due_at) FILTER (WHERE due_at <= now())), 0)::float8 AS oldest_seconds"
    " FROM delivery WHERE state IN ('ready', 'dead', 'expired', 'held') GROUP BY channel, state"
)

_FAILING = text("SELECT channel, count(*) AS number FROM endpoint_health GROUP BY channel")


def delivery_backlog(connection: Connection, channels: Iterable[str]) -> DeliveryBacklog:
    """Read what waits and what ended unsent; the partial index of what is unsent serves it."""
    rows = connection.execute(_BACKLOG).all()
    failing = connection.execute(_FAILING).all()
    none = dict.fromkeys(channels, 0)
    return DeliveryBacklog(
        waiting=none | {row.channel: row.number for row in rows if row.state == "ready"},
        oldest_seconds=none | {row.channel: row.oldest_seconds for row in rows if row.state == "ready"},
        unsent={(channel, state): 0 for channel in none for state in COUNTED_UNSENT}
        | {(row.channel, row.state): row.number for row in rows if row.state != "ready"},
        failing=none | {row.channel: row.number for row in failing},
        is_paused=is_paused(connection),
    )


def note(connection: Connection, action: str, subject: str) -> None:
    """Leave an audit row of what an operator did."""
    connection.execute(
        text("INSERT INTO audit (actor, action, object) VALUES ('command', :action, :subject)"),
        {"action": action, "subject": subject},
    )


def _within(which: Which, states: tuple[str, ...]) -> Which:
    """Leave out states in which a delivery is not touched."""
    return replace(which, states=tuple(each for each in which.states or states if each in states))


def _values(which: Which) -> dict[str, object]:
    values = asdict(which)
    values["ids"] = None if which.ids is None else list(which.ids)
    values["states"] = None if which.states is None else list(which.states)
    return values
