"""The time: the one place that asks for it.

Two clocks: the business clock (`as_of`, ages, "today") is real unless a setting fixes it; the real clock is the
database's and gives leases, retries and limits (see `shared.tasks`). Signatures are checked against `real_now`.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

Clock = Callable[[], datetime]


def real_now() -> datetime:
    """Return the real time, in UTC."""
    return datetime.now(UTC)


def business_clock(fixed_at: datetime | None) -> Clock:
    """Return the clock that business runs by: fixed when history is replayed, else real."""
    if fixed_at is None:
        return real_now
    moment = fixed_at.astimezone(UTC)
    return lambda: moment


def start_of_day(moment: datetime, time_zone: str) -> datetime:
    """Return when the day of a moment began in a zone."""
    return moment.astimezone(ZoneInfo(time_zone)).replace(hour=0, minute=0, second=0, microsecond=0)
