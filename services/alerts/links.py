"""The links in mails: a signed token that opens one alert, for two weeks, and nothing else."""

from datetime import timedelta
from uuid import UUID

from itsdangerous import BadSignature, URLSafeTimedSerializer

LIFETIME = timedelta(days=14)
PURPOSE = "tipoff: open one alert"


def token_of(secret_key: str, alert_id: UUID) -> str:
    """Return a token for the alert with this public id."""
    return URLSafeTimedSerializer(secret_key, salt=PURPOSE).dumps(alert_id.hex)


def alert_of(secret_key: str, token: str) -> UUID | None:
    """Return the public id of the alert a token opens; None when it was not made here, or too long ago."""
    try:
        opened = URLSafeTimedSerializer(secret_key, salt=PURPOSE).loads(
            token, max_age=int(LIFETIME.total_seconds())
        )
        return UUID(opened)
    except (BadSignature, ValueError, TypeError, AttributeError):
        return None


def link_of(public_url: str, secret_key: str, alert_id: UUID) -> str:
    """Return the address a mail points to."""
    return f"{public_url.rstrip('/')}/a/{token_of(secret_key, alert_id)}"
