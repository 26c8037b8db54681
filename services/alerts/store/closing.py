"""Closing alerts: their order changed, the customer ordered, the condition cleared, or there was no new evidence."""

from collections.abc import Sequence
from datetime import date, datetime

from sqlalchemy import Connection, text

from services.alerts.store.record import RECORD_CLOSED, Change, record_change
from shared import tasks

QUEUE = "alerts"

_OVERTAKEN = text(
    "SELECT alert.id, alert.state <> 'open' OR EXISTS (SELECT FROM delivery_item"
    "  JOIN delivery ON delivery.id = delivery_id WHERE alert_id = alert.id"
    "  AND (state = 'sent' OR EXISTS (SELECT FROM attempt WHERE delivery_id = delivery.id"
    "   AND (outcome IS NULL OR outcome IN ('sent', 'unknown'))))) AS is_gone"
    " FROM alert WHERE alert.order_id = ANY(:orders) AND alert.state <> 'withdrawn' AND EXISTS ("
    "  SELECT FROM decision JOIN signal ON signal.id = signal_id"
    "  LEFT JOIN sales_order ON sales_order.id = signal.order_id"
    "  WHERE decision.alert_id = alert.id AND decision.reason <> 'amended'"
    "   AND (signal.withdrawn_at IS NOT NULL OR signal.order_version < sales_order.version))"
)
"""Gone: a message has left, or may have, or the rep has dealt with the alert in the inbox."""


def amend(connection: Connection, order_ids: Sequence[int], now: datetime) -> tuple[int, int]:
    """Treat the alerts whose order has changed since. Returns how many were withdrawn and how many were marked."""
    # A delivery that is being started now is waited for: it is either withdrawn or sent, never both.
    connection.execute(
        text(
            "SELECT delivery.id FROM delivery JOIN delivery_item ON delivery_id = delivery.id"
            " JOIN alert ON alert.id = alert_id WHERE alert.order_id = ANY(:orders)"
            " ORDER BY delivery.id FOR UPDATE OF delivery"
        ),
        {"orders": list(order_ids)},
    )
    overtaken = connection.execute(_OVERTAKEN, {"orders": list(order_ids)}).all()
    gone = [row.id for row in overtaken if row.is_gone]
    unsent = [row.id for row in overtaken if not row.is_gone]
    if gone:
        connection.execute(
            text("UPDATE alert SET amended_at = coalesce(amended_at, now()) WHERE id = ANY(:ids)"),
            {"ids": gone},
        )
        _withdraw_deliveries(connection, gone)
        # There is nobody to call about an order that is no trade any more.
        connection.execute(
            text(
                "UPDATE alert SET state = 'done', close_reason = 'the order was ' || sales_order.status,"
                " closed_at = now() FROM sales_order"
                " WHERE sales_order.id = alert.order_id AND NOT sales_order.is_counted"
                " AND alert.id = ANY(:ids) AND alert.state IN ('open', 'snoozed')"
            ),
            {"ids": gone},
        )
    if unsent:
        _withdraw_deliveries(connection, unsent)
        _take_back(connection, unsent, now)
    return len(unsent), len(gone)


def _withdraw_deliveries(connection: Connection, alert_ids: Sequence[int]) -> None:
    connection.execute(
        text(
            "UPDATE delivery SET state = 'withdrawn', reason = 'the order changed'"
            " WHERE state IN ('ready', 'shadow', 'not_allowed')"
            " AND id IN (SELECT delivery_id FROM delivery_item WHERE alert_id = ANY(:ids))"
            " AND NOT EXISTS (SELECT FROM delivery_item WHERE delivery_id = delivery.id AND alert_id <> ALL(:ids))"
        ),
        {"ids": list(alert_ids)},
    )


def _take_back(connection: Connection, alert_ids: Sequence[int], now: datetime) -> None:
    """As if it had never been decided: its episodes are as before, its place in the budget is free."""
    taken_back = connection.execute(
        text(
            "UPDATE episode SET notified_at = before.decided_at, value = coalesce(before.value, episode.value)"
            " FROM decision LEFT JOIN LATERAL ("
            "  SELECT earlier.decided_at, signal.value FROM decision AS earlier"
            "  JOIN alert ON alert.id = earlier.alert_id JOIN signal ON signal.id = earlier.signal_id"
            "  WHERE earlier.episode_id = decision.episode_id AND earlier.alert_id <> ALL(:ids)"
            "   AND earlier.rank IS NOT NULL AND alert.state <> 'withdrawn'"
            "  ORDER BY earlier.decided_at DESC, earlier.signal_id DESC LIMIT 1) AS before ON true"
            " WHERE decision.episode_id = episode.id"
            " AND decision.alert_id = ANY(:ids) AND decision.rank IS NOT NULL RETURNING episode.id"
        ),
        {"ids": list(alert_ids)},
    )
    record_change(
        connection, sorted(set(taken_back.scalars())), Change("open", now, reason="the order changed")
    )
    connection.execute(
        text(
            "UPDATE alert SET state = 'withdrawn', close_reason = 'the order changed', closed_at = now()"
            " WHERE id = ANY(:ids)"
        ),
        {"ids": list(alert_ids)},
    )


_CLOSE = (
    "WITH answered AS ("
    " SELECT alert.id, coalesce(min(episode.close_reason), 'no new evidence') AS reason"
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
    """Close every episode without new evidence, every alert that is answered, and deliveries whose task died.

    Returns how many alerts were closed.
    """
    connection.execute(
        text(
            "WITH closed AS (UPDATE episode SET closed_at = :now, close_reason = 'no new evidence'"  # noqa: S608 - our own
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


def put_tidy(connection: Connection, day: date) -> None:
    """Put the tidying of the day, once."""
    key = day.isoformat()
    is_put = text("SELECT EXISTS (SELECT FROM task WHERE kind = 'tidy' AND key = :key)")
    if not connection.scalar(is_put, {"key": key}):
        tasks.put(connection, QUEUE, "tidy", [key])
