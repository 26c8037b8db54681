"""The body of a webhook about alerts, as documented in docs/webhooks.md."""

from typing import Any

from services.alerts.channel import AlertView, OutboundMessage, Point

MOST = 100
"""A list holds so many alerts, and counts the rest: some receivers take no larger bodies."""


def payload(message: OutboundMessage) -> dict[str, Any]:
    """Return the event about one alert, or about several, each with the link that opens it; or an operator's notice."""
    delivery = {"delivery": {"id": str(message.delivery_id)}}
    if message.notice is not None:
        told = {"subject": message.notice.subject, "text": message.notice.text}
        return {"type": "operator.notice", "timestamp": message.now.isoformat(), "data": told | delivery}
    shown = message.alerts
    timestamp = shown[0][0].created_at.isoformat()
    if len(shown) > 1:
        data = {
            "alerts": [_raised(view, link) for view, link in shown[:MOST]],
            "more": len(shown[MOST:]),
        } | delivery
        return {"type": "alerts.raised", "timestamp": timestamp, "data": data}
    return {"type": "alert.raised", "timestamp": timestamp, "data": _raised(*shown[0]) | delivery}


def _raised(view: AlertView, link: str) -> dict[str, Any]:
    """An alert as an event. `sequence` counts up per subject, so that a receiver can order them."""
    if view.customer_id is None:
        subject = f"rep/{view.about_rep_ref}"
    else:
        subject = f"customer/{view.customer_ref or view.customer_id}"
    return described(view) | {
        "subject": subject,
        "sequence": view.sequence,
        "occurred_at": view.as_of.isoformat(),
        "link": link,
    }


def described(view: AlertView) -> dict[str, Any]:
    """Return an alert in plain values. Money is text, so that no parser rounds it."""
    return {
        "alert": {
            "id": str(view.public_id),
            "state": view.state,
            "verdict": view.verdict,
            "reason": view.reason,
            "severity": view.severity,
            "occasion": view.occasion,
            "is_amended": view.amended_at is not None,
        },
        "customer": None
        if view.customer_id is None
        else {
            "id": view.customer_ref,
            "name": view.customer_name,
            "phone": view.phone,
            "is_owned": not view.is_default_owner,
        },
        "rep": {"id": view.rep_ref, "name": view.rep_name, "email": view.rep_email},
        "order": None
        if view.order_ref is None
        else {"id": view.order_ref, "source": view.order_source, "number": view.order_number},
        "value": _amount(view.value, view.currency),
        "question": view.question,
        "points": [_point(each, view.currency) for each in view.points],
        "last_orders": [
            {
                "number": each.number,
                "ordered_at": each.ordered_at.isoformat(),
                "net": _amount(each.net, each.currency),
                "lines": each.lines,
            }
            for each in view.orders
        ],
    }


def _amount(amount: object, currency: str) -> dict[str, str]:
    return {"amount": f"{amount:.2f}", "currency": currency}


def _point(point: Point, currency: str) -> dict[str, Any]:
    return {
        "kind": point.kind,
        "headline": point.headline,
        "question": point.question,
        "product": point.product and {"sku": point.product.sku, "name": point.product.name},
        "stake": _amount(point.stake, currency),
        "value": _amount(point.value, currency),
        "interval": {"low": _amount(point.low, currency), "high": _amount(point.high, currency)},
        "probability": point.probability,
        "basis": "measured" if point.is_measured else "estimated",
        "margin_is_assumed": point.assumed_margin,
        "horizon_days": point.horizon_days,
        "evidence": [{"label": label, "text": text} for label, text in point.evidence],
    }
