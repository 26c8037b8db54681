"""Load a batch of imported orders in one transaction: compare with the current revisions, then copy.

An order with the same content is a duplicate, whatever entry point it came through; a newer one replaces the whole
order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from services.ingest.imports.file_orders import Incoming
from services.ingest.imports.rows import (
    EVENTS,
    LINES,
    ORDERS,
    Names,
    Rates,
    copy_rows,
    event_row,
    line_rows,
    order_row,
)
from services.ingest.store import (
    Comparison,
    CurrentRevision,
    compare,
    is_newer_by_receipt,
    overtaken,
    revision_after,
    version_to_keep,
)
from shared import tasks
from shared.clock import real_now
from shared.db import Database

TRIES = 3

_CURRENT = text(
    "SELECT external_id, id, version, digest, coalesce(revision, version) AS revision FROM event"
    " WHERE source = :source AND external_id = ANY(:ids) AND is_current"
)

_LOCK = text(
    "SELECT external_id, id, version, digest, coalesce(revision, version) AS revision FROM event"
    " WHERE source = :source AND external_id = ANY(:ids) AND is_current ORDER BY id FOR NO KEY UPDATE"
)

_REMEMBER = text(
    "UPDATE event SET version = kept.version, revision = coalesce(revision, event.version)"
    " FROM unnest(CAST(:ids AS uuid[]), CAST(:versions AS bigint[])) AS kept (id, version) WHERE event.id = kept.id"
)

_REPLACE_CURRENT = text(
    "UPDATE event SET is_current = false, state = CASE WHEN state = 'accepted' THEN 'stale' ELSE state END"
    " WHERE id = ANY(:ids)"
)

_DROP = text(
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


def load(run: Run, batch: Sequence[Incoming]) -> list[Comparison]:
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


def compare_only(run: Run, batch: Sequence[Incoming]) -> list[Comparison]:
    """Return what would become of these orders; nothing is stored."""
    with run.database.transaction() as connection:
        return _compare_each(connection, _current(connection, run.source, batch, lock=False), batch)


def _load(connection: Connection, run: Run, batch: Sequence[Incoming]) -> list[Comparison]:
    current = _current(connection, run.source, batch, lock=False)
    comparisons = _compare_each(connection, current, batch)
    if Comparison.NEWER in comparisons:
        current |= _current(connection, run.source, _newer(batch, comparisons), lock=True)
        comparisons = _compare_each(connection, current, batch)
    wanted = [
        each
        for each, comparison in zip(batch, comparisons, strict=True)
        if comparison in (Comparison.NEW, Comparison.NEWER)
    ]
    _remember_versions(connection, current, batch, comparisons)
    if wanted:
        order_ids = _make_room(connection, run.source, current, _newer(batch, comparisons))
        revisions = {
            each.order.id: revision_after(current[each.order.id], each.order.version)
            for each in _newer(batch, comparisons)
        }
        run.names.learn(connection, [each.order for each in wanted])
        _copy_all(connection, run, wanted, order_ids, revisions)
        _withdraw(connection, wanted, order_ids, revisions)
    return comparisons


def _current(
    connection: Connection, source: str, batch: Sequence[Incoming], *, lock: bool
) -> dict[str, CurrentRevision]:
    ids = [each.order.id for each in batch]
    rows = connection.execute(_LOCK if lock else _CURRENT, {"source": source, "ids": ids})
    return {
        row.external_id: CurrentRevision(row.id, row.version, bytes(row.digest), row.revision) for row in rows
    }


def _compare_each(
    connection: Connection, current: Mapping[str, CurrentRevision], batch: Sequence[Incoming]
) -> list[Comparison]:
    comparisons = [compare(current.get(each.order.id), each.order.version, each.digest) for each in batch]
    by_receipt = [
        (each.order, each.digest)
        for each in _newer(batch, comparisons)
        if is_newer_by_receipt(current[each.order.id], each.order)
    ]
    before = overtaken(connection, by_receipt)
    return [
        Comparison.STALE if comparison is Comparison.NEWER and each.order.id in before else comparison
        for each, comparison in zip(batch, comparisons, strict=True)
    ]


def _newer(batch: Sequence[Incoming], comparisons: Sequence[Comparison]) -> list[Incoming]:
    return [
        each for each, comparison in zip(batch, comparisons, strict=True) if comparison is Comparison.NEWER
    ]


def _remember_versions(
    connection: Connection,
    current: dict[str, CurrentRevision],
    batch: Sequence[Incoming],
    comparisons: Sequence[Comparison],
) -> None:
    """A duplicate changes nothing, but the higher version is remembered."""
    kept: dict[UUID, int] = {}
    for each, comparison in zip(batch, comparisons, strict=True):
        mine = current.get(each.order.id)
        if comparison is Comparison.DUPLICATE and mine is not None:
            version = version_to_keep(mine.version, each.order.version)
            if version != mine.version:
                kept[mine.event_id] = version
    if kept:
        values = {"ids": list(kept), "versions": list(kept.values())}
        connection.execute(_REMEMBER, values)


def _make_room(
    connection: Connection, source: str, current: dict[str, CurrentRevision], newer: Sequence[Incoming]
) -> dict[str, int]:
    """Take away what newer revisions replace; return the ids that stay with their orders."""
    if not newer:
        return {}
    ids = [each.order.id for each in newer]
    connection.execute(_REPLACE_CURRENT, {"ids": [current[each].event_id for each in ids]})
    rows = connection.execute(_DROP, {"source": source, "ids": ids})
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
    copy_rows(connection, EVENTS, [
        event_row(each, event_id, revision, run.id, now)
        for each, event_id, revision in zip(new, event_ids, revisions, strict=True)
    ])  # fmt: skip
    copy_rows(connection, ORDERS, [
        order_row(each, order_id, event_id, revision, run.names, run.rates)
        for each, order_id, event_id, revision in zip(new, order_ids, event_ids, revisions, strict=True)
    ])  # fmt: skip
    copy_rows(connection, LINES, [
        row
        for each, order_id in zip(new, order_ids, strict=True)
        for row in line_rows(each, order_id, run.names, run.rates)
    ])  # fmt: skip


def _withdraw(
    connection: Connection, wanted: Sequence[Incoming], kept: dict[str, int], revisions: dict[str, int]
) -> None:
    """Take back the signals of orders that are replaced, and have alerts decide again."""
    newer = [each for each in wanted if each.order.id in kept]
    if not newer:
        return
    ids = [kept[each.order.id] for each in newer]
    rows = connection.execute(
        _WITHDRAW, {"ids": ids, "versions": [revisions[each.order.id] for each in newer]}
    )
    if keys := {f"order:{row.order_id}@{row.version}" for row in rows}:
        tasks.put(connection, "alerts", "decide", sorted(keys))
