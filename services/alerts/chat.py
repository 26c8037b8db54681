"""What chat messages share: an alert's title, whom to call, why it came, and the value a button sends back."""

from collections.abc import Sequence
from functools import cache
from uuid import UUID

from itsdangerous import BadSignature, URLSafeTimedSerializer

from services.alerts import message
from services.alerts.channel import AlertView

BUTTON_PURPOSE = "tipoff: act on one alert from one endpoint"
LONGEST_TEXT = 600
"""No headline, question or fact of a signal is longer; what an upstream wrote into one may be."""


def plain(text: str, longest: int = LONGEST_TEXT) -> str:
    """Return a text on one line, cut at a word where it is too long."""
    return message.shortened(" ".join(text.split()), longest)


def title(view: AlertView) -> str:
    """Who and what, as a notification shows it."""
    urgent = "Now: " if view.is_urgent else ""
    return plain(f"{urgent}{view.customer}: {view.best.headline}")


def title_of(shown: Sequence[tuple[AlertView, str]]) -> str:
    """The title of a message about one alert or several."""
    views = [view for view, _ in shown]
    return title(views[0]) if len(views) == 1 else plain(f"{views[0].rep_name}: {message.list_title(views)}")


def whom_to_call(view: AlertView) -> str | None:
    """The customer with town and phone number; None where the alert is about no customer."""
    if view.customer_id is None:
        return None
    where = f"{view.customer}, {view.city}" if view.city else view.customer
    return plain(f"{where}: {view.phone}" if view.phone else f"{where}: no phone number is known")


def reason(shown: Sequence[tuple[AlertView, str]]) -> str:
    """Whom a message is for, and why it came where it is about one alert."""
    view, _ = shown[0]
    why = f", because it is {message.why(view.reason)}" if len(shown) == 1 else ""
    owner = " Nobody owns this customer." if view.is_default_owner else ""
    return plain(f"Written by Tipoff for {view.rep_name}{why}.{owner}")


@cache
def _serializer(secret_key: str) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(secret_key, salt=BUTTON_PURPOSE)


def button_value(secret_key: str, alert_id: UUID, endpoint_id: UUID) -> str:
    """Return what the buttons under an alert carry: it can be made here only."""
    return _serializer(secret_key).dumps([alert_id.hex, endpoint_id.hex])


def read_button_value(secret_key: str, value: str) -> tuple[UUID, UUID] | None:
    """Return the alert and the endpoint of a button; None when it was not made here, or too long ago."""
    lifetime = int(message.LINK_LIFETIME.total_seconds())
    try:
        alert_id, endpoint_id = _serializer(secret_key).loads(value, max_age=lifetime)
        return UUID(alert_id), UUID(endpoint_id)
    except (BadSignature, ValueError, TypeError, AttributeError):
        return None
