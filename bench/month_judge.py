"""What became of the customers of a month, straight from the source file: nothing here knows the product's tables.

Lost: no order in the 90 days after somebody was named. Their trade: the sales of the 270 days before, a third.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median

import duckdb

AFTER = timedelta(days=90)
BEFORE = timedelta(days=270)
QUARTERS = 3
"""The quarters of `BEFORE`."""

OVERDUE = 1.5
SHORTEST_SILENCE = 14
FEWEST_ORDER_DAYS = 5
PSEUDO_GAPS = 2


@dataclass(frozen=True, slots=True)
class Bought:
    """One line of the file: what a customer bought, or gave back, on a day."""

    day: date
    item: str
    quantity: float
    net: float


@dataclass(frozen=True, slots=True)
class Past:
    """All that a customer bought, by day."""

    lines: tuple[Bought, ...]
    order_days: tuple[date, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Their order days: those on which they bought anything."""
        object.__setattr__(
            self, "order_days", tuple(sorted({line.day for line in self.lines if line.quantity > 0}))
        )

    def sales(self, since: date, until: date) -> float:
        """Net sales from a day to before another."""
        return sum(line.net for line in self.lines if since <= line.day < until)

    def orders(self, since: date, until: date) -> int:
        """Order days from a day to before another."""
        return bisect_left(self.order_days, until) - bisect_left(self.order_days, since)

    def is_lost(self, named: date) -> bool:
        """Whether no order came in the 90 days from a day on."""
        return not self.orders(named, named + AFTER)

    def trade(self, named: date) -> float:
        """The usual sales of a quarter, as of a day."""
        return max(self.sales(named - BEFORE, named), 0.0) / QUARTERS

    def lost_trade(self, named: date) -> float:
        """The trade of a quarter that went with them; nothing where they ordered again."""
        return self.trade(named) if self.is_lost(named) else 0.0

    def bought(self, items: Iterable[str], since: date, days: int) -> float:
        """What was spent on these items in so many days from one on."""
        wanted = set(items)
        return sum(
            line.net
            for line in self.lines
            if line.item in wanted and line.quantity > 0 and since <= line.day < since + timedelta(days=days)
        )

    def prices(self, item: str, since: date, days: int) -> list[float]:
        """Return what a unit of the item was bought at on each of so many days from one on."""
        return [
            line.net / line.quantity
            for line in self.lines
            if line.item == item and line.quantity > 0 and since <= line.day < since + timedelta(days=days)
        ]


Pasts = Mapping[str, Past]


@dataclass(frozen=True, slots=True)
class Named:
    """A customer somebody named, on a day; the most important first by `weight`."""

    customer: str
    day: date
    weight: float


def read(file: Path) -> Pasts:
    """Read the purchases of every known customer."""
    with duckdb.connect() as connection:
        rows = connection.execute(
            "SELECT CAST(CAST(customer_id AS BIGINT) AS VARCHAR), CAST(invoice_ts AS DATE),"
            " upper(trim(stock_code)), sum(quantity), sum(quantity * unit_price)"
            f" FROM '{file}' WHERE customer_id IS NOT NULL AND NOT overlap_copy AND is_product AND unit_price > 0"
            " GROUP BY 1, 2, 3, quantity > 0 ORDER BY 1, 2, 3"
        ).fetchall()
    lines: defaultdict[str, list[Bought]] = defaultdict(list)
    for customer, *line in rows:
        lines[customer].append(Bought(*line))
    return {customer: Past(tuple(each)) for customer, each in lines.items()}


def usual_gap(order_days: Sequence[date], typical: float) -> float:
    """Return the mean gap, shrunk towards the typical one as if that had been seen twice more."""
    gaps = [(later - earlier).days for earlier, later in pairwise(order_days)]
    return (sum(gaps) + PSEUDO_GAPS * typical) / (len(gaps) + PSEUDO_GAPS)


def typical_gap(pasts: Pasts, before: date) -> float:
    """Return the median of the customers' mean gaps before a day, of those with two order days or more."""
    known = (past.order_days[: bisect_left(past.order_days, before)] for past in pasts.values())
    return median((days[-1] - days[0]).days / (len(days) - 1) for days in known if len(days) > 1)


def overdue_on(order_days: Sequence[date], typical: float) -> date | None:
    """Return the first day after the last of these on which the gap exceeds 1.5 times the usual; None if too few."""
    if len(order_days) < FEWEST_ORDER_DAYS:
        return None
    longest = max(SHORTEST_SILENCE, OVERDUE * usual_gap(order_days, typical))
    return order_days[-1] + timedelta(days=int(longest) + 1)


def plain_rule(pasts: Pasts, first: date, until: date) -> list[Named]:
    """Return whom the plain rule names from a day to before another, the largest by the sales of 270 days first."""
    typical = typical_gap(pasts, first)
    named = []
    for customer, past in pasts.items():
        for number in range(FEWEST_ORDER_DAYS, len(past.order_days) + 1):
            day = overdue_on(past.order_days[:number], typical)
            following = past.order_days[number] if number < len(past.order_days) else None
            if day is not None and first <= day < until and (following is None or following >= day):
                named.append(Named(customer, day, past.sales(day - BEFORE, day)))
    return by_weight(named)


def by_weight(named: Iterable[Named]) -> list[Named]:
    """Return them with the heaviest first, each customer once: as first named."""
    once: dict[str, Named] = {}
    for each in sorted(named, key=lambda each: each.day):
        once.setdefault(each.customer, each)
    return sorted(once.values(), key=lambda each: (-each.weight, each.customer))


@dataclass(frozen=True, slots=True)
class Caught:
    """Of so many named: how many were lost, and the trade of a quarter that they took with them."""

    named: int
    lost: int
    trade: float


def caught(pasts: Pasts, named: Sequence[Named]) -> Caught:
    """Judge a list of names."""
    return Caught(
        len(named),
        sum(pasts[each.customer].is_lost(each.day) for each in named),
        sum(pasts[each.customer].lost_trade(each.day) for each in named),
    )
