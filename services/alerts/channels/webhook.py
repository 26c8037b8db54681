"""Alerts as signed webhooks (Standard Webhooks), see docs/webhooks.md."""

import base64
import hmac
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from hashlib import sha256

from services.alerts import http_post, payload
from services.alerts.channel import (
    Channel,
    ChannelConfig,
    OutboundMessage,
    Receipt,
    Rejected,
    Send,
    Unavailable,
)
from shared import outbound, signing

GONE = 410
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


def _send(message: OutboundMessage, config: ChannelConfig, session: outbound.Session) -> Receipt:
    event = payload.payload(message)
    body = json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()
    number = message.secret_number
    secrets = [each for key in config.secret_keys for each in active_secrets(key, message.recipient, number)]
    headers = signing.sign(str(message.delivery_id), message.now, body, secrets)
    answer = http_post.post(session, message.recipient, body, headers, config)
    if failure := failure_of(answer, message.now):
        raise failure
    named = next((answer.headers[name] for name in REQUEST_IDS if name in answer.headers), "")
    printable = "".join(letter for letter in named if letter.isprintable())[:200]
    return {"status": answer.status} | ({"id": printable} if printable else {})


def failure_of(answer: outbound.Response, now: datetime) -> Rejected | Unavailable | None:
    """What an answer means; None when the receiver took the message. A redirect is never followed."""
    if 200 <= answer.status < 300:
        return None
    answered = f"answered {answer.status}"
    if answer.status == GONE:
        return Rejected(f"{answered}: the endpoint is gone and was switched off", disables=True)
    return http_post.later(answer, now) or Unavailable(answered, is_refusal=True)


def secret(config: ChannelConfig, address: str, number: int) -> str:
    """What the receiver at an address verifies messages with."""
    return secret_of(config.secret_key, address, number)


CHANNEL = Channel("webhook", open=open_channel, check=http_post.check, secret=secret, concurrency=8)
