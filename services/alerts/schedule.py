"""Working days and mornings, where the recipient lives."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

SATURDAY = 5


def working_day(now: datetime, time_zone: str) -> date:
    """Return the day a message counts for. What comes at the weekend is read, and counted, on Monday."""
    day = now.astimezone(ZoneInfo(time_zone)).date()
    if day.weekday() >= SATURDAY:
        return day + timedelta(days=7 - day.weekday())
    return day


def next_morning(now: datetime, time_zone: str) -> datetime:
    """The first seven o'clock of a working day that is not past: when what a day woke is sent."""
    local = now.astimezone(ZoneInfo(time_zone))
    this_morning = _morning(working_day(local, time_zone), time_zone)
    return this_morning if now <= this_morning else tomorrow_morning(now, time_zone)


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
