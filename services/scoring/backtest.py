"""Backtest: walk past days with the live kinds, and judge what they would have said by what happened afterwards.

The facts are read once. Each day gets an engine of its own that holds nothing but what was dated and received before
that morning; models are fitted there. Only the judge sees the days after. An episode is said once while it is open.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import ibis
import pyarrow as pa

from services.scoring.day_signals import found_in
from services.scoring.effects import ASSUMED_MARGIN
from services.scoring.engine import Engine, open_engine
from services.scoring.facts import OrderFacts
from services.scoring.fit import models as fitted_models
from services.scoring.fit.facts import (
    REMEMBERED,
    Facts,
    Predictions,
    history_of,
    naive,
    order_days_of,
    purchases_of,
)
from services.scoring.fit.model import Model, learnt
from services.scoring.outcomes import QUARTER, looked_up
from shared.domain.signal import DaySignalKind, Signal
from shared.plugins import discover

DayKinds = Sequence[DaySignalKind[OrderFacts]]
HORIZON = QUARTER


@dataclass(frozen=True, slots=True)
class Judged:
    """What a kind said of one row (`key`: customer, and item or category) on a past day, and what became of it.

    `signal` is None where it did not fire, or where acting brings less than it costs. `happened` (the good outcome came
    by itself) and `confirmed` (what was said stayed true) are None where nobody knows, and while the days after are
    `is_over` false.
    """

    day: date
    kind: str
    key: tuple[object, ...]
    p0: float
    margin: float
    signal: Signal | None
    is_new: bool
    is_over: bool
    happened: bool | None
    confirmed: bool | None

    @property
    def is_known(self) -> bool:
        """Are the days after over, and did they say anything?"""
        return self.is_over and self.confirmed is not None


OrdersOfDay = Callable[[Facts, Facts], list[Judged]]
"""Takes facts that reach over the days after, and those of the morning."""


def mornings(first: date, last: date, *, every: int) -> list[date]:
    """Return the days to walk from first to last: all of them, or with 7 the Mondays."""
    start = first + timedelta(days=-first.weekday() % 7 if every == 7 else 0)
    return [start + timedelta(days=step) for step in range(0, (last - start).days + 1, every)]


def walk(
    whole: Facts,
    kinds: DayKinds,
    moments: Iterable[datetime],
    *,
    known: Mapping[str, Model] | None = None,
    orders: OrdersOfDay | None = None,
    learn_every: timedelta = timedelta(0),
) -> Iterator[list[Judged]]:
    """Yield for each moment what the kinds made of it. `whole` are facts that reach over the days after.

    What models learnt serves until it is `learn_every` old; it predicts from the facts of each moment. `orders` judges
    the orders of the day that begins then (`services.scoring.past_orders`), where it is asked for.
    """
    found = discover(fitted_models, "MODEL", Model) if known is None else known
    open_episodes: set[tuple[object, ...]] = set()
    lessons: dict[str, Any] = {}
    learnt_at: datetime | None = None
    for moment in moments:
        if learnt_at is None or moment - learnt_at >= learn_every:
            lessons, learnt_at = {}, moment
        with open_engine(threads=2, memory="900MB") as engine:
            needed = [found[str(name)] for name in {kind.needs_model for kind in kinds} & found.keys()]
            facts = learnt(as_it_stood(whole, engine, moment), needed, lessons)
            judged = [each for kind in kinds for each in _judge(whole, facts, kind, moment, open_episodes)]
            of_orders = orders(whole, facts) if orders is not None else []
        open_episodes = {(each.kind, *each.key) for each in judged if each.signal is not None}
        yield judged + of_orders


def as_it_stood(whole: Facts, engine: Engine, as_of: datetime) -> Facts:
    """Return the facts of that moment in another engine: lines told and received before it, two years back."""
    lines = whole.lines
    known = (lines.told_at < naive(as_of)) & (lines.told_at >= naive(as_of - REMEMBERED))
    if "received_at" in lines.columns:
        known &= lines.received_at.isnull() | (lines.received_at < naive(as_of))
        lines = lines.filter(known).drop("received_at")
    else:
        lines = lines.filter(known)

    def copied(name: str, rows: ibis.Table) -> ibis.Table:
        return engine.load(name, whole.engine.stream(rows))

    own = copied("line", lines)
    purchases = engine.keep("purchase", purchases_of(own))
    return Facts(
        engine=engine,
        as_of=as_of,
        zone=whole.zone,
        lines=own,
        purchases=purchases,
        history=engine.keep("history", history_of(purchases)),
        order_days=engine.keep("order_day", order_days_of(own, purchases)),
        products=copied("product", whole.products),
        customers=copied("customer", whole.customers),
        owners=copied("owner", whole.owners),
        predictions=Predictions(engine, None, {}),
        agreements=None if whole.agreements is None else copied("agreed", whole.agreements),
        substitutes=None if whole.substitutes is None else copied("substitute", whole.substitutes),
        assumptions=whole.assumptions,
    )


def _judge(
    whole: Facts,
    facts: Facts,
    kind: DaySignalKind[OrderFacts],
    moment: datetime,
    already: set[tuple[object, ...]],
) -> Iterator[Judged]:
    """Ask a kind about everybody, word what fires, and look up what happened."""
    rows = facts.engine.stream(kind.candidates(facts, moment)).read_all()
    if not rows.num_rows:
        return
    names, outcomes = _outcomes(whole, kind, moment, rows)
    is_season_known = facts.is_season_known()
    is_over = naive(moment + kind.outcome_within) <= naive(whole.as_of)
    for row in rows.to_pylist():
        if not row["fires"] and kind.needs_model is None:
            continue  # its p0 is of what is found
        key = tuple(row[name] for name in names)
        happened, confirmed = outcomes.get(key, (None, None))
        yield Judged(
            day=facts.today,
            kind=kind.name,
            key=key,
            p0=float(row.get("p0") or 0.0),
            margin=_margin(row),
            signal=found_in(kind, row, moment, whole.assumptions, is_season_known=is_season_known)
            if row["fires"]
            else None,
            is_new=(kind.name, *key) not in already,
            is_over=is_over,
            happened=happened,
            confirmed=confirmed,
        )


def _margin(row: Mapping[str, Any]) -> float:
    stake = row["stake"] if row.get("stake") is not None else (row.get("revenue") or 0.0) * ASSUMED_MARGIN
    return max(float(stake), 0.0)


def _outcomes(
    whole: Facts, kind: DaySignalKind[OrderFacts], moment: datetime, rows: pa.Table
) -> tuple[list[str], dict[tuple[object, ...], tuple[bool | None, bool | None]]]:
    """Return the columns that name a row, and for each what happened and whether what was said stayed true."""
    if kind.outcome is None:
        own = [
            name for name in ("customer_id", "rep_id", "product_id", "category") if name in rows.column_names
        ]
        return own[:2], {}
    judged = kind.outcome(whole, moment, whole.engine.load("judged", rows.to_reader()))
    names, seen = looked_up(whole.engine, judged)
    return names, {key: (each.happened, each.confirmed) for key, each in seen.items()}


def money(amounts: Iterable[Decimal]) -> float:
    """Sum amounts, for a report."""
    return float(sum(amounts, Decimal(0)))


Progress = Callable[[Sequence[datetime]], Iterable[datetime]]
