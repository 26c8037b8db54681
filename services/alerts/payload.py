"""This file writes the body of a webhook about an alert, as documented in docs/webhooks.md."""

from typing import Any
from uuid import UUID

from services.alerts.view import AlertView, PastOrder, Point


def payload(view: AlertView, delivery_id: UUID, link: str) -> dict[str, Any]:
    """Return the event. `sequence` counts up per subject, so that a late one can be told."""
    data = described(view)
    data |= {
        "delivery": {"id": str(delivery_id)},
        "subject": f"customer/{view.customer_ref or view.customer_id}",
        "sequence": view.sequence,
        "occurred_at": view.as_of.isoformat(),
        "link": link,
    }
    return {"type": "alert.raised", "timestamp": view.created_at.isoformat(), "data": data}


def described(view: AlertView) -> dict[str, Any]:
    """Return an alert in plain values. Money is text, so that no parser rounds it."""
    return {
        "alert": {
            "id": str(view.public_id),
            "state": view.state,
            "verdict": view.verdict,
            "reason": view.reason,
            "is_urgent": view.is_urgent,
            "is_amended": view.amended_at is not None,
        },
        "customer": {
            "id": view.customer_ref,
            "name": view.customer_name,
            "phone": view.phone,
            "is_owned": not view.is_default_owner,
        },
        "rep": {"name": view.rep_name},
        "order": {"id": view.order_ref, "source": view.order_source, "number": view.order_number},
        "value": _amount(view.value, view.currency),
        "question": view.question,
        "points": [_point(each, view.currency) for each in view.points],
        "last_orders": [_order(each) for each in view.orders],
    }


def _amount(amount: object, currency: str) -> dict[str, str]:
    return {"amount": f"{amount:.2f}", "currency": currency}


def _point(point: Point, currency: str) -> dict[str, Any]:
    return {
        "kind": point.kind,
        "headline": point.headline,
        "question": point.question,
        "stake": _amount(point.stake, currency),
        "value": _amount(point.value, currency),
        "interval": {"low": _amount(point.low, currency), "high": _amount(point.high, currency)},
        "probability": point.probability,
        "basis": "measured" if point.is_measured else "prior",
        "margin_is_assumed": point.assumed_margin,
        "horizon_days": point.horizon_days,
        "evidence": [{"label": label, "text": text} for label, text in point.evidence],
    }


def _order(order: PastOrder) -> dict[str, Any]:
    return {
        "number": order.number,
        "ordered_at": order.ordered_at.isoformat(),
        "net": _amount(order.net, order.currency),
        "lines": order.lines,
    }
