"""Taking back what an order's newer version made untrue: the unsent is withdrawn, the sent is marked."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, text

from services.alerts.store.episodes import Change, record_change

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
    _hold_deliveries(connection, order_ids)
    overtaken = connection.execute(_OVERTAKEN, {"orders": list(order_ids)}).all()
    gone = [row.id for row in overtaken if row.is_gone]
    unsent = [row.id for row in overtaken if not row.is_gone]
    if gone:
        connection.execute(
            text("UPDATE alert SET amended_at = coalesce(amended_at, now()) WHERE id = ANY(:ids)"),
            {"ids": gone},
        )
        _withdraw_deliveries(connection, gone)
        _close_cancelled(connection, gone)
    if unsent:
        _withdraw_deliveries(connection, unsent)
        _take_back(connection, unsent, now)
    return len(unsent), len(gone)


def _close_cancelled(connection: Connection, alert_ids: Sequence[int]) -> None:
    """There is nobody to call about an order that is no trade any more."""
    connection.execute(
        text(
            "UPDATE alert SET state = 'done', close_reason = 'the order was ' || sales_order.status, closed_at = now()"
            " FROM sales_order WHERE sales_order.id = alert.order_id AND NOT sales_order.is_counted"
            " AND alert.id = ANY(:ids) AND alert.state IN ('open', 'snoozed')"
        ),
        {"ids": list(alert_ids)},
    )


def _hold_deliveries(connection: Connection, order_ids: Sequence[int]) -> None:
    """A delivery that is being started now is waited for: it is either withdrawn or sent, never both."""
    connection.execute(
        text(
            "SELECT delivery.id FROM delivery JOIN delivery_item ON delivery_id = delivery.id"
            " JOIN alert ON alert.id = alert_id WHERE alert.order_id = ANY(:orders)"
            " ORDER BY delivery.id FOR UPDATE OF delivery"
        ),
        {"orders": list(order_ids)},
    )


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
