"""Signatures of messages, made and verified as Standard Webhooks asks (https://www.standardwebhooks.com).

The signature is HMAC-SHA256 over `id.timestamp.body`, the body byte for byte as it came.
"""

import base64
import binascii
import hmac
import json
import re
import secrets as random_source
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Any

TOLERANCE = timedelta(seconds=300)
SHORTEST_KEY = 16
PREFIX = "whsec_"

_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_MESSAGE_ID = re.compile(r"[!-~]{1,255}")


class SignatureFault(Exception):
    """Why a message was not believed. For logs and metrics: the sender is told nothing but 401."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def new_secret() -> str:
    """A fresh 256-bit secret to share with one sender or receiver."""
    return PREFIX + base64.b64encode(random_source.token_bytes(32)).decode()


def key_of(secret: str) -> bytes:
    """Return the key inside a `whsec_` secret. Raises ValueError, not quoting it, for a malformed one."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"a webhook secret must be base64 after {PREFIX!r}") from None
    if len(key) < SHORTEST_KEY:
        raise ValueError(f"a webhook secret must hold at least {SHORTEST_KEY} bytes")
    return key


def sign(message_id: str, timestamp: datetime, body: bytes, secrets: Sequence[str]) -> dict[str, str]:
    """Return the three headers of a message, signed with every active secret so that receivers can rotate."""
    sent_at = str(int(timestamp.timestamp()))
    digests = [_digest(secret, message_id, sent_at, body) for secret in secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": sent_at,
        "webhook-signature": " ".join("v1," + base64.b64encode(digest).decode() for digest in digests),
    }


def signed_order(
    order: Mapping[str, Any], message_id: str, now: datetime, secret: str
) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of the webhook by which a shop tells of an order: what is posted to our hook."""
    event = {"type": "order.created", "timestamp": now.isoformat(), "data": order}
    body = json.dumps(event).encode()
    return body, {"Content-Type": "application/json", **sign(message_id, now, body, [secret])}


def verify(headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: datetime) -> str:
    """Return the id of a message signed with one of the secrets within 300 s of `now`; names are lower case.

    Raises SignatureFault otherwise. Every secret is tried on every signature, so time tells nothing.
    """
    message_id, sent_at, signatures = _signature_headers(headers)
    _check_time(sent_at, now)
    offered = list(_offered_digests(signatures))
    if not offered:
        raise SignatureFault("no v1 signature")
    matches = 0
    for secret in secrets:
        expected = _digest(secret, message_id, sent_at, body)
        for digest in offered:
            matches += hmac.compare_digest(expected, digest)
    if not matches:
        raise SignatureFault("no signature matches")
    return message_id


def _signature_headers(headers: Mapping[str, str]) -> tuple[str, str, str]:
    prefix = "webhook" if "webhook-id" in headers else "svix"
    try:
        message_id = headers[f"{prefix}-id"]
        sent_at = headers[f"{prefix}-timestamp"]
        signatures = headers[f"{prefix}-signature"]
    except KeyError:
        raise SignatureFault("signature headers are missing") from None
    if not _MESSAGE_ID.fullmatch(message_id):
        raise SignatureFault("the message id is not plain text")
    return message_id, sent_at, signatures


def _check_time(sent_at: str, now: datetime) -> None:
    if not _TIMESTAMP.fullmatch(sent_at):
        raise SignatureFault("the timestamp is not a whole number of seconds")
    age = now.timestamp() - int(sent_at)
    if abs(age) > TOLERANCE.total_seconds():
        raise SignatureFault("the timestamp is too old" if age > 0 else "the timestamp is in the future")


def _offered_digests(signatures: str) -> Iterator[bytes]:
    """Every v1 digest of the header. Other versions and broken entries are passed over."""
    for signature in signatures.split(" "):
        version, _, encoded = signature.partition(",")
        if version != "v1":
            continue
        try:
            yield base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            continue


def _digest(secret: str, message_id: str, sent_at: str, body: bytes) -> bytes:
    mac = _keyed(secret).copy()
    mac.update(f"{message_id}.{sent_at}.".encode() + body)
    return mac.digest()


@lru_cache(maxsize=64)
def _keyed(secret: str) -> hmac.HMAC:
    """An HMAC that knows the key and no message yet: to set one up takes OpenSSL longer than to sign an order."""
    return hmac.new(key_of(secret), digestmod=sha256)
