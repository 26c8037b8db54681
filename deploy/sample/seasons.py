"""The sample company's calendar: which days it trades, and what each month does to trades and products."""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import accumulate

SATURDAY_SHARE = 0.06
WEEKDAYS = (1.05, 1.0, 1.0, 1.02, 0.93, SATURDAY_SHARE, 0.0)
HOLIDAYS = {
    (5, 1),
    (12, 24),
    (12, 25),
    (12, 26),
    (12, 27),
    (12, 28),
    (12, 29),
    (12, 30),
    (12, 31),
    (1, 1),
    (1, 2),
}
# The builders' holiday: the last week of July and the first of August, when hardly a site is open.
SITES_CLOSED = ((7, 24), (8, 7))
CLOSED_TRADES = frozenset({"Builder", "Decorator"})
STILL_OPEN = 0.1

# How busy each trade is from January to December.
TRADE_MONTHS: dict[str, tuple[float, ...]] = {
    "Landscaper": (0.5, 0.7, 1.1, 1.4, 1.5, 1.4, 1.3, 1.1, 1.1, 0.9, 0.7, 0.5),
    "Plumber": (1.3, 1.2, 1.0, 0.9, 0.8, 0.75, 0.75, 0.8, 1.0, 1.2, 1.3, 1.1),
    "Builder": (0.75, 0.9, 1.0, 1.1, 1.1, 1.15, 1.05, 0.85, 1.1, 1.1, 1.05, 0.75),
    "Decorator": (0.8, 0.9, 1.1, 1.15, 1.2, 1.1, 1.0, 0.85, 1.05, 1.0, 0.95, 0.7),
}
LEVEL = (1.0, 1.0, 1.02, 1.0, 1.0, 1.0, 0.95, 0.85, 1.05, 1.05, 1.05, 0.85)

# How likely a seasonal product is picked, from January to December, beside one that sells all year (0.7).
PRODUCT_MONTHS: dict[str, tuple[float, ...]] = {
    "": (0.7,) * 12,
    "winter": (0.95, 0.85, 0.65, 0.45, 0.3, 0.2, 0.2, 0.3, 0.5, 0.8, 1.0, 1.0),
    "summer": (0.1, 0.15, 0.45, 0.8, 1.0, 1.0, 0.95, 0.75, 0.5, 0.25, 0.1, 0.1),
    "spring": (0.4, 0.5, 0.8, 1.0, 1.0, 0.85, 0.7, 0.6, 0.6, 0.5, 0.4, 0.3),
    "frost": (0.8, 0.6, 0.15, 0.02, 0.0, 0.0, 0.0, 0.0, 0.05, 0.3, 0.9, 1.0),
    "festive": (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.1, 0.4, 1.0, 0.5),
}


@dataclass(frozen=True, slots=True)
class Timeline:
    """The days a trade buys on. Distance along it is trading time: a busy week is longer than a quiet one."""

    days: tuple[date, ...]
    reach: tuple[float, ...]

    @property
    def length(self) -> float:
        """The whole history, in trading time."""
        return self.reach[-1]

    def day_at(self, distance: float) -> date:
        """The day this far along. Nothing lies beyond the end."""
        return self.days[bisect_right(self.reach, distance)]

    def distance_of(self, day: date) -> float:
        """How far along the first trading moment on or after this day is."""
        number = bisect_left(self.days, day)
        return self.reach[number - 1] if number else 0.0


def months_before(day: date, months: int) -> date:
    """The same day of the month so many months earlier; a day that month lacks becomes its 28th."""
    index = day.year * 12 + day.month - 1 - months
    return date(index // 12, index % 12 + 1, min(day.day, 28) if day.day > 28 else day.day)


def timeline(trade: str, first_day: date, last_day: date) -> Timeline:
    """Every trading day of a trade. The last day always trades like a working day: it is the one replayed."""
    months = TRADE_MONTHS.get(trade, LEVEL)
    days = tuple(first_day + timedelta(days=ahead) for ahead in range((last_day - first_day).days + 1))
    weights = [1.0 if day == last_day else _openness(day, trade) * months[day.month - 1] for day in days]
    return Timeline(days, tuple(accumulate(weights)))


def trading_day(day: date) -> date:
    """The day itself, or the next on which offices are open."""
    while day.weekday() > 4 or is_holiday(day):
        day += timedelta(days=1)
    return day


def is_holiday(day: date) -> bool:
    """Whether nobody trades on this day of the year."""
    return (day.month, day.day) in HOLIDAYS


def _openness(day: date, trade: str) -> float:
    if is_holiday(day):
        return 0.0
    is_closed = trade in CLOSED_TRADES and SITES_CLOSED[0] <= (day.month, day.day) <= SITES_CLOSED[1]
    return WEEKDAYS[day.weekday()] * (STILL_OPEN if is_closed else 1)


def appetite(season: str, day: date) -> float:
    """The chance, 0 to 1, that a product of this season is wanted on this day."""
    return PRODUCT_MONTHS[season][day.month - 1]
