"""This file makes and recognises API tokens: random, checksummed, and stored only as their SHA-256.

A token is `tip_`, 43 characters of 256 random bits and 6 of checksum. The prefix lets secret scanners find a
leaked one; the checksum refuses a mistyped one without asking the database.
"""

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from time import monotonic
from zlib import crc32

PREFIX = "tip_"
_SHAPE = re.compile(r"tip_[0-9A-Za-z]{49}")
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class ApiToken:
    """What a token may do. `source` is the connection its orders belong to; None where it has none."""

    name: str
    source: str | None
    scopes: frozenset[str]
    expires_at: datetime | None = None


FindToken = Callable[[bytes], ApiToken | None]


def new_token() -> str:
    """A fresh token, to be shown once and never stored."""
    body = _base62(int.from_bytes(secrets.token_bytes(32)), 43)
    return PREFIX + body + _checksum(body)


def digest(token: str) -> bytes:
    """What is stored of a token. Its 256 random bits need no slow hash."""
    return sha256(token.encode()).digest()


def looks_valid(token: str) -> bool:
    """Whether a text has the shape and checksum of a token of ours."""
    if not _SHAPE.fullmatch(token):
        return False
    return token[-6:] == _checksum(token[len(PREFIX) : -6])


def remembered(find: FindToken, *, seconds: float = 5.0, tick: Callable[[], float] = monotonic) -> FindToken:
    """Keep what `find` found for a few seconds, so that the hot path rarely asks; a miss is never kept."""
    known: dict[bytes, tuple[float, ApiToken]] = {}

    def find_remembered(wanted: bytes) -> ApiToken | None:
        held = known.get(wanted)
        if held is not None and held[0] > tick():
            return held[1]
        token = find(wanted)
        if token is None:
            known.pop(wanted, None)
            return None
        if len(known) >= 1000:
            known.clear()
        known[wanted] = (tick() + seconds, token)
        return token

    return find_remembered


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))


def _checksum(body: str) -> str:
    return _base62(crc32(body.encode()), 6)
