"""Evaluate the day kinds: each night for every customer and rep, by the hour for those whose orders changed.

What fires is stored, and alerts decide about it. By the hour nothing opens that is an absence: no order makes one, and
what models learnt is as of the morning. What orders, late, edited or cancelled, made wrong is closed; what they show (a
price that slips) is found. Nobody else's episodes are touched.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
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
from services.scoring.store import evaluations
from services.scoring.store import signals as store
from services.scoring.store.catalogue import Catalogue
from services.scoring.store.evaluations import Changed
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
    with database.transaction() as connection:
        seen_until = evaluations.database_now(connection)
    findings = _find(settings, assumptions, asked, as_of)
    heard = [kind for kind in asked if kind.name not in findings.silent]
    day = as_of.astimezone(ZoneInfo(settings.time_zone)).date()
    with database.transaction() as connection:
        episodes = store.day_episodes(connection, [kind.name for kind in heard])
        found = _without_old(connection, heard, findings.found, set(episodes), day)
        evaluation = Evaluation(as_of, day, batch[0].id, settings.base_currency)
        new = _record(connection, evaluation, heard, found, episodes)
        evaluations.save(connection, [kind.name for kind in asked], as_of, seen_until)
        tasks.complete(connection, batch)
    return _tally(new, findings)


def evaluate_changed(
    database: Database,
    settings: Settings,
    assumptions: Assumptions,
    kinds: DayKinds,
    as_of: datetime,
    batch: Sequence[Task],
) -> Tally:
    """Evaluate the customers and reps whose orders were applied since the last evaluation, all or nothing.

    A kind is asked that a night has asked before in this version; one that finds absences, where it has an episode to
    close. While there is none, no facts are read.
    """
    day = as_of.astimezone(ZoneInfo(settings.time_zone)).date()
    with database.transaction() as connection:
        seen_until = evaluations.database_now(connection)
        first, evaluated = _first_evaluations(connection, kinds), evaluations.evaluated(connection)
        known = [kind for kind in kinds if kind.name in evaluated and first[kind.name].day is not None]
        changed = evaluations.changed(connection, [kind.name for kind in known], day)
        open_kinds = {key[0] for key in _of(changed, store.day_episodes(connection, [k.name for k in known]))}
    asked = [kind for kind in known if changed and (kind.name in open_kinds or not kind.is_absence)]
    findings = _find(settings, assumptions, asked, as_of, changed)
    heard = [kind for kind in asked if kind.name not in findings.silent]
    absences = {kind.name for kind in heard if kind.is_absence}
    with database.transaction() as connection:
        episodes = _of(changed, store.day_episodes(connection, [kind.name for kind in heard]))
        found = _without_old(connection, heard, findings.found, set(episodes), day)
        found = [each for each in found if each.kind not in absences or _key(each) in episodes]
        evaluation = Evaluation(as_of, day, batch[0].id, settings.base_currency)
        new = _record(connection, evaluation, heard, found, episodes)
        evaluations.save(connection, [kind.name for kind in known], as_of, seen_until)
        tasks.complete(connection, batch)
    return _tally(new, findings)


class Evaluation(NamedTuple):
    """An evaluation: its moment and day, the task that asked for it, and the base currency."""

    as_of: datetime
    day: date
    task_id: int
    base_currency: str


def _record(
    connection: Connection,
    evaluation: Evaluation,
    kinds: DayKinds,
    found: Sequence[Signal],
    episodes: Mapping[store.EpisodeKey, store.DayEpisode],
) -> list[Signal]:
    """Store what is new, touch the episodes of what is still so, close the others; return what is new."""
    as_of, day, task_id, base_currency = evaluation
    by_name = {kind.name: kind for kind in kinds}
    new = [each for each in found if _is_new(each, episodes.get(_key(each)))]
    catalogue = Catalogue(base_currency)
    if new:
        catalogue.refresh(connection)
    rows = [
        detect.row(by_name[each.kind], each, _occasion(_key(each), day), catalogue.fit, as_of) for each in new
    ]
    store.save(connection, rows)
    seen = {_key(each) for each in found}
    store.touch(connection, [each.id for key, each in episodes.items() if key in seen], as_of)
    cleared = {key: each for key, each in episodes.items() if key not in seen}
    store.close(connection, {each.id: "it is no longer so" for each in cleared.values()}, as_of)
    changed = {_key(each) for each in new} | cleared.keys()
    store.put_day_decisions(connection, {_occasion(key, day) for key in changed}, task_id)
    return new


def _tally(new: Sequence[Signal], findings: Findings) -> Tally:
    return Tally(
        [
            *(("signals", each.kind) for each in new),
            *(("dropped", name) for name in findings.dropped),
            *(("silenced", name) for name in findings.silent),
        ]
    )


def _of(
    changed: Changed, episodes: Mapping[store.EpisodeKey, store.DayEpisode]
) -> dict[store.EpisodeKey, store.DayEpisode]:
    return {key: each for key, each in episodes.items() if changed.has(key[1], key[2])}


@contextmanager
def company_facts(settings: Settings, assumptions: Assumptions, as_of: datetime) -> Iterator[Facts]:
    """Read the facts of the company before a moment."""
    url = settings.database_url.get_secret_value()
    with (
        open_engine(threads=2, memory="900MB", extracts=settings.extracts) as engine,
        connected(url) as connection,
    ):
        facts = read_facts(engine, connection, as_of, zone=settings.time_zone)
        yield replace(facts, assumptions=assumptions)


def _find(
    settings: Settings,
    assumptions: Assumptions,
    kinds: DayKinds,
    as_of: datetime,
    changed: Changed | None = None,
) -> Findings:
    """Read the facts once, and return what each kind finds in them: of everybody, or of those who changed."""
    if not kinds:
        return Findings()
    with company_facts(settings, assumptions, as_of) as facts:
        trade = facts.order_days.filter(facts.order_days.orders > 0).select("day").distinct()
        days = {row["day"] for row in facts.engine.rows(trade)}
        silent = [kind.name for kind in kinds if kind.is_absence] if is_stale(days, facts.today) else []
        is_season_known = facts.is_season_known()
        found: list[Finding] = []
        dropped: list[str] = []
        for kind in kinds:
            if kind.name in silent:
                continue
            candidates = kind.candidates(facts, as_of)
            for row in facts.engine.rows(candidates.filter(candidates.fires)):
                if changed is not None and not changed.has(row.get("customer_id"), row.get("rep_id")):
                    continue
                signal = found_in(kind, row, as_of, assumptions, is_season_known=is_season_known)
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
    first = _first_evaluations(connection, kinds)
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


def _first_evaluations(connection: Connection, kinds: DayKinds) -> dict[str, store.FirstEvaluation]:
    versions = [store.KindVersion(kind.name, kind.version, kind.needs_model) for kind in kinds]
    return store.first_evaluations(connection, versions)


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
