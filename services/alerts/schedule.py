"""When to send: working days and mornings where the recipient lives, and when to try again after a failure."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from hashlib import sha256
from uuid import UUID
from zoneinfo import ZoneInfo

from services.alerts.channel import Rejected, Unavailable

SATURDAY = 5

SCHEDULE = tuple(
    timedelta(seconds=seconds)
    for seconds in (5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800, 43200, 43200, 86400, 86400)
)
"""Wait after the first, second ... failed try: 14 tries over 87.7 hours."""

JITTER = 0.2
"""Each wait is up to a fifth shorter or longer, so that what failed together does not return together."""

LONGEST_ASKED = timedelta(hours=1)
REFUSED_SCHEDULE = (timedelta(minutes=10), timedelta(hours=1), timedelta(hours=4), timedelta(hours=12))
"""A receiver that refuses (a 4xx) is asked five times within a day: somebody may repair it."""


def working_day(now: datetime, time_zone: str) -> date:
    """Return the day a message counts for. What comes at the weekend is read, and counted, on Monday."""
    day = now.astimezone(ZoneInfo(time_zone)).date()
    if day.weekday() >= SATURDAY:
        return day + timedelta(days=7 - day.weekday())
    return day


def next_morning(now: datetime, time_zone: str) -> datetime:
    """The first seven o'clock of a working day that is not past: when alerts about a day are sent."""
    local = now.astimezone(ZoneInfo(time_zone))
    this_morning = _morning(working_day(local, time_zone), time_zone)
    return this_morning if now <= this_morning else tomorrow_morning(now, time_zone)


def real_delay(send_after: datetime | None, now: datetime, *, is_clock_fixed: bool) -> timedelta:
    """How long to wait in real time for a business time. Not at all where a setting fixes the business clock: it
    would never come.
    """
    if send_after is None or is_clock_fixed:
        return timedelta(0)
    return max(send_after - now, timedelta(0))


def tomorrow_morning(now: datetime, time_zone: str) -> datetime:
    """Seven o'clock on the next working day: when a snoozed alert comes back."""
    local = now.astimezone(ZoneInfo(time_zone))
    return _morning(working_day(local + timedelta(days=1), time_zone), time_zone)


def next_monday_morning(now: datetime, time_zone: str) -> datetime:
    """Seven o'clock on the Monday after this day."""
    local = now.astimezone(ZoneInfo(time_zone)).date()
    return _morning(local + timedelta(days=7 - local.weekday()), time_zone)


def _morning(day: date, time_zone: str) -> datetime:
    return datetime(day.year, day.month, day.day, 7, tzinfo=ZoneInfo(time_zone))


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Send the same delivery, with the same id, at that time."""

    at: datetime


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Never send it again. `disables` closes the endpoint too."""

    reason: str
    disables: bool = False


def after_failure(
    attempt: int, error: Rejected | Unavailable, now: datetime, delivery_id: UUID
) -> TryAgain | GiveUp:
    """Return the next step after the `attempt`-th try (counting from 1) failed.

    A receiver may ask for a later time than ours, by an hour at most; the delivery's id fixes the jitter.
    """
    if isinstance(error, Rejected):
        return GiveUp(str(error), disables=error.disables)
    waits = REFUSED_SCHEDULE if error.is_refusal else SCHEDULE
    if attempt > len(waits):
        return GiveUp(f"gave up after {attempt} tries; the last: {error}")
    digest = sha256(f"{delivery_id}/{attempt}".encode()).digest()
    wait = waits[attempt - 1] * (1 - JITTER + 2 * JITTER * int.from_bytes(digest[:4]) / 0xFFFFFFFF)
    if error.retry_after is not None:
        wait = max(wait, min(error.retry_after, LONGEST_ASKED))
    return TryAgain(now + wait)
