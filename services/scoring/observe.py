"""Observe outcomes: what came of what was notified and what was held, once its horizon is over, as its kind states.

Each night, after the day kinds. An outcome is looked at again for two weeks, as orders come late and are amended. What
opened no episode (it was inhibited, say) is found anew night after night: it counts once within a horizon.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from services.scoring.facts import Assumptions, OrderFacts
from services.scoring.fit.facts import Facts
from services.scoring.night import company_facts
from services.scoring.outcomes import Seen, looked_up
from services.scoring.store import outcomes as store
from services.scoring.store.outcomes import Said
from services.scoring.store.signals import Row
from shared import tasks
from shared.clock import start_of_day
from shared.db import Database
from shared.domain.signal import DaySignalKind, SignalKind
from shared.settings import Settings
from shared.tasks import Tally, Task

Kinds = Mapping[str, SignalKind[OrderFacts]]
NOBODY_KNOWS = Seen(None, None, None, None)


def observe(
    database: Database,
    settings: Settings,
    assumptions: Assumptions,
    kinds: Kinds,
    now: datetime,
    batch: Sequence[Task],
) -> Tally:
    """Observe the outcomes of what the kinds these tasks name (`<day>:<kind>`) said. Safe to run twice."""
    named = {task.key.rpartition(":")[2] for task in batch}
    asked = {name: kind for name, kind in kinds.items() if name in named and kind.outcome is not None}
    today = start_of_day(now, settings.time_zone)
    days = {name: kind.outcome_within.days for name, kind in asked.items()}
    with database.transaction() as connection:
        over = store.said(connection, days, today.date(), settings.time_zone)
        due = list(_once_within_horizon(over, store.last_observed(connection, list(asked)), asked))
    rows: list[Row] = []
    if due:  # nothing is read while nothing is over
        with company_facts(settings, assumptions, today) as facts:
            rows = [row | {"observed_at": now} for row in _observed(facts, asked, due)]
    with database.transaction() as connection:
        written = store.save(connection, rows)
        tasks.complete(connection, batch)
    return Tally(Counter(("outcomes", kind) for kind in written))


def as_row(kind: SignalKind[OrderFacts], said: Said) -> dict[str, Any]:
    """Return what the outcome of a kind is given of one signal: what it was made from."""
    if isinstance(kind, DaySignalKind):
        return dict(said.facts or {})
    own = {"customer_id": said.customer_id, "product_id": said.product_id, "order_id": said.order_id}
    return own | dict(said.detail)


def _once_within_horizon(
    over: Iterable[Said], last_observed: Mapping[tuple[object, ...], datetime], kinds: Kinds
) -> Iterator[Said]:
    last = dict(last_observed)
    for each in over:
        before = last.get(each.key)
        is_known = before is not None and each.as_of - before < kinds[each.kind].outcome_within
        if each.is_observed or each.episode_id is not None or not is_known:
            last[each.key] = each.as_of
            yield each


def _observed(facts: Facts, kinds: Kinds, due: Sequence[Said]) -> Iterator[Row]:
    """Ask each kind's outcome once for each day on which it said something."""
    zone = ZoneInfo(facts.zone)
    groups: defaultdict[tuple[str, date], list[Said]] = defaultdict(list)
    for each in due:
        if as_row(kinds[each.kind], each):  # the first releases kept nothing to look it up by
            groups[each.kind, each.as_of.astimezone(zone).date()].append(each)
    for (name, day), of_day in groups.items():
        kind = kinds[name]
        if kind.outcome is None:
            continue
        rows = [as_row(kind, each) for each in of_day]
        moment = datetime(day.year, day.month, day.day, tzinfo=zone)
        given = facts.engine.load("said", _table(rows).to_reader())
        names, seen = looked_up(facts.engine, kind.outcome(facts, moment, given))
        for each, row in zip(of_day, rows, strict=True):
            found = seen.get(tuple(row.get(column) for column in names), NOBODY_KNOWS)
            yield each.stored | {
                "happened": found.happened,
                "confirmed": found.confirmed,
                "revenue": found.revenue,
                "margin": found.margin,
            }


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    """Return rows as a table; a column in which nothing is known is one of numbers."""
    table = pa.Table.from_pylist(rows)
    known = [
        field.with_type(pa.float64()) if pa.types.is_null(field.type) else field for field in table.schema
    ]
    return table.cast(pa.schema(known))
