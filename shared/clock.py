"""The time: the one place that asks for it.

Two clocks: the business clock (`as_of`, ages, "today", nights and mornings) is real unless settings fix it, or let it
run from a start at a rate; the real clock is the database's and gives leases, retries and limits (see `shared.tasks`).
Signatures are checked against `real_now`.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

Clock = Callable[[], datetime]


def real_now() -> datetime:
    """Return the real time, in UTC."""
    return datetime.now(UTC)


def business_clock(start: datetime | None, begun: datetime | None = None, rate: float = 1.0) -> Clock:
    """Return the clock that business runs by: real; or, to replay history, fixed at `start`; or running from there.

    It runs where `begun` says at which real moment it was `start`: start + (real time - begun) x rate, the same in
    every process.
    """
    if start is None:
        return real_now
    moment = start.astimezone(UTC)
    if begun is None:
        return lambda: moment
    return lambda: moment + (real_now() - begun) * rate


def start_of_day(moment: datetime, time_zone: str) -> datetime:
    """Return when the day of a moment began in a zone."""
    return moment.astimezone(ZoneInfo(time_zone)).replace(hour=0, minute=0, second=0, microsecond=0)
