"""Closing what answered itself: the customer ordered, the condition cleared, or it fell quiet."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, text

from services.alerts.store.episodes import RECORD_CLOSED
from shared import tasks

QUEUE = "alerts"

_CLOSE = (
    "WITH answered AS ("
    " SELECT alert.id, coalesce(min(episode.close_reason), 'fell quiet') AS reason"
    " FROM alert JOIN decision ON decision.alert_id = alert.id JOIN episode ON episode.id = decision.episode_id"
    " WHERE alert.state IN ('open', 'snoozed') AND {which}"
    " GROUP BY alert.id HAVING NOT bool_or(episode.closed_at IS NULL AND episode.quiet_after > :now)),"
    " closed AS (UPDATE alert SET state = 'done', closed_at = :now, snoozed_until = NULL,"
    "  close_reason = 'by itself: ' || answered.reason FROM answered WHERE alert.id = answered.id RETURNING alert.id),"
    " withdrawn AS (UPDATE delivery SET state = 'withdrawn', reason = 'it answered itself before it was sent'"
    "  FROM closed JOIN delivery_item ON delivery_item.alert_id = closed.id"
    "  WHERE delivery.id = delivery_item.delivery_id AND delivery.state = 'ready' AND NOT EXISTS ("
    "   SELECT FROM delivery_item AS other WHERE other.delivery_id = delivery.id"
    "    AND other.alert_id NOT IN (SELECT id FROM closed)) AND NOT EXISTS ("
    "   SELECT FROM attempt WHERE delivery_id = delivery.id AND outcome IS NULL))"
    " SELECT count(*) FROM closed"
)
_CLOSE_OF_CUSTOMERS = text(_CLOSE.format(which="alert.customer_id = ANY(:customers)"))
_CLOSE_ALL = text(_CLOSE.format(which="true"))


def close_answered(connection: Connection, customer_ids: Sequence[int], now: datetime) -> int:
    """Close the alerts of these customers whose every question is answered. Returns how many."""
    return int(connection.scalar(_CLOSE_OF_CUSTOMERS, {"customers": list(customer_ids), "now": now}) or 0)


def tidy(connection: Connection, now: datetime) -> int:
    """Close every episode that fell quiet, every alert that is answered, and deliveries whose task died.

    Returns how many alerts were closed.
    """
    connection.execute(
        text(
            "WITH closed AS (UPDATE episode SET closed_at = :now, close_reason = 'fell quiet'"  # noqa: S608 - our own
            " WHERE closed_at IS NULL AND quiet_after <= :now"
            f" RETURNING id, closed_at, close_reason) {RECORD_CLOSED}"
        ),
        {"now": now},
    )
    connection.execute(
        text(
            "UPDATE delivery SET state = 'expired', reason = 'nobody could send it in time'"
            " WHERE state = 'ready' AND expires_at <= now() AND NOT EXISTS (SELECT FROM task"
            "  WHERE kind = 'deliver' AND key = CAST(delivery.id AS text) AND state IN ('ready', 'leased'))"
        )
    )
    return int(connection.scalar(_CLOSE_ALL, {"now": now}) or 0)


def put_tidy(connection: Connection) -> None:
    """Put the tidying of the day, once."""
    today = connection.scalar(
        text(
            "SELECT CAST(current_date AS text) WHERE NOT EXISTS ("
            " SELECT FROM task WHERE kind = 'tidy' AND key = CAST(current_date AS text))"
        )
    )
    if today:
        tasks.put(connection, QUEUE, "tidy", [today])
