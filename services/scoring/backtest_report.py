"""What a backtest shows: figures by kind, named examples, and the page that holds them. Pure but for the template."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from math import sqrt
from statistics import fmean
from typing import Any

from jinja2 import Environment, PackageLoader

from services.scoring.backtest import Judged, money

EXAMPLES = 6
FEWEST = 30
"""A group of fewer outcomes says nothing about a chance."""

POOLED_DAYS = 28
"""Chances are held against one day in four weeks: a row of the next day is nearly the same row."""

GOOD = (0.8, 1.25)
Z_95 = 1.96
WORKING = 5 / 7

WORDS: Mapping[str, tuple[str, str]] = {
    "going_quiet": ("no order in 90 days", "ordered again"),
    "stopped_item": ("not bought in 90 days", "bought it again"),
    "stopped_category": ("not bought in 90 days", "bought of it again"),
    "half_usual": ("not back to the usual quantity in 60 days", "took the usual quantity"),
    "reorder_due": ("less than half ordered in 14 days", "ordered half of it"),
    "spend_drop": ("still 30 % or more below", "back to four fifths"),
    "cross_sell": ("not bought in 60 days", "bought it unasked"),
    "basket_gap": ("not made up for in 14 days", "half or more came within 14 days"),
    "up_sell": ("the quantity was not reached in 14 days", "the quantity was reached"),
    "price_error": ("not put right on the order", "put right on the order"),
    "below_floor": ("not put right on the order", "put right on the order"),
}
"""What then happened, said of a kind: it stayed true, or it came right by itself."""

NOTES = (
    "Nobody knows what a call would have changed: this shows who would have been called, and who came back anyway.",
    "What calls bring is measured once the system runs, by customers who are left alone on purpose.",
    "Margin at stake is what the trade of 90 days usually brings. Where no cost is known, 30 % is assumed (estimated).",
    "Quality gates and daily limits play no part: a rep would have seen the first of these, not all.",
    "Products and customers are named as they are today, and reps are those of today.",
)
"""What a report cannot know."""

PRICES = ("not put right in 90 days", "put right")


@dataclass(frozen=True, slots=True)
class Names:
    """What to call customers, and who looks after them."""

    customers: Mapping[int, str]
    currency: str
    reps: int = 1

    def of(self, key: tuple[object, ...]) -> str:
        """Return the customer's name, of a row named by its key."""
        number = key[0] if key else None
        return self.customers.get(number, f"customer {number}") if isinstance(number, int) else str(number)


@dataclass(frozen=True, slots=True)
class Share:
    """A share of cases, with its 95 % interval (Wilson). `share` is None where there are none."""

    hits: int
    of: int
    low: float = 0.0
    high: float = 1.0

    @property
    def share(self) -> float | None:
        """The share, where there are cases."""
        return self.hits / self.of if self.of else None


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of about the same stated chance, and how many of them came right by themselves."""

    stated: float
    seen: Share

    @property
    def ratio(self) -> tuple[float, float, float]:
        """Observed / expected, and its 95 % interval."""
        stated = max(self.stated, 1e-9)
        return (self.seen.share or 0.0) / stated, self.seen.low / stated, self.seen.high / stated

    @property
    def is_good(self) -> bool:
        """Does the interval meet 0.8 to 1.25?"""
        _, low, high = self.ratio
        return low <= GOOD[1] and high >= GOOD[0]


@dataclass(frozen=True, slots=True)
class Example:
    """One customer who was named, or who was not and should have been, and what then happened."""

    day: date
    customer: str
    headline: str
    text: str
    margin: float
    then: str


@dataclass(frozen=True, slots=True)
class KindResult:
    """What one kind would have said. Money is margin in base currency; `missed` were lost and never named."""

    kind: str
    alerts: int
    a_rep_and_day: float
    stayed: Share
    expected: float | None
    unknown: int
    open: int
    stake: float
    lost: float
    gain: float
    groups: tuple[Group, ...]
    right: tuple[Example, ...]
    wrong: tuple[Example, ...]
    waiting: tuple[Example, ...]
    missed: int
    missed_margin: float
    missed_examples: tuple[Example, ...]
    said: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Result:
    """A backtest: its days, and what each kind would have said."""

    first: date
    last: date
    days: int
    every: int
    customers: int
    currency: str
    reps: int
    kinds: tuple[KindResult, ...]
    weeks: tuple[tuple[date, int, int, int], ...]
    """For each day: named and it stayed so, named and it came right, and not known."""


def share(hits: int, of: int) -> Share:
    """Return a share with its Wilson interval."""
    if not of:
        return Share(0, 0)
    p, z = hits / of, Z_95**2 / of
    middle, half = (p + z / 2) / (1 + z), Z_95 * sqrt(p * (1 - p) / of + z / of / 4) / (1 + z)
    return Share(hits, of, max(middle - half, 0.0), min(middle + half, 1.0))


def groups_of(rows: Collection[Judged], most: int = 10) -> tuple[Group, ...]:
    """Return tenths of the rows by stated chance, fewer where a tenth has less than 30 rows."""
    known = sorted(
        (each for each in rows if each.is_over and each.happened is not None), key=lambda each: each.p0
    )
    number = min(most, len(known) // FEWEST)
    parts = (
        known[len(known) * place // number : len(known) * (place + 1) // number] for place in range(number)
    )
    return tuple(
        Group(fmean(each.p0 for each in part), share(sum(bool(each.happened) for each in part), len(part)))
        for part in parts
    )


def result(
    walked: Sequence[Sequence[Judged]], kinds: Sequence[str], days: Sequence[date], names: Names
) -> Result:
    """Sum up a walk over these days."""
    rows = [each for judged in walked for each in judged]
    by_kind: dict[str, list[Judged]] = defaultdict(list)
    for each in rows:
        by_kind[each.kind].append(each)
    every = (days[1] - days[0]).days if len(days) > 1 else 1
    working = max(len(days) * every * WORKING, 1)
    named = [each for each in rows if each.signal is not None and each.is_new]
    return Result(
        first=days[0],
        last=days[-1],
        days=len(days),
        every=every,
        customers=len({each.key[0] for each in named}),
        currency=names.currency,
        reps=names.reps,
        kinds=tuple(_kind(kind, by_kind[kind], days[0], working, names) for kind in kinds),
        weeks=tuple(_week(day, [each for each in named if each.day == day]) for day in days),
    )


def _week(day: date, named: Sequence[Judged]) -> tuple[date, int, int, int]:
    stayed = sum(each.is_known and bool(each.confirmed) for each in named)
    known = sum(each.is_known for each in named)
    return day, stayed, known - stayed, len(named) - known


def _kind(kind: str, rows: Sequence[Judged], first: date, working: float, names: Names) -> KindResult:
    named = [each for each in rows if each.signal is not None and each.is_new]
    signals = [each.signal for each in named if each.signal is not None]
    known = [each for each in named if each.is_known]
    right = [each for each in known if each.confirmed]
    ever = {each.key for each in rows if each.signal is not None}
    missed = {each.key: each for each in rows if each.is_known and each.confirmed and each.key not in ever}
    pooled = [each for each in rows if (each.day - first).days % POOLED_DAYS == 0]
    said = WORDS.get(kind, PRICES)
    return KindResult(
        kind=kind,
        alerts=len(named),
        a_rep_and_day=len(named) / max(names.reps, 1) / working,
        stayed=share(len(right), len(known)),
        expected=fmean(1 - each.p0 for each in known) if known else None,
        unknown=sum(each.is_over and each.confirmed is None for each in named),
        open=sum(not each.is_over for each in named),
        stake=money(each.stake for each in signals),
        lost=money(each.signal.stake for each in right if each.signal is not None),
        gain=money(each.value for each in signals),
        groups=groups_of(pooled),
        right=_examples(right, names, said),
        wrong=_examples([each for each in known if not each.confirmed], names, said),
        waiting=_examples([each for each in named if not each.is_over], names, said),
        missed=len(missed),
        missed_margin=sum(each.margin for each in missed.values()),
        missed_examples=_examples(missed.values(), names, said),
        said=said,
    )


def _examples(rows: Collection[Judged], names: Names, said: tuple[str, str]) -> tuple[Example, ...]:
    """Return the first rows by margin, a customer once."""
    found: dict[object, Example] = {}
    for each in sorted(rows, key=lambda each: (-each.margin, each.day)):
        if len(found) == EXAMPLES:
            break
        signal = each.signal
        found.setdefault(
            each.key[0],
            Example(
                day=each.day,
                customer=names.of(each.key),
                headline=signal.headline if signal else "",
                text=signal.evidence[0].text if signal else "",
                margin=each.margin,
                then=_then(each, said),
            ),
        )
    return tuple(found.values())


def _then(each: Judged, said: tuple[str, str]) -> str:
    if each.is_known and each.confirmed:
        return said[0]
    if each.happened:
        return said[1]
    if not each.is_over:
        return "not over yet"
    return "not known" if each.happened is None else "in between"


def as_json(found: Result) -> dict[str, Any]:
    """Return the result as JSON holds it, with shares and ratios worked out."""

    def plain(value: Any) -> Any:  # noqa: ANN401 - any part of a result
        if isinstance(value, date):
            return value.isoformat()
        if isinstance(value, (tuple, list)):
            return [plain(each) for each in value]
        if not hasattr(value, "__dataclass_fields__"):
            return value
        worked_out = {
            name: plain(getattr(value, name))
            for name in ("share", "ratio", "is_good")
            if hasattr(value, name)
        }
        return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__} | worked_out

    told: dict[str, Any] = plain(found)
    return told


def without_silent(found: Result) -> Result:
    """Leave out the kinds that said nothing and missed nothing; the others by what is at stake, most first."""
    speaking = (each for each in found.kinds if each.alerts or each.missed)
    return replace(found, kinds=tuple(sorted(speaking, key=lambda each: -each.stake)))


def page(found: Result, *, title: str, lead: Sequence[str], notes: Sequence[str]) -> str:
    """Return the report as one HTML file that loads nothing."""
    environment = Environment(loader=PackageLoader("services.scoring"), autoescape=True, trim_blocks=True)
    environment.filters |= {
        "money": spoken_money(found.currency),
        "percent": lambda value: "-" if value is None else f"{value:.0%}",
        "kind": lambda kind: kind.replace("_", " ").capitalize(),
    }
    return environment.get_template("backtest.html").render(
        found=found, title=title, lead=lead, notes=notes, bars=list(_bars(found)), height=HEIGHT
    )


HEIGHT = 120


def _bars(found: Result) -> Iterator[dict[str, Any]]:
    """Return the columns of the chart over the days: heights from the ground up."""
    most = max((sum(week[1:]) for week in found.weeks), default=0) or 1
    for place, (day, *counts) in enumerate(found.weeks):
        heights = [count * HEIGHT / most for count in counts]
        yield {"place": place, "day": day, "counts": counts, "heights": heights}


def spoken_money(currency: str) -> Callable[[float], str]:
    """Return how amounts of a currency are written."""
    symbol = {"EUR": "€", "GBP": "£", "USD": "$"}.get(currency)

    def told(amount: float) -> str:
        return f"{symbol}{amount:,.0f}" if symbol else f"{amount:,.0f} {currency}".strip()

    return told
