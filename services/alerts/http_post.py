"""Posting to an address somebody gave us: which addresses may be called, and what no answer or "later" means."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from services.alerts.channel import ChannelConfig, Rejected, Unavailable
from shared import netguard, outbound

ASKS_TO_WAIT = frozenset({408, 425, 429})
USER_AGENT = "Tipoff"


def check(address: str, config: ChannelConfig) -> str | None:
    """Why an address may not be called, or None."""
    try:
        netguard.vet(address, allow_origins=config.loopback_origins, resolve=netguard.resolve_by_system)
    except (netguard.Forbidden, netguard.Unresolved) as fault:
        return str(fault)
    return None


def check_host(address: str, hosts: Collection[str], config: ChannelConfig) -> str | None:
    """Why an address is at none of these hosts, nor at a receiver on this machine that the settings name, or None."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return "the address cannot be read"
    if f"{parts.scheme}://{parts.netloc}" in config.loopback_origins or is_at(address, hosts):
        return None
    return f"only addresses at {' or '.join(f'*{each}' if each[0] == '.' else each for each in hosts)} are called"


def is_at(address: str, hosts: Collection[str]) -> bool:
    """Whether an address is at one of these hosts; ".example.com" stands for every name below example.com."""
    try:
        host = urlsplit(address).hostname or ""
    except ValueError:
        return False
    return any(host == each or (each[0] == "." and host.endswith(each)) for each in hosts)


def post(
    session: outbound.Session, url: str, body: bytes, headers: Mapping[str, str], config: ChannelConfig
) -> outbound.Response:
    """POST a JSON body and return the answer, whatever its status. Raises Rejected or Unavailable without one."""
    own = {"content-type": "application/json", "user-agent": USER_AGENT}
    try:
        return session.post(url, body, own | dict(headers), deadline=config.deadline_seconds)
    except netguard.Forbidden as fault:
        raise Rejected(f"the address is not one we call: {fault}") from fault
    except netguard.Unresolved as fault:
        raise Unavailable(str(fault), is_down=True) from fault
    except outbound.Unreachable as fault:
        raise Unavailable(str(fault), is_unknown=fault.maybe_sent, is_down=True) from fault


def later(answer: outbound.Response, now: datetime) -> Unavailable | None:
    """Return what an answer means that asks to come again later, or tells of trouble at the other end; else None."""
    if answer.status in ASKS_TO_WAIT or answer.status >= 500:
        wait = retry_after(answer.headers.get("retry-after"), now)
        return Unavailable(f"answered {answer.status}", retry_after=wait)
    return None


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
