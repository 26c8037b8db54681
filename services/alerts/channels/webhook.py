"""Alerts as signed webhooks (Standard Webhooks), see docs/webhooks.md."""

import base64
import hmac
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from hashlib import sha256

from services.alerts.channel import (
    Channel,
    ChannelConfig,
    OutboundMessage,
    Rejected,
    Send,
    Unavailable,
)
from shared import netguard, outbound, signing

GONE = 410
ASKS_TO_WAIT = frozenset({408, 425, 429})


def secret_of(secret_key: str, address: str, number: int) -> str:
    """Return the signing secret of an endpoint: derived, never stored; the next number is its rotation."""
    key = hmac.digest(secret_key.encode(), f"webhook/{number}/{address}".encode(), sha256)
    return signing.PREFIX + base64.b64encode(key).decode()


def active_secrets(secret_key: str, address: str, number: int) -> list[str]:
    """The current secret and the one before: a receiver may hold either while it rotates."""
    return [secret_of(secret_key, address, each) for each in range(number, max(number - 2, 0), -1)]


@contextmanager
def open_channel(config: ChannelConfig) -> Iterator[Send]:
    """Each message makes its own vetted connection."""
    yield lambda message: _send(message, config)


def check(address: str, config: ChannelConfig) -> str | None:
    """Why an address may not be called, or None."""
    try:
        netguard.vet(address, allow_origins=config.loopback_origins, resolve=netguard.resolve_by_system)
    except (netguard.Forbidden, netguard.Unresolved) as fault:
        return str(fault)
    return None


def _send(message: OutboundMessage, config: ChannelConfig) -> None:
    body = json.dumps(message.payload, separators=(",", ":"), ensure_ascii=False).encode()
    secrets = active_secrets(config.secret_key, message.recipient, message.secret_number)
    headers = signing.sign(str(message.delivery_id), message.now, body, secrets)
    headers |= {"content-type": "application/json", "user-agent": "Tipoff"}
    try:
        answer = outbound.post(
            message.recipient,
            body,
            headers,
            deadline=config.deadline_seconds,
            allow_origins=config.loopback_origins,
        )
    except netguard.Forbidden as fault:
        raise Rejected(f"the address is not one we call: {fault}") from fault
    except netguard.Unresolved as fault:
        raise Unavailable(str(fault), is_down=True) from fault
    except outbound.Unreachable as fault:
        raise Unavailable(str(fault), is_unknown=fault.maybe_sent, is_down=True) from fault
    _judge(answer.status, answer.headers, message.now)


def _judge(status: int, headers: Mapping[str, str], now: datetime) -> None:
    """Return when the receiver took it; otherwise raise what its answer means. A redirect is never followed."""
    if 200 <= status < 300:
        return
    answered = f"answered {status}"
    if status == GONE:
        raise Rejected(f"{answered}: the endpoint is gone and was switched off", disables=True)
    if status in ASKS_TO_WAIT or status >= 500:
        raise Unavailable(answered, retry_after=retry_after(headers.get("retry-after"), now))
    raise Unavailable(answered, is_refusal=True)


def retry_after(text: str | None, now: datetime) -> timedelta | None:
    """Read a Retry-After header: seconds or a date. None when absent, unreadable or past."""
    if text is None:
        return None
    if text.strip().isascii() and text.strip().isdigit():
        return timedelta(seconds=min(int(text.strip()[:9]), 86_400))
    try:
        asked = parsedate_to_datetime(text)
    except ValueError:
        return None
    wait = (asked if asked.tzinfo else asked.replace(tzinfo=UTC)) - now
    return wait if wait > timedelta(0) else None


CHANNEL = Channel("webhook", open=open_channel, check=check)
