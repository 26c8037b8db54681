"""Store signals once, withdraw those of older revisions, and touch or close the episodes they belong to."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, text

from services.scoring.store.rows import as_json
from shared import tasks
from shared.domain.signal import Episode

Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class OpenEpisode:
    """An episode that new facts may end, with its row's id."""

    id: int
    episode: Episode


COLUMNS = (
    "kind, customer_id, rep_id, subject, cause, occasion, order_id, order_version, product_id, as_of, expires_at,"
    " probability, basis, stake, value, low, high, revenue, horizon_days, headline, question, evidence, detail, facts,"
    " severity, is_selling, is_proven, unproven_reason, assumed_margin, quiet_days, detector_version, model_run_id"
)

_SAVE = text(
    f"INSERT INTO signal ({COLUMNS})"  # noqa: S608 (our own words)
    f" SELECT {COLUMNS} FROM json_populate_recordset(CAST(NULL AS signal), CAST(:rows AS json))"
    " ON CONFLICT (occasion, order_version, kind, subject, cause) DO NOTHING"
)

_WITHDRAW = text(
    "UPDATE signal SET withdrawn_at = now(), withdrawn_reason = newer.reason"
    " FROM json_to_recordset(CAST(:rows AS json)) AS newer (order_id bigint, version bigint, reason text)"
    " WHERE signal.occasion = 'order:' || newer.order_id AND signal.order_version < newer.version"
    " AND withdrawn_at IS NULL"
    " RETURNING signal.order_id"
)

_EPISODES = text(
    "SELECT id, kind, customer_id, subject, opened_at, product_id FROM episode"
    " WHERE customer_id = ANY(:customers) AND closed_at IS NULL"
)

_CLOSE = text(
    "WITH held AS (SELECT id FROM episode WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE)"
    ", closed AS (UPDATE episode SET closed_at = :now, close_reason = ended.reason"
    " FROM held JOIN unnest(CAST(:ids AS bigint[]), CAST(:reasons AS text[])) AS ended (id, reason) USING (id)"
    " WHERE episode.id = held.id AND closed_at IS NULL RETURNING episode.id, close_reason)"
    " INSERT INTO episode_event (episode_id, from_state, to_state, actor, at, reason) SELECT id, ("
    "  SELECT to_state FROM episode_event WHERE episode_id = closed.id ORDER BY episode_event.id DESC LIMIT 1),"
    " 'closed', 'scoring', :now, close_reason FROM closed"
)


def save(connection: Connection, rows: Sequence[Row]) -> None:
    """Store signals; those stored already are left as they are."""
    if rows:
        connection.execute(_SAVE, {"rows": as_json(rows)})


def withdraw_older(connection: Connection, newer: Sequence[Row]) -> set[int]:
    """Withdraw what older readings of these orders said; return the orders that had said something."""
    if not newer:
        return set()
    return {row.order_id for row in connection.execute(_WITHDRAW, {"rows": as_json(newer)})}


def note_silence(connection: Connection, rows: Sequence[Row]) -> None:
    """Record why these order versions were not judged."""
    if rows:
        connection.execute(
            text(
                "INSERT INTO silence_note (order_id, order_version, reason) SELECT order_id, order_version, reason"
                " FROM json_to_recordset(CAST(:rows AS json))"
                " AS new (order_id bigint, order_version bigint, reason text) ON CONFLICT DO NOTHING"
            ),
            {"rows": as_json(rows)},
        )


def open_episodes(connection: Connection, customers: Collection[int]) -> dict[int, list[OpenEpisode]]:
    """Return the open questions about these customers."""
    found: dict[int, list[OpenEpisode]] = {}
    for row in connection.execute(_EPISODES, {"customers": list(customers)}):
        episode = Episode(row.kind, row.customer_id, row.subject, row.opened_at, row.product_id)
        found.setdefault(row.customer_id, []).append(OpenEpisode(row.id, episode))
    return found


def close(connection: Connection, ended: Mapping[int, str], now: datetime) -> None:
    """Close episodes, each with the reason it ended."""
    if ended:
        connection.execute(_CLOSE, {"ids": list(ended), "reasons": list(ended.values()), "now": now})


Key = tuple[str, int | None, int | None, str]
"""(kind, customer, rep, subject): what an episode is about, a customer or a rep."""


@dataclass(frozen=True, slots=True)
class Standing:
    """An open episode of a day kind, and the value it was last stored with."""

    id: int
    value: Decimal


_STANDING = text(
    "SELECT DISTINCT ON (episode.id) episode.id, kind, episode.customer_id, episode.rep_id, subject, signal.value"
    " FROM episode JOIN signal USING (kind, subject)"
    " WHERE episode.closed_at IS NULL AND kind = ANY(:kinds) AND (episode.customer_id = signal.customer_id"
    " OR signal.customer_id IS NULL AND episode.rep_id = signal.rep_id) ORDER BY episode.id, signal.id DESC"
)

_TOUCH = text(
    "WITH held AS (SELECT id FROM episode WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE)"
    " UPDATE episode SET last_seen_at = :now, quiet_after = quiet_after + (:now - last_seen_at) FROM held"
    " WHERE episode.id = held.id AND last_seen_at < :now"
)


def standing(connection: Connection, kinds: Collection[str]) -> dict[Key, Standing]:
    """Return the open episodes of these kinds."""
    rows = connection.execute(_STANDING, {"kinds": list(kinds)})
    return {(row.kind, row.customer_id, row.rep_id, row.subject): Standing(row.id, row.value) for row in rows}


def touch(connection: Connection, episodes: Sequence[int], now: datetime) -> None:
    """Move the end of these episodes along: they were seen again."""
    if episodes:
        connection.execute(_TOUCH, {"ids": list(episodes), "now": now})


def put_day_decisions(connection: Connection, occasions: Collection[str], judgement: int) -> None:
    """Have alerts decide about these days, at once.

    The task of an occasion is named by it. One that exists may be decided already: what a later judgement of the
    same day finds gets a task `<occasion>@<judgement>`.
    """
    rows = connection.scalars(
        text("SELECT key FROM task WHERE kind = 'decide' AND key = ANY(:keys)"), {"keys": list(occasions)}
    )
    taken = set(rows)
    keys = [f"{each}@{judgement}" if each in taken else each for each in occasions]
    if keys:
        tasks.put(connection, "alerts", "decide", keys)
