"""This file loads a batch of imported orders in one transaction: decided against what is held, then copied.

Orders the system holds already are repeats, whatever door they came through; newer ones replace the whole order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from services.ingest.imports import copy_text
from services.ingest.imports.file_orders import Incoming
from services.ingest.imports.identities import Names
from services.ingest.imports.rates import Rates
from services.ingest.receive import Held, Verdict, judge, version_to_keep
from services.ingest.store import revision_after
from shared import tasks
from shared.clock import real_now
from shared.db import Database

TRIES = 3

_HELD = text(
    "SELECT external_id, id, version, digest, coalesce(revision, version) AS revision FROM event"
    " WHERE source = :source AND external_id = ANY(:ids) AND is_head"
)

_LOCK = text(
    "SELECT external_id, id, version, digest, coalesce(revision, version) AS revision FROM event"
    " WHERE source = :source AND external_id = ANY(:ids) AND is_head ORDER BY id FOR NO KEY UPDATE"
)

_REMEMBER = text(
    "UPDATE event SET version = told.version, revision = coalesce(revision, event.version)"
    " FROM unnest(CAST(:ids AS uuid[]), CAST(:versions AS bigint[])) AS told (id, version) WHERE event.id = told.id"
)

_STEP_DOWN = text(
    "UPDATE event SET is_head = false, state = CASE WHEN state = 'accepted' THEN 'superseded' ELSE state END"
    " WHERE id = ANY(:ids)"
)

_TAKE_AWAY = text(
    "WITH gone AS (DELETE FROM sales_order WHERE source = :source AND external_id = ANY(:ids)"
    " RETURNING id, external_id), lines AS (DELETE FROM order_line USING gone WHERE order_id = gone.id)"
    " SELECT external_id, id FROM gone"
)

_WITHDRAW = text(
    "UPDATE signal SET withdrawn_at = now(), withdrawn_reason = 'the order was amended'"
    " FROM unnest(CAST(:ids AS bigint[]), CAST(:versions AS bigint[])) AS newer (order_id, version)"
    " WHERE signal.occasion = 'order:' || newer.order_id AND signal.order_version < newer.version"
    " AND withdrawn_at IS NULL"
    " RETURNING signal.order_id, newer.version"
)

_NEW_IDS = text(
    "SELECT nextval(pg_get_serial_sequence('sales_order', 'id')) FROM generate_series(1, :number)"
)


@dataclass(frozen=True, slots=True)
class Run:
    """What every batch of an import shares."""

    id: int
    source: str
    database: Database
    names: Names
    rates: Rates


def judge_only(run: Run, batch: Sequence[Incoming]) -> list[Verdict]:
    """What would become of these orders."""
    with run.database.transaction() as connection:
        return _verdicts(_held(connection, run.source, batch, lock=False), batch)


def load(run: Run, batch: Sequence[Incoming]) -> list[Verdict]:
    """Load a batch and return what became of each order; committed when this returns."""
    for attempt in range(1, TRIES + 1):
        try:
            with run.database.transaction() as connection:
                return _load(connection, run, batch)
        except IntegrityError:  # one of them came in by webhook meanwhile: look again
            run.names.forget()
            if attempt == TRIES:
                raise
    raise AssertionError("the last try returns or raises")


def _load(connection: Connection, run: Run, batch: Sequence[Incoming]) -> list[Verdict]:
    held = _held(connection, run.source, batch, lock=False)
    verdicts = _verdicts(held, batch)
    if Verdict.NEWER in verdicts:
        held |= _held(connection, run.source, _newer(batch, verdicts), lock=True)
        verdicts = _verdicts(held, batch)
    wanted = [
        each for each, verdict in zip(batch, verdicts, strict=True) if verdict in (Verdict.NEW, Verdict.NEWER)
    ]
    _remember_versions(connection, held, batch, verdicts)
    if wanted:
        order_ids = _make_room(connection, run.source, held, _newer(batch, verdicts))
        revisions = {
            each.order.id: revision_after(held[each.order.id], each.order.version)
            for each in _newer(batch, verdicts)
        }
        run.names.learn(connection, [each.order for each in wanted])
        _copy_all(connection, run, wanted, order_ids, revisions)
        _withdraw(connection, wanted, order_ids, revisions)
    return verdicts


def _remember_versions(
    connection: Connection, held: dict[str, Held], batch: Sequence[Incoming], verdicts: Sequence[Verdict]
) -> None:
    """A repeat changes nothing, but the higher version is remembered."""
    kept: dict[UUID, int] = {}
    for each, verdict in zip(batch, verdicts, strict=True):
        current = held.get(each.order.id)
        if verdict is Verdict.REPEAT and current is not None:
            version = version_to_keep(current.version, each.order.version)
            if version != current.version:
                kept[current.event_id] = version
    if kept:
        values = {"ids": list(kept), "versions": list(kept.values())}
        connection.execute(_REMEMBER, values)


def _withdraw(
    connection: Connection, wanted: Sequence[Incoming], kept: dict[str, int], revisions: dict[str, int]
) -> None:
    """Take back what was said of orders that are replaced, and have alerts draw its conclusions."""
    newer = [each for each in wanted if each.order.id in kept]
    if not newer:
        return
    ids = [kept[each.order.id] for each in newer]
    rows = connection.execute(
        _WITHDRAW, {"ids": ids, "versions": [revisions[each.order.id] for each in newer]}
    )
    if keys := {f"order:{row.order_id}@{row.version}" for row in rows}:
        tasks.put(connection, "alerts", "decide", sorted(keys))


def _newer(batch: Sequence[Incoming], verdicts: Sequence[Verdict]) -> list[Incoming]:
    return [each for each, verdict in zip(batch, verdicts, strict=True) if verdict is Verdict.NEWER]


def _held(connection: Connection, source: str, batch: Sequence[Incoming], *, lock: bool) -> dict[str, Held]:
    ids = [each.order.id for each in batch]
    rows = connection.execute(_LOCK if lock else _HELD, {"source": source, "ids": ids})
    return {row.external_id: Held(row.id, row.version, bytes(row.digest), row.revision) for row in rows}


def _verdicts(held: dict[str, Held], batch: Sequence[Incoming]) -> list[Verdict]:
    return [judge(held.get(each.order.id), each.order.version, each.digest) for each in batch]


def _make_room(
    connection: Connection, source: str, held: dict[str, Held], newer: Sequence[Incoming]
) -> dict[str, int]:
    """Take away what newer readings replace; return the ids that stay with their orders."""
    if not newer:
        return {}
    ids = [each.order.id for each in newer]
    connection.execute(_STEP_DOWN, {"ids": [held[each].event_id for each in ids]})
    rows = connection.execute(_TAKE_AWAY, {"source": source, "ids": ids})
    return {row.external_id: row.id for row in rows}


def _copy_all(
    connection: Connection,
    run: Run,
    new: Sequence[Incoming],
    kept: dict[str, int],
    revision_of: dict[str, int],
) -> None:
    """Copy events, orders and lines."""
    fresh = iter(connection.execute(_NEW_IDS, {"number": len(new) - len(kept)}).scalars().all())
    order_ids = [kept[each.order.id] if each.order.id in kept else next(fresh) for each in new]
    event_ids: list[UUID] = [uuid4() for _ in new]
    revisions = [revision_of.get(each.order.id, each.order.version) for each in new]
    now = real_now().isoformat()
    copy_text.copy_rows(connection, copy_text.EVENTS, [
        copy_text.event_row(each, event_id, revision, run.id, now)
        for each, event_id, revision in zip(new, event_ids, revisions, strict=True)
    ])  # fmt: skip
    copy_text.copy_rows(connection, copy_text.ORDERS, [
        copy_text.order_row(each, order_id, event_id, revision, run.names, run.rates)
        for each, order_id, event_id, revision in zip(new, order_ids, event_ids, revisions, strict=True)
    ])  # fmt: skip
    copy_text.copy_rows(connection, copy_text.LINES, [
        row
        for each, order_id in zip(new, order_ids, strict=True)
        for row in copy_text.line_rows(each, order_id, run.names, run.rates)
    ])  # fmt: skip
