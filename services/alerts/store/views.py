"""Alerts with everything that stands beside them: points, customer, phone, last orders."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, text

from services.alerts.channel import AlertView, PastOrder, Point, Product

_ALERTS = text(
    "SELECT alert.id, alert.public_id, alert.customer_id, customer.name AS customer_name, customer.phone,"
    " customer.city, alert.about_rep_id, about.name AS about_rep_name, about.external_id AS about_rep_ref,"
    ' "user".name AS rep_name, owner.external_id AS rep_ref, "user".email AS rep_email, "user".time_zone,'
    " alert.occasion,"
    " alert.is_default_owner, alert.verdict, alert.reason,"
    " alert.state, alert.value, alert.as_of, alert.created_at, alert.severity, alert.amended_at,"
    " alert.snoozed_until, alert.close_reason,"
    " coalesce(sales_order.number, sales_order.external_id, alert.order_id::text) AS order_number,"
    " sales_order.external_id AS order_ref, sales_order.source AS order_source,"
    " (SELECT external_id FROM customer_ref WHERE customer_id = customer.id"
    "   ORDER BY (source = sales_order.source) DESC NULLS LAST, source, external_id LIMIT 1) AS customer_ref,"
    " CASE WHEN alert.customer_id IS NULL THEN (SELECT count(*) FROM alert AS earlier"
    "   WHERE earlier.about_rep_id = alert.about_rep_id AND earlier.customer_id IS NULL AND earlier.id <= alert.id)"
    "  ELSE (SELECT count(*) FROM alert AS earlier WHERE earlier.customer_id = alert.customer_id"
    "   AND earlier.id <= alert.id) END AS sequence"
    ' FROM alert JOIN "user" ON "user".id = alert.recipient_id'
    " LEFT JOIN rep AS about ON about.id = alert.about_rep_id"
    ' LEFT JOIN rep AS owner ON owner.id = "user".rep_id'
    " LEFT JOIN customer ON customer.id = alert.customer_id"
    " LEFT JOIN sales_order ON sales_order.id = alert.order_id"
    " WHERE alert.id = ANY(:alerts)"
)

_POINTS = text(
    "SELECT decision.alert_id, decision.verdict, decision.reason, decision.rank, signal.kind, signal.headline,"
    " signal.question, signal.probability, signal.basis = 'measured' AS is_measured, signal.stake, signal.value,"
    " signal.low, signal.high, signal.horizon_days, signal.evidence, signal.severity = 'urgent' AS is_urgent,"
    " signal.is_selling,"
    " signal.assumed_margin,"
    " signal.revenue, signal.unproven_reason, signal.product_id, product.name AS product_name,"
    " (SELECT external_id FROM product_ref WHERE product_id = signal.product_id ORDER BY source, external_id LIMIT 1)"
    "  AS sku,"
    " signal.withdrawn_at IS NULL AND coalesce(signal.order_version >= sales_order.version, true) AS is_live"
    " FROM decision JOIN signal ON signal.id = decision.signal_id"
    " LEFT JOIN sales_order ON sales_order.id = signal.order_id LEFT JOIN product ON product.id = signal.product_id"
    " WHERE decision.alert_id = ANY(:alerts) ORDER BY decision.rank NULLS LAST, signal.value DESC, signal.id"
)

_ORDERS = text(
    "SELECT alert.id AS alert_id, recent.* FROM alert CROSS JOIN LATERAL ("
    "  SELECT coalesce(number, external_id) AS number, ordered_at, net, currency,"
    "   (SELECT count(*) FROM order_line WHERE order_id = sales_order.id"
    "     AND order_line.ordered_at = sales_order.ordered_at AND kind = 'product') AS lines,"
    "   sales_order.id = alert.order_id AS is_this_one"
    "  FROM sales_order WHERE sales_order.customer_id = alert.customer_id AND is_counted AND kind = 'sale'"
    "   AND EXISTS (SELECT FROM order_line WHERE order_id = sales_order.id"
    "    AND order_line.ordered_at = sales_order.ordered_at AND kind = 'product')"  # not of postage alone
    "   AND ordered_at <= alert.as_of ORDER BY ordered_at DESC, id DESC LIMIT 3) recent"
    " WHERE alert.id = ANY(:alerts) ORDER BY alert.id, recent.ordered_at DESC"
)


def load(connection: Connection, alert_ids: Sequence[int], currency: str) -> dict[int, AlertView]:
    """Return these alerts as they are shown, by id; `currency` is the base currency they are valued in.

    Points are those of the message, best first. Without a message, all that was found are its points.
    """
    ids = {"alerts": list(alert_ids)}
    points = _grouped(connection.execute(_POINTS, ids).mappings().all())
    orders = _grouped(connection.execute(_ORDERS, ids).mappings().all())
    views = {}
    for row in connection.execute(_ALERTS, ids).mappings():
        found = points[row["id"]]
        shown = [point for point in found if point["is_live"]] or found
        notified = [point for point in shown if point["rank"] is not None] or shown
        if notified:
            views[row["id"]] = AlertView(
                **_without(row, "id"),
                currency=currency,
                points=tuple(map(_point, notified)),
                others=tuple(_point(point) for point in shown if point not in notified),
                orders=tuple(PastOrder(**_without(each, "alert_id")) for each in orders[row["id"]]),
            )
    return views


def _point(row: RowMapping) -> Point:
    evidence = tuple((each["label"], each["text"]) for each in row["evidence"])
    product = None if row["product_id"] is None else Product(row["sku"], row["product_name"])
    plain = _without(row, "alert_id", "rank", "is_live", "evidence", "product_id", "product_name", "sku")
    return Point(**plain, evidence=evidence, product=product)


def _without(row: RowMapping, *names: str) -> dict[str, Any]:
    return {name: row[name] for name in row if name not in names}


def _grouped(rows: Sequence[RowMapping]) -> defaultdict[int, list[RowMapping]]:
    groups: defaultdict[int, list[RowMapping]] = defaultdict(list)
    for row in rows:
        groups[row["alert_id"]].append(row)
    return groups
