"""Which values of settings can be used: each rule raises ValueError, never quoting a secret."""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from email.headerregistry import Address
from email.utils import getaddresses
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

from shared.signing import key_of

PREFIX = "TIPOFF_"
WITHOUT_PREFIX = ("database_url", "redis_url")
"""Platforms set these without our prefix."""

EXTRAS = ("CONFIG", "SECRETS_DIR", "REFERENCE", "SEND_SECRET", "IMAGE", "VERSION")
"""Variables with our prefix that others read: where settings are, tests, one command, and Compose."""

# Kubernetes tells every pod of a service named tipoff-... where it is.
_SERVICE_LINK = re.compile(r".+_(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_.+)?)?)")
_STARTTLS = ("required", "opportunistic", "never")
_LONGEST_ADDRESS = 254


def shown_name(field: str) -> str:
    """What people call a setting: the environment variable."""
    name = field.lower().removeprefix(PREFIX.lower())
    return name.upper() if name in WITHOUT_PREFIX else PREFIX + name.upper()


def unknown_names(environment: Mapping[str, str], fields: Collection[str]) -> Iterator[str]:
    """Find variables with our prefix that are no setting: misspelt ones would be ignored in silence."""
    known = {*(field.upper() for field in fields), *EXTRAS}
    for variable in sorted(environment):
        name = variable.upper()
        if not name.startswith(PREFIX) or _SERVICE_LINK.fullmatch(name):
            continue
        if name.removeprefix(PREFIX).partition("__")[0] not in known:
            yield variable


def words(value: object) -> object:
    """Lists come as words separated by blanks or commas."""
    return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value


def table(value: object) -> object:
    """Tables come as JSON objects."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value) if value.strip() else {}
    except json.JSONDecodeError as fault:
        raise ValueError(f"is no JSON: {fault.msg} at character {fault.pos + 1}") from None


def check_zone(name: str) -> None:
    """A time zone of the database of time zones."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError("is no time zone, as Europe/Berlin") from None


def check_secret(secret: str) -> None:
    """A secret that signs."""
    key_of(secret)


def check_web_address(url: str) -> None:
    """An address of ours that links begin with."""
    parts = _split(url)
    if parts is None or parts[0] not in ("http", "https"):
        raise ValueError("must be http://host or https://host")


def database_url(url: str) -> str:
    """Return the URL with our driver in it: platforms say postgres:// or postgresql:// alone."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("postgres", "postgresql", "postgresql+psycopg"):
        raise ValueError("must begin with postgresql://")
    return f"postgresql+psycopg://{rest}"


def check_redis(url: str) -> None:
    """What the client of Redis can open."""
    if not url.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("must begin with redis://, rediss:// or unix://")


def check_relay(url: str) -> None:
    """A mail server: the same rule the mail channel has."""
    parts = _split(url)
    starttls = parse_qs(urlsplit(url).query).get("starttls", ["required"])[0] if parts else ""
    if parts is None or parts[0] not in ("smtp", "smtps") or starttls not in _STARTTLS:
        raise ValueError(f"must be smtps://host or smtp://host?starttls={'|'.join(_STARTTLS)}")


def check_sender(text: str) -> None:
    """One address, with or without a name."""
    found = getaddresses([text])
    if len(found) != 1 or not text.isprintable() or not _is_address(found[0][1]):
        raise ValueError("must be one mail address, as Tipoff <tipoff@shop.example>")


def check_recipient(text: str) -> None:
    """An address, a @domain, or everyone."""
    if text != "*" and not _is_address(f"anyone{text}" if text.startswith("@") else text):
        raise ValueError(f"{text!r} is neither an address nor a @domain nor *")


def check_address(text: str) -> None:
    """One mail address."""
    if not _is_address(text):
        raise ValueError(f"{text!r} is no mail address")


def _is_address(text: str) -> bool:
    try:
        address = Address(addr_spec=text)
    except (ValueError, IndexError):
        return False
    return bool(address.domain) and address.addr_spec == text and len(text) <= _LONGEST_ADDRESS


def _split(url: str) -> tuple[str, str] | None:
    """Return scheme and host; None without a host, or with a port that is none."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return (parts.scheme, parts.hostname) if parts.hostname and url.isprintable() else None
