"""This file is the one place that asks the time.

Two clocks: the business clock (`as_of`, ages, "today") is real unless a setting fixes it; the real clock is the
database's and gives leases, retries and limits (see `shared.tasks`). Signatures are checked against `real_now`.
"""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def real_now() -> datetime:
    """The time on the wall, in UTC."""
    return datetime.now(UTC)


def business_clock(fixed_at: datetime | None) -> Clock:
    """The clock business runs by: fixed when history is replayed, else real."""
    if fixed_at is None:
        return real_now
    moment = fixed_at.astimezone(UTC)
    return lambda: moment
