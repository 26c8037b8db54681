"""Alerts as signed webhooks (Standard Webhooks), see docs/webhooks.md."""

import base64
import hmac
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from hashlib import sha256

from services.alerts import payload
from services.alerts.channel import (
    Channel,
    ChannelConfig,
    OutboundMessage,
    Receipt,
    Rejected,
    Send,
    Unavailable,
)
from shared import netguard, outbound, signing

GONE = 410
ASKS_TO_WAIT = frozenset({408, 425, 429})
REQUEST_IDS = ("x-request-id", "request-id", "x-correlation-id")
"""Headers by which receivers name the request in their own logs."""


def secret_of(secret_key: str, address: str, number: int) -> str:
    """Return the signing secret of an endpoint: derived, never stored; the next number is its rotation."""
    key = hmac.digest(secret_key.encode(), f"webhook/{number}/{address}".encode(), sha256)
    return signing.PREFIX + base64.b64encode(key).decode()


def active_secrets(secret_key: str, address: str, number: int) -> list[str]:
    """The current secret and the one before: a receiver may hold either while it rotates."""
    return [secret_of(secret_key, address, each) for each in range(number, max(number - 2, 0), -1)]


@contextmanager
def open_channel(config: ChannelConfig) -> Iterator[Send]:
    """Send over one vetted connection, as long as the receiver keeps it open."""
    with outbound.Session(config.loopback_origins) as session:
        yield lambda message: _send(message, config, session)


def check(address: str, config: ChannelConfig) -> str | None:
    """Why an address may not be called, or None."""
    try:
        netguard.vet(address, allow_origins=config.loopback_origins, resolve=netguard.resolve_by_system)
    except (netguard.Forbidden, netguard.Unresolved) as fault:
        return str(fault)
    return None


def _send(message: OutboundMessage, config: ChannelConfig, session: outbound.Session) -> Receipt:
    event = payload.payload(message)
    body = json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()
    secrets = active_secrets(config.secret_key, message.recipient, message.secret_number)
    headers = signing.sign(str(message.delivery_id), message.now, body, secrets)
    headers |= {"content-type": "application/json", "user-agent": "Tipoff"}
    try:
        answer = session.post(message.recipient, body, headers, deadline=config.deadline_seconds)
    except netguard.Forbidden as fault:
        raise Rejected(f"the address is not one we call: {fault}") from fault
    except netguard.Unresolved as fault:
        raise Unavailable(str(fault), is_down=True) from fault
    except outbound.Unreachable as fault:
        raise Unavailable(str(fault), is_unknown=fault.maybe_sent, is_down=True) from fault
    if failure := failure_of(answer.status, answer.headers, message.now):
        raise failure
    named = next((answer.headers[name] for name in REQUEST_IDS if name in answer.headers), "")
    printable = "".join(letter for letter in named if letter.isprintable())[:200]
    return {"status": answer.status} | ({"id": printable} if printable else {})


def failure_of(status: int, headers: Mapping[str, str], now: datetime) -> Rejected | Unavailable | None:
    """What an answer means; None when the receiver took the message. A redirect is never followed."""
    if 200 <= status < 300:
        return None
    answered = f"answered {status}"
    if status == GONE:
        return Rejected(f"{answered}: the endpoint is gone and was switched off", disables=True)
    if status in ASKS_TO_WAIT or status >= 500:
        return Unavailable(answered, retry_after=retry_after(headers.get("retry-after"), now))
    return Unavailable(answered, is_refusal=True)


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


def secret(config: ChannelConfig, address: str, number: int) -> str:
    """What the receiver at an address verifies messages with."""
    return secret_of(config.secret_key, address, number)


CHANNEL = Channel("webhook", open=open_channel, check=check, secret=secret, concurrency=8)
