"""API tokens: random, checksummed, and stored only as their SHA-256.

A token is `tip_`, 43 random letters and digits (256 bits) and 6 of checksum. The prefix lets secret scanners find a
leaked one; the checksum refuses a mistyped one without asking the database.
"""

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from threading import Lock
from time import monotonic
from zlib import crc32

from cachetools import TTLCache
from sqlalchemy import text

from shared.db import Database

PREFIX = "tip_"
_FIND = text("SELECT name, source, scopes, expires_at FROM api_token WHERE digest = :digest")
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
    body = "".join(secrets.choice(_DIGITS) for _ in range(43))
    return PREFIX + body + _checksum(body)


def digest(token: str) -> bytes:
    """What is stored of a token. Its 256 random bits need no slow hash."""
    return sha256(token.encode()).digest()


def looks_valid(token: str) -> bool:
    """Whether a text has the shape and checksum of a token of ours."""
    if not _SHAPE.fullmatch(token):
        return False
    return token[-6:] == _checksum(token[len(PREFIX) : -6])


def stored_tokens(database: Database) -> FindToken:
    """Return the function that looks a token up by its SHA-256."""

    def find(wanted: bytes) -> ApiToken | None:
        with database.autocommit() as connection:
            row = connection.execute(_FIND, {"digest": wanted}).first()
        return None if row is None else ApiToken(row.name, row.source, frozenset(row.scopes), row.expires_at)

    return find


def remembered(find: FindToken, *, seconds: float = 5.0, tick: Callable[[], float] = monotonic) -> FindToken:
    """Keep what `find` found for a few seconds, so that the hot path rarely asks; a miss is never kept."""
    known: TTLCache[bytes, ApiToken] = TTLCache(maxsize=1000, ttl=seconds, timer=tick)
    lock = Lock()

    def find_remembered(wanted: bytes) -> ApiToken | None:
        with lock:
            token = known.get(wanted)
        if token is None and (token := find(wanted)) is not None:
            with lock:
                known[wanted] = token
        return token

    return find_remembered


def _checksum(body: str) -> str:
    number, digits = crc32(body.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        digits = _DIGITS[digit] + digits
    return digits
