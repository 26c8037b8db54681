"""The night: evaluate the day kinds for every customer and rep, store what fires, have alerts decide about it."""

import logging
from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from services.scoring import detect
from services.scoring.day_signals import found_in
from services.scoring.engine import open_engine
from services.scoring.facts import Assumptions, OrderFacts
from services.scoring.feed import is_stale
from services.scoring.fit.facts import Facts, read_facts
from services.scoring.fit.run import connected
from services.scoring.store import signals as store
from services.scoring.store.catalogue import Catalogue
from shared import tasks
from shared.db import Database
from shared.domain.signal import DaySignalKind, Signal
from shared.settings import Settings
from shared.tasks import Tally, Task

log = logging.getLogger(__name__)

DayKinds = Sequence[DaySignalKind[OrderFacts]]

LONG_PAST_DAYS = 90
"""What was so for longer when a kind first looked is nobody's news: it opens no episode, and is counted once."""

MOVED = Decimal("0.2")
"""A finding of last night is stored again when its value moved by a fifth."""


class Finding(NamedTuple):
    """A signal, and for how many days the threshold has been passed; None where its kind does not say."""

    signal: Signal
    since_days: int | None


@dataclass(frozen=True, slots=True)
class Findings:
    """What the kinds find; the kind of each finding not worth acting on; the kinds that a stale feed silences."""

    found: Sequence[Finding] = ()
    dropped: Sequence[str] = ()
    silent: Sequence[str] = ()


def evaluate(
    database: Database,
    settings: Settings,
    assumptions: Assumptions,
    kinds: DayKinds,
    as_of: datetime,
    batch: Sequence[Task],
) -> Tally:
    """Evaluate the kinds these tasks name (`<day>:<kind>`) on facts before `as_of`, all or nothing."""
    named = {task.key.rpartition(":")[2] for task in batch}
    asked = [kind for kind in kinds if kind.name in named]
    findings = _find(settings, assumptions, asked, as_of)
    by_name = {kind.name: kind for kind in asked if kind.name not in findings.silent}
    day = as_of.astimezone(ZoneInfo(settings.time_zone)).date()
    with database.transaction() as connection:
        catalogue = Catalogue(settings.base_currency)
        catalogue.refresh(connection)
        episodes = store.day_episodes(connection, list(by_name))
        found = _without_old(connection, list(by_name.values()), findings.found, set(episodes), day)
        new = [each for each in found if _is_new(each, episodes.get(_key(each)))]
        rows = [
            detect.row(by_name[each.kind], each, _occasion(_key(each), day), catalogue.fit, as_of)
            for each in new
        ]
        store.save(connection, rows)
        seen = {_key(each) for each in found}
        store.touch(connection, [each.id for key, each in episodes.items() if key in seen], as_of)
        cleared = {key: each for key, each in episodes.items() if key not in seen}
        store.close(connection, {each.id: "it is no longer so" for each in cleared.values()}, as_of)
        changed = {_key(each) for each in new} | cleared.keys()
        store.put_day_decisions(connection, {_occasion(key, day) for key in changed}, batch[0].id)
        tasks.complete(connection, batch)
    return Tally(
        [
            *(("signals", each.kind) for each in new),
            *(("dropped", name) for name in findings.dropped),
            *(("silenced", name) for name in findings.silent),
        ]
    )


def _find(settings: Settings, assumptions: Assumptions, kinds: DayKinds, as_of: datetime) -> Findings:
    """Read the facts once, and return what each kind finds in them."""
    if not kinds:
        return Findings()
    url = settings.database_url.get_secret_value()
    with open_engine(threads=2, memory="900MB") as engine, connected(url) as connection:
        facts = read_facts(engine, connection, as_of, zone=settings.time_zone)
        facts = replace(facts, assumptions=assumptions)
        silent = [kind.name for kind in kinds if kind.is_absence] if _is_feed_stale(facts) else []
        found: list[Finding] = []
        dropped: list[str] = []
        for kind in kinds:
            if kind.name in silent:
                continue
            candidates = kind.candidates(facts, as_of)
            for row in engine.rows(candidates.filter(candidates.fires)):
                signal = found_in(kind, row, as_of, assumptions)
                if signal is None:
                    dropped.append(kind.name)
                else:
                    found.append(Finding(signal, row.get("since_days")))
    if silent:
        log.warning("no orders for unusually long: %s say nothing", ", ".join(silent))
    return Findings(found, dropped, silent)


def _without_old(
    connection: Connection,
    kinds: DayKinds,
    findings: Sequence[Finding],
    open_keys: AbstractSet[store.EpisodeKey],
    day: date,
) -> list[Signal]:
    """Return the signals but for what was long past when the version of its kind, or of its model, first looked.

    What is asked about already is not left out. Of a first evaluation, how much is left out is reported.
    """
    versions = [store.KindVersion(kind.name, kind.version, kind.needs_model) for kind in kinds]
    first = store.first_evaluations(connection, versions)
    old = [
        each
        for each in findings
        if each.since_days is not None
        and each.since_days - (day - (first[each.signal.kind].day or day)).days > LONG_PAST_DAYS
        and _key(each.signal) not in open_keys
    ]
    counts = Counter(each.signal.kind for each in old)
    new = {kind: each for kind, each in first.items() if each.day is None}
    store.save_first_evaluations(
        connection,
        [
            {"kind": kind, "version": each.version, "day": day, "old": counts[kind]}
            for kind, each in new.items()
        ],
    )
    for kind in new:
        if counts[kind]:
            log.info(
                "%s looks for the first time: %d have been so for long, nobody is told", kind, counts[kind]
            )
    left_out = {id(each) for each in old}
    return [each.signal for each in findings if id(each) not in left_out]


def _is_feed_stale(facts: Facts) -> bool:
    """Is the whole company silent? Then something is broken between the shop and here."""
    days = facts.order_days.filter(facts.order_days.orders > 0).select("day").distinct()
    return is_stale({row["day"] for row in facts.engine.rows(days)}, facts.today)


def _is_new(signal: Signal, episode: store.DayEpisode | None) -> bool:
    """Is no episode open about it, did it wait for room, or has its value moved by a fifth since it was last stored?"""
    return episode is None or episode.is_waiting or abs(signal.value - episode.value) >= MOVED * episode.value


def _key(signal: Signal) -> store.EpisodeKey:
    """A signal that names a customer is about the customer, even where it names a rep too."""
    rep_id = signal.rep_id if signal.customer_id is None else None
    return signal.kind, signal.customer_id, rep_id, signal.subject


def _occasion(key: store.EpisodeKey, day: date) -> str:
    """What is about a customer belongs to the customer's day, what is about a rep to the rep's."""
    _, customer_id, rep_id, _ = key
    return f"rep:{rep_id}:{day}" if customer_id is None else f"customer:{customer_id}:{day}"
