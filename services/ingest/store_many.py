"""Many order revisions at once: one statement for those of new orders, one look for duplicates.

What is left, a newer, older or conflicting revision, is compared under its own lock in its own transaction, so that
two streams of the same orders, and the scoring of them, can never wait for each other in a circle.
"""

from collections.abc import Sequence
from uuid import UUID

from services.ingest.store import (
    Comparison,
    CurrentRevision,
    OrderRevision,
    Stored,
    compare,
    flags_json,
    store_beside,
    version_to_keep,
)
from shared.db import Database

_STORE_NEW = (
    "WITH stored AS (INSERT INTO event (source, entry_point, external_id, version, digest, body, normalized, flags,"
    " is_current, state) SELECT %s, %s, external_id, version, digest, body, normalized, flags, true, 'accepted'"
    " FROM unnest(%s::text[], %s::bigint[], %s::bytea[], %s::bytea[], %s::text[], %s::jsonb[])"
    " AS new (external_id, version, digest, body, normalized, flags) ORDER BY external_id"
    " ON CONFLICT (source, external_id) WHERE is_current DO NOTHING RETURNING id, external_id),"
    " put AS (INSERT INTO task (queue, kind, key) SELECT 'scoring', 'score', id::text FROM stored)"
    " SELECT id, external_id FROM stored"
)

_CURRENT = (
    "SELECT external_id, id, version, digest FROM event"
    " WHERE source = %s AND external_id = ANY(%s::text[]) AND is_current"
)


def store_many(database: Database, arrivals: Sequence[OrderRevision]) -> list[Stored]:
    """Store revisions of one source and entry point in their order; committed when this returns."""
    if not arrivals:
        return []
    source, entry_point = arrivals[0].order.source, arrivals[0].event.entry_point
    first = {each.order.id: each for each in reversed(arrivals)}
    made = _store_new(database, source, entry_point, list(first.values()))
    left = [each for each in arrivals if first[each.order.id] is not each or each.order.id not in made]
    current: dict[str, CurrentRevision] = {}
    if left:
        with database.autocommit() as connection:
            rows = connection.exec_driver_sql(_CURRENT, (source, sorted({each.order.id for each in left})))
            current = {row[0]: CurrentRevision(row[1], row[2], bytes(row[3])) for row in rows}
    return [
        Stored(Comparison.NEW, str(made[each.order.id]), bool(each.order.flags))
        if first[each.order.id] is each and each.order.id in made
        else _decide(database, each, current.get(each.order.id))
        for each in arrivals
    ]


def _store_new(
    database: Database, source: str, entry_point: str, new: Sequence[OrderRevision]
) -> dict[str, UUID]:
    """Store revisions of different orders that are new; return the events made, by order."""
    columns = (
        [each.order.id for each in new],
        [each.order.version for each in new],
        [each.digest for each in new],
        [each.event.body for each in new],
        [each.normalized for each in new],
        [flags_json(each.order) for each in new],
    )
    with database.autocommit() as connection:
        rows = connection.exec_driver_sql(_STORE_NEW, (source, entry_point, *columns)).all()
    return {row[1]: row[0] for row in rows}


def _decide(database: Database, new: OrderRevision, current: CurrentRevision | None) -> Stored:
    """Store a revision beside the current one. A duplicate needs no lock: it changes nothing."""
    comparison = compare(current, new.order.version, new.digest)
    if (
        current is not None
        and comparison is Comparison.DUPLICATE
        and version_to_keep(current.version, new.order.version) == current.version
    ):
        return Stored(comparison, str(current.event_id))
    with database.transaction() as connection:
        return store_beside(connection, new)
