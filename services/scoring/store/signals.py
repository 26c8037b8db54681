"""Signals: store each once, withdraw those of older revisions, touch or close their episodes, have alerts decide."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from sqlalchemy import Connection, text

from services.scoring.store import as_array, as_json
from shared import tasks
from shared.domain.signal import Episode

Row = dict[str, object]


COLUMNS = (
    "kind, customer_id, rep_id, subject, cause, occasion, order_id, order_version, product_id, as_of, expires_at,"
    " probability, basis, stake, value, low, high, revenue, horizon_days, headline, question, evidence, detail, facts,"
    " severity, action, is_selling, is_inbox_only, is_proven, unproven_reason, assumed_margin, quiet_days,"
    " detector_version, model_run_id"
)

_SAVE = text(
    f"INSERT INTO signal ({COLUMNS})"  # noqa: S608 (our own words)
    f" SELECT {COLUMNS} FROM jsonb_populate_recordset(CAST(NULL AS signal), CAST(:rows AS jsonb))"
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
    " WHERE customer_id = ANY(CAST(:customers AS bigint[])) AND closed_at IS NULL"
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
    """Withdraw the signals of older revisions of these orders; return the orders that had any."""
    if not newer:
        return set()
    return {row.order_id for row in connection.execute(_WITHDRAW, {"rows": as_json(newer)})}


def save_skip_reasons(connection: Connection, rows: Sequence[Row]) -> None:
    """Store why these order versions were skipped."""
    if rows:
        connection.execute(
            text(
                "INSERT INTO skip_reason (order_id, order_version, reason) SELECT order_id, order_version, reason"
                " FROM json_to_recordset(CAST(:rows AS json))"
                " AS new (order_id bigint, order_version bigint, reason text) ON CONFLICT DO NOTHING"
            ),
            {"rows": as_json(rows)},
        )


def open_episodes(connection: Connection, customers: Collection[int]) -> dict[int, list[tuple[int, Episode]]]:
    """Return the open episodes of these customers, each with its id."""
    found: dict[int, list[tuple[int, Episode]]] = {}
    for row in connection.execute(_EPISODES, {"customers": as_array(customers)}):
        episode = Episode(row.kind, row.customer_id, row.subject, row.opened_at, row.product_id)
        found.setdefault(row.customer_id, []).append((row.id, episode))
    return found


def close(connection: Connection, ended: Mapping[int, str], now: datetime) -> None:
    """Close episodes, each with the reason it ended."""
    if ended:
        connection.execute(_CLOSE, {"ids": list(ended), "reasons": list(ended.values()), "now": now})


def put_order_decisions(
    connection: Connection, at_once: Sequence[str], later: Sequence[str], group_wait: timedelta
) -> None:
    """Have alerts decide about orders: some at once, the others together at the end of the current group wait."""
    if at_once:
        tasks.put(connection, "alerts", "decide", at_once)
    if later:
        tasks.put(connection, "alerts", "decide", later, run_at=end_of_window(connection, group_wait))


def end_of_window(connection: Connection, length: timedelta) -> datetime | None:
    """Return when the current window of that length ends, by the database's clock; None when it has no length."""
    if not length:
        return None
    end: datetime | None = connection.scalar(
        text("SELECT to_timestamp(ceil(extract(epoch FROM now()) / :seconds) * :seconds)"),
        {"seconds": length.total_seconds()},
    )
    return end


EpisodeKey = tuple[str, int | None, int | None, str]
"""(kind, customer, rep, subject): what an episode is about, a customer or a rep."""


@dataclass(frozen=True, slots=True)
class DayEpisode:
    """An open episode of a day kind, and the value of the last signal stored for it.

    `is_waiting`: there was no room for it in the messages of its day.
    """

    id: int
    value: Decimal
    is_waiting: bool


_DAY_EPISODES = text(
    "SELECT DISTINCT ON (episode.id) episode.id, kind, episode.customer_id, episode.rep_id, subject, signal.value,"
    " EXISTS (SELECT FROM decision WHERE signal_id = signal.id"
    "  AND reason IN ('over_budget', 'over_customer_limit', 'over_kind_limit')) AS is_waiting"
    " FROM episode JOIN signal USING (kind, subject)"
    " WHERE episode.closed_at IS NULL AND kind = ANY(:kinds) AND (episode.customer_id = signal.customer_id"
    " OR signal.customer_id IS NULL AND episode.rep_id = signal.rep_id) ORDER BY episode.id, signal.id DESC"
)

_TOUCH = text(
    "WITH held AS (SELECT id FROM episode WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE)"
    " UPDATE episode SET last_seen_at = :now, quiet_after = quiet_after + (:now - last_seen_at) FROM held"
    " WHERE episode.id = held.id AND last_seen_at < :now"
)


def day_episodes(connection: Connection, kinds: Collection[str]) -> dict[EpisodeKey, DayEpisode]:
    """Return the open episodes of these kinds."""
    rows = connection.execute(_DAY_EPISODES, {"kinds": list(kinds)})
    return {
        (row.kind, row.customer_id, row.rep_id, row.subject): DayEpisode(row.id, row.value, row.is_waiting)
        for row in rows
    }


def touch(connection: Connection, episodes: Sequence[int], now: datetime) -> None:
    """Note that these episodes were seen again: they end later by as much."""
    if episodes:
        connection.execute(_TOUCH, {"ids": list(episodes), "now": now})


def put_day_decisions(connection: Connection, occasions: Collection[str], task_id: int) -> None:
    """Have alerts decide about these days, at once.

    The task of an occasion is named by it. One that exists may be done already: what a later task of the same day
    finds is decided by a task `<occasion>@<id of that later task>`.
    """
    rows = connection.scalars(
        text("SELECT key FROM task WHERE kind = 'decide' AND key = ANY(:keys)"), {"keys": list(occasions)}
    )
    taken = set(rows)
    keys = [f"{each}@{task_id}" if each in taken else each for each in occasions]
    if keys:
        tasks.put(connection, "alerts", "decide", keys)


_FIRST_DAYS = text(
    "SELECT asked.kind, asked.version || coalesce('/' || run.version, '') AS version, first.day"
    " FROM unnest(CAST(:kinds AS text[]), CAST(:versions AS text[]), CAST(:models AS text[]))"
    "  AS asked (kind, version, model)"
    " LEFT JOIN model_run AS run ON run.model = asked.model AND run.state = 'current'"
    " LEFT JOIN first_evaluation AS first ON first.kind = asked.kind"
    "  AND first.version = asked.version || coalesce('/' || run.version, '')"
)


@dataclass(frozen=True, slots=True)
class KindVersion:
    """A kind with the version of its detector, and the model it needs."""

    kind: str
    detector: str
    model: str | None


@dataclass(frozen=True, slots=True)
class FirstEvaluation:
    """The version of a kind and of its model, and the day it was first evaluated; None: it has not been."""

    version: str
    day: date | None


def first_evaluations(connection: Connection, kinds: Sequence[KindVersion]) -> dict[str, FirstEvaluation]:
    """Return by kind since when its detector and its model, of these versions, have looked."""
    asked = {
        "kinds": [each.kind for each in kinds],
        "versions": [each.detector for each in kinds],
        "models": [each.model for each in kinds],
    }
    rows = connection.execute(_FIRST_DAYS, asked)
    return {row.kind: FirstEvaluation(row.version, row.day) for row in rows}


def save_first_evaluations(connection: Connection, rows: Sequence[Row]) -> None:
    """Store the first evaluation of versions of kinds."""
    if rows:
        connection.execute(
            text(
                "INSERT INTO first_evaluation (kind, version, day, old) VALUES (:kind, :version, :day, :old)"
                " ON CONFLICT DO NOTHING"
            ),
            list(rows),
        )
