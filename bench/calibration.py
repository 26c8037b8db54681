"""Calibration: chances stated on past days beside what then happened, and what the order of gains hangs on."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from services.scoring import backtest, signals
from services.scoring.backtest import Judged
from services.scoring.backtest_report import Group, groups_of, share
from services.scoring.effects import EFFECTS, gain
from services.scoring.engine import open_engine
from services.scoring.facts import Assumptions
from services.scoring.fit import models as fitted_models
from services.scoring.fit.facts import Facts, read_facts
from services.scoring.fit.model import Model
from services.scoring.fit.run import connected
from services.scoring.past_orders import PastOrders
from shared.db import UNHURRIED, Database
from shared.domain.signal import DaySignalKind, OrderSignalKind, SignalKind
from shared.plugins import discover

WEEK = 7
TEN = 10
LEAST_OVERLAP = 7
FEWEST = 30


@dataclass(frozen=True, slots=True)
class Walk:
    """What the day kinds made of past days, by kind."""

    kinds: tuple[str, ...]
    rows: Mapping[str, Sequence[Judged]]

    def of(self, kind: str, days: Collection[str]) -> list[Judged]:
        """Return the rows of a kind on these days."""
        return [each for each in self.rows.get(kind, ()) if each.day.isoformat() in days]


def walk(url: str, days: Sequence[str], end: datetime, zone: str, currency: str) -> Walk:
    """Ask every day kind about everybody on these mornings, and look up what happened."""
    kinds = [
        kind for kind in discover(signals, "KIND", SignalKind).values() if isinstance(kind, DaySignalKind)
    ]
    moments = [datetime.combine(date.fromisoformat(day), time.min, ZoneInfo(zone)) for day in days]
    rows: dict[str, list[Judged]] = defaultdict(list)
    with _facts(url, moments[0], end, zone, currency) as whole:
        for judged in backtest.walk(whole, kinds, moments):
            for each in judged:
                rows[each.kind].append(each)
    return Walk(tuple(kind.name for kind in kinds), rows)


def walk_orders(url: str, days: Sequence[str], end: datetime, zone: str, currency: str) -> Walk:
    """Ask every order kind about the orders of the week that begins on each day, by models of its first morning."""
    found = discover(signals, "KIND", SignalKind)
    kinds = {name: kind for name, kind in found.items() if isinstance(kind, OrderSignalKind)}
    models = discover(fitted_models, "MODEL", Model)
    rows: dict[str, list[Judged]] = defaultdict(list)
    moments = [datetime.combine(date.fromisoformat(day), time.min, ZoneInfo(zone)) for day in days]
    with _facts(url, moments[0], end, zone, currency) as whole:
        for moment in moments:
            week = [moment + timedelta(days=step) for step in range(WEEK)]
            with Database(url, UNHURRIED).transaction() as opened:
                orders = PastOrders(
                    opened, kinds, models, currency, fit_every=timedelta(days=WEEK), with_alone=True
                )
                for judged in backtest.walk(whole, [], week, orders=orders.judge):
                    for each in judged:
                        rows[each.kind].append(replace(each, day=moment.date()))
    return Walk(tuple(kinds), rows)


@contextmanager
def _facts(url: str, first: datetime, end: datetime, zone: str, currency: str) -> Iterator[Facts]:
    """Read the facts once, for all days from the first."""
    with open_engine(threads=2, memory="900MB") as engine, connected(url) as connection:
        whole = read_facts(engine, connection, end, zone=zone, since=first)
        yield replace(whole, assumptions=Assumptions(base_currency=currency))


def groups(pairs: Sequence[tuple[float, bool]]) -> tuple[Group, ...]:
    """Return tenths of stated chances and outcomes, as the report of a backtest has them."""
    known = sorted(pairs, key=lambda each: each[0])
    number = min(TEN, len(known) // FEWEST)
    parts = (known[len(known) * at // number : len(known) * (at + 1) // number] for at in range(number))
    return tuple(
        Group(sum(p for p, _ in part) / len(part), share(sum(hit for _, hit in part), len(part)))
        for part in parts
    )


def of_walk(found: Walk, kind: str, days: Collection[str]) -> tuple[Group, ...]:
    """Return tenths of what a day kind stated on these days."""
    return groups_of(found.of(kind, days))


def table(called: Sequence[Group]) -> Iterator[str]:
    """Write tenths as a table: stated, seen with its interval, and their ratio with its interval."""
    yield "| outcomes | stated | seen | seen / stated (95 %) | meets 0.8 to 1.25 |"
    yield "|---|---|---|---|---|"
    for each in called:
        ratio, low, high = each.ratio
        seen = f"{each.seen.share or 0:.2f} | {ratio:.2f} ({low:.2f} to {high:.2f})"
        yield f"| {each.seen.of} | {each.stated:.2f} | {seen} | {'yes' if each.is_good else '**no**'} |"


@dataclass(frozen=True, slots=True)
class Overlap:
    """How many of the ten best stay when acting on a kind does half or twice as much as assumed."""

    kind: str
    halved: int
    doubled: int


def overlaps(found: Walk, day: str) -> tuple[Overlap, ...]:
    """Change one kind's effect at a time, as `TIPOFF_EFFECTS` would, and compare the ten best of all kinds."""
    said = [each for kind in found.kinds for each in found.of(kind, {day}) if each.signal is not None]
    best = _best(said, {})
    return tuple(
        Overlap(
            kind,
            len(best & _best(said, {kind: EFFECTS[kind] / 2})),
            len(best & _best(said, {kind: EFFECTS[kind] * 2})),
        )
        for kind in found.kinds
        if any(each.kind == kind for each in said)
    )


def _best(said: Sequence[Judged], changed: Mapping[str, float]) -> set[tuple[object, ...]]:
    def worth(each: Judged) -> float:
        stake = float(each.signal.stake) if each.signal is not None else 0.0
        return gain(each.p0, stake, changed.get(each.kind, EFFECTS[each.kind]))

    return {(each.kind, *each.key) for each in sorted(said, key=worth, reverse=True)[:TEN]}
