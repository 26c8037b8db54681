"""The SSRF guard: which addresses other people chose may be called, so that none of them reaches our own network.

The rule: https on port 443, the name resolved once, every answer public, the connection made to the very
address that was vetted. A name that answers differently a second later (DNS rebinding) gains nothing. The
sending itself is in `shared.outbound`.
"""

import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import idna

Resolve = Callable[[str, int], Sequence[str]]

# Unicode has many ways to write a digit or a dot; only what is left after IDNA counts.
_HOSTNAME = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?")
# What C libraries read as an IPv4 address although it does not look like one: 2130706433, 0x7f.1, 0177.0.0.1
_ENDS_IN_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")

_NOT_PUBLIC_4 = tuple(map(ipaddress.IPv4Network, ("192.0.0.0/24", "192.88.99.0/24")))
_GLOBAL_UNICAST_6 = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(
    map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")),
)


class Forbidden(Exception):
    """The address is one we never send to. Trying again will not help."""


class Unresolved(Exception):
    """The name has no address at the moment."""


@dataclass(frozen=True, slots=True)
class Vetted:
    """A URL that may be called now, at exactly these addresses."""

    scheme: str
    host: str
    port: int
    target: str
    addresses: tuple[str, ...]

    @property
    def authority(self) -> str:
        """What the Host header says: the name, and the port where it is not the usual one."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"https": 443, "http": 80}[self.scheme]
        return name if self.port == usual else f"{name}:{self.port}"


def vet(url: str, *, allow_origins: frozenset[str], resolve: Resolve) -> Vetted:
    """Return where a URL may be called. Raises Forbidden, or Unresolved when the name has no address.

    `allow_origins` (such as "http://127.0.0.1:8025") are let through, for receivers on this machine.
    """
    scheme, host, port, target = _parts(url)
    # Compared in parts, so that "http://127.0.0.1" and "http://127.0.0.1:80" are one.
    trusted = (scheme, host, port) in {_parts(origin)[:3] for origin in allow_origins}
    if not trusted and (scheme != "https" or port != 443):
        raise Forbidden("only https on port 443 is called")
    addresses = tuple(dict.fromkeys(resolve(host, port)))
    if not addresses:
        raise Unresolved("the name has no address")
    if not trusted and not all(is_public(address) for address in addresses):
        raise Forbidden("the name points into a network that is not public")
    return Vetted(scheme, host, port, target, addresses)


def is_public(address: str) -> bool:
    """Whether an address is of the public internet. (`is_global` alone lets 14 of 37 bad ones through.)"""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is None:
            return ip in _GLOBAL_UNICAST_6 and not any(ip in network for network in _NOT_PUBLIC_6)
        ip = ip.ipv4_mapped
    special = ip.is_multicast or ip.is_reserved or any(ip in network for network in _NOT_PUBLIC_4)
    return ip.is_global and not special


def resolve_by_system(host: str, port: int) -> Sequence[str]:
    """Ask the system's resolver once. Raises Unresolved."""
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    except (OSError, UnicodeError):
        raise Unresolved("the name has no address") from None
    return [str(sockaddr[0]) for *_, sockaddr in answers]


def _parts(url: str) -> tuple[str, str, int, str]:
    if not url.isprintable() or any(character in url for character in " \\"):
        raise Forbidden("the address holds characters that do not belong in one")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Forbidden("the address cannot be read") from None
    if parts.scheme not in ("https", "http"):
        raise Forbidden("only https addresses are called")
    if "@" in parts.netloc:
        raise Forbidden("an address must not hold a name or password")
    if "[" in parts.netloc and ":" not in (parts.hostname or ""):
        raise Forbidden("the host is an address in an unusual spelling")
    host = _host(parts.hostname or "")
    target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    if parts.query:
        target += "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~-._?[]")
    return parts.scheme, host, port or (443 if parts.scheme == "https" else 80), target


def _host(spelled: str) -> str:
    if ":" in spelled:
        return _ip_literal(spelled)
    try:
        host = idna.encode(spelled, uts46=True, std3_rules=False).decode().lower().rstrip(".")
    except (idna.IDNAError, UnicodeError):
        raise Forbidden("the host name cannot be read") from None
    if not _HOSTNAME.fullmatch(host):
        raise Forbidden("the host name cannot be read")
    return _ip_literal(host) if _ENDS_IN_NUMBER.fullmatch(host) else host


def _ip_literal(spelled: str) -> str:
    try:
        return str(ipaddress.ip_address(spelled))
    except ValueError:
        raise Forbidden("the host is an address in an unusual spelling") from None
