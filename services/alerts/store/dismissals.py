"""Storing what reps waved away, and reading what still has its effect."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from services.alerts.dismissals import EFFECTS, Dismissal, Effect
from services.alerts.store.record import RECORD_CLOSED

# The question an alert is named after: the others of its message stay open.
_DISMISS = text(
    "WITH lead AS (SELECT decision.episode_id, signal.customer_id,"
    "  CASE WHEN signal.customer_id IS NULL THEN signal.rep_id END AS rep_id, signal.kind, signal.subject, signal.stake"
    "  FROM decision JOIN signal ON signal.id = signal_id WHERE alert_id = :alert AND episode_id IS NOT NULL"
    "  ORDER BY rank NULLS LAST, signal.value DESC, signal.id LIMIT 1)"
    " INSERT INTO dismissal (alert_id, reason, since, until, episode_id, customer_id, rep_id, kind, subject, stake)"
    " SELECT CAST(:alert AS bigint), CAST(:reason AS text), CAST(:now AS timestamptz), CAST(:until AS timestamptz),"
    "  lead.* FROM lead"
)

_CLOSE = text(
    "WITH closed AS (UPDATE episode SET closed_at = :now, close_reason = :reason"  # noqa: S608 - our own
    " FROM dismissal WHERE dismissal.alert_id = :alert AND dismissal.ended_at IS NULL"
    " AND episode.id = dismissal.episode_id AND episode.closed_at IS NULL"
    f" RETURNING episode.id, episode.closed_at, episode.close_reason) {RECORD_CLOSED}"
)

_REOPEN = text(
    "UPDATE episode SET closed_at = NULL, close_reason = NULL FROM dismissal WHERE dismissal.alert_id = :alert"
    " AND dismissal.ended_at IS NULL AND episode.id = dismissal.episode_id AND episode.close_reason LIKE 'dismissed: %'"
    " AND NOT EXISTS (SELECT FROM episode AS other"
    "  WHERE other.kind = episode.kind AND other.subject = episode.subject AND other.closed_at IS NULL"
    "  AND (other.customer_id = episode.customer_id OR other.rep_id = episode.rep_id))"
)


def dismiss(connection: Connection, alert_id: int, reason: str, now: datetime) -> Effect:
    """Store that the question an alert is named after was waved away, and close it where that silences anything.

    Returns what follows.
    """
    effect = EFFECTS[reason]
    until = now + timedelta(days=effect.days)
    connection.execute(_DISMISS, {"alert": alert_id, "reason": reason, "now": now, "until": until})
    # What was only known stays the same question: found again, it is no news.
    if effect.scope is not None:
        connection.execute(_CLOSE, {"alert": alert_id, "now": now, "reason": f"dismissed: {effect.words}"})
    return effect


def undo(connection: Connection, alert_id: int, now: datetime) -> None:
    """Take back what was waved away at an alert: it has no effect any more, and its question is open again."""
    connection.execute(_REOPEN, {"alert": alert_id})
    connection.execute(
        text("UPDATE dismissal SET ended_at = :now WHERE alert_id = :alert AND ended_at IS NULL"),
        {"alert": alert_id, "now": now},
    )


# That a customer has left is undone by its next order.
_LIVE = text(
    "SELECT customer_id, rep_id, kind, subject, reason, until, stake FROM dismissal"
    " WHERE (customer_id = ANY(:customers) OR rep_id = ANY(:reps)) AND ended_at IS NULL AND until > :now"
    " AND NOT (reason = 'customer_gone' AND EXISTS (SELECT FROM sales_order"
    "  WHERE sales_order.customer_id = dismissal.customer_id AND is_counted AND kind = 'sale'"
    "   AND ordered_at > dismissal.since))"
)


def live(
    connection: Connection, customer_ids: Iterable[int], rep_ids: Iterable[int], now: datetime
) -> tuple[Dismissal, ...]:
    """Return the dismissals about these customers and reps that still have an effect."""
    rows = connection.execute(
        _LIVE, {"customers": sorted(customer_ids), "reps": sorted(rep_ids), "now": now}
    ).mappings()
    return tuple(Dismissal(**row) for row in rows)
