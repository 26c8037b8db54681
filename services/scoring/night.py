"""Judge every customer and every rep once a day: run the day kinds, store what fires, have alerts decide on it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from services.scoring import detect
from services.scoring.engine import open_engine
from services.scoring.facts import FitFacts, OrderFacts
from services.scoring.fit.facts import read_facts
from services.scoring.fit.run import connected
from services.scoring.store import signals as store
from services.scoring.store.catalogue import Catalogue
from shared import tasks
from shared.db import Database
from shared.domain.signal import DaySignalKind, Signal
from shared.settings import Settings
from shared.tasks import Tally, Task

DayKinds = Sequence[DaySignalKind[OrderFacts]]

NEWS = Decimal("0.2")
"""A finding of last night is news again when its value moved by a fifth."""


@dataclass(frozen=True, slots=True)
class Night:
    """What one night judges: these kinds, at this moment, on this day of the company's calendar."""

    kinds: DayKinds
    as_of: datetime
    day: date


def judge(
    database: Database, settings: Settings, kinds: DayKinds, as_of: datetime, batch: Sequence[Task]
) -> Tally:
    """Judge the kinds these tasks name (`<day>:<kind>`) on facts before `as_of`, all or nothing."""
    named = {task.key.rpartition(":")[2] for task in batch}
    day = as_of.astimezone(ZoneInfo(settings.time_zone)).date()
    night = Night([kind for kind in kinds if kind.name in named], as_of, day)
    told = _told(settings.database_url.get_secret_value(), night)
    with database.transaction() as connection:
        catalogue = Catalogue(settings.base_currency)
        catalogue.refresh(connection)
        standing = store.standing(connection, [kind.name for kind in night.kinds])
        news = [each for each in told if _is_news(each, standing)]
        store.save(connection, _rows(night, news, catalogue.fit))
        seen = {_key(each) for each in told}
        store.touch(connection, [each.id for key, each in standing.items() if key in seen], as_of)
        cleared = {key: each for key, each in standing.items() if key not in seen}
        store.close(connection, {each.id: "it is no longer so" for each in cleared.values()}, as_of)
        occasions = {_occasion(_key(each), night.day) for each in news}
        occasions |= {_occasion(key, night.day) for key in cleared}
        store.put_day_decisions(connection, occasions, batch[0].id)
        tasks.complete(connection, batch)
    return Tally(Counter(("signals", each.kind) for each in news))


def _told(database_url: str, night: Night) -> list[Signal]:
    """Read the facts once, and return what each kind finds in them."""
    if not night.kinds:
        return []
    with open_engine(threads=2, memory="900MB") as engine, connected(database_url) as connection:
        facts = read_facts(engine, connection, night.as_of)
        found = []
        for kind in night.kinds:
            candidates = kind.candidates(facts, night.as_of)
            fired = engine.rows(candidates.filter(candidates.fires))
            found += [_with_facts(kind.tell(row | {"as_of": night.as_of}), row) for row in fired]
    return found


def _with_facts(signal: Signal, row: dict[str, Any]) -> Signal:
    """A day signal was made from its row."""
    return signal if signal.facts is not None else replace(signal, facts=row)


def _is_news(signal: Signal, standing: dict[store.Key, store.Standing]) -> bool:
    """Is no episode open about it, or has its value moved by a fifth since it was last stored?"""
    open_one = standing.get(_key(signal))
    return open_one is None or abs(signal.value - open_one.value) >= NEWS * open_one.value


def _key(signal: Signal) -> store.Key:
    """A signal that names a customer is about the customer, even where it names a rep too."""
    rep_id = signal.rep_id if signal.customer_id is None else None
    return signal.kind, signal.customer_id, rep_id, signal.subject


def _occasion(key: store.Key, day: date) -> str:
    """What is about a customer belongs to the customer's day, what is about a rep to the rep's."""
    _, customer_id, rep_id, _ = key
    return f"rep:{rep_id}:{day}" if customer_id is None else f"customer:{customer_id}:{day}"


def _rows(night: Night, signals: Sequence[Signal], fit: FitFacts | None) -> list[store.Row]:
    kinds = {kind.name: kind for kind in night.kinds}
    return [
        detect.row(kinds[each.kind], each, _occasion(_key(each), night.day), fit, night.as_of)
        for each in signals
    ]
