"""Storing a plan: episodes and their history, alerts, a decision for every signal, and the deliveries they cause."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql import insert

from services.alerts.channel import Sending
from services.alerts.decide import Plan, bucket
from services.alerts.policy import EpisodeKey, Policy, Reason, Verdict, real_delay
from services.alerts.store.outbox import Notice, put_tasks, save_deliveries
from shared.tables.alert import policy_version

RECORD_CLOSED = (
    "INSERT INTO episode_event (episode_id, from_state, to_state, actor, at, reason)"
    " SELECT closed.id, (SELECT to_state FROM episode_event WHERE episode_id = closed.id ORDER BY id DESC LIMIT 1),"
    " 'closed', 'alerts', closed.closed_at, closed.close_reason FROM closed"
)
"""What follows `WITH closed AS (UPDATE episode ... RETURNING id, closed_at, close_reason)`."""

_RECORD = text(
    "INSERT INTO episode_event (episode_id, from_state, to_state, actor, actor_id, at, reason)"
    " SELECT moved.id, (SELECT to_state FROM episode_event WHERE episode_id = moved.id ORDER BY id DESC LIMIT 1),"
    " CAST(:state AS text), CAST(:actor AS text), CAST(:actor_id AS bigint), CAST(:at AS timestamptz),"
    " CAST(:reason AS text) FROM unnest(CAST(:ids AS bigint[])) AS moved (id)"
)


@dataclass(frozen=True, slots=True)
class Change:
    """What came of an episode, when, by whom and why. `actor_id`: the user who acted, where one is known."""

    state: str
    at: datetime
    actor: str = "alerts"
    actor_id: int | None = None
    reason: str | None = None


def record_change(connection: Connection, episode_ids: Sequence[int], change: Change) -> None:
    """Write down that these episodes came to a state."""
    if episode_ids:
        connection.execute(_RECORD, asdict(change) | {"ids": sorted(episode_ids)})


def of_alert(connection: Connection, alert_id: int) -> list[int]:
    """Return the episodes an alert is about: those of its message, else all that stand in it."""
    found = connection.execute(
        text(
            "SELECT episode_id FROM decision WHERE alert_id = :alert AND episode_id IS NOT NULL"
            " AND (rank IS NOT NULL OR NOT EXISTS ("
            "  SELECT FROM decision AS other WHERE other.alert_id = :alert AND other.rank IS NOT NULL))"
        ),
        {"alert": alert_id},
    )
    return sorted(set(found.scalars()))


def _given(types: Mapping[str, str]) -> str:
    """Return a table expression of the rows in `_arrays`; `types` names each column's type in PostgreSQL.

    A batch costs a handful of round trips, however many signals it has.
    """
    arrays = ", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in types.items())
    return f"unnest({arrays}) AS given ({', '.join(types)})"


def _arrays(types: Mapping[str, str], rows: Sequence[object]) -> dict[str, list[Any]]:
    """Return the parameters of `_given`: an attribute of every row as one array."""
    return {name: [getattr(row, name) for row in rows] for name in types}


def record(connection: Connection, plan: Plan, policy: Policy, sending: Sending, now: datetime) -> bool:
    """Store a plan, its deliveries and their tasks. Returns whether any is to be sent now."""
    connection.execute(
        insert(policy_version)
        .values(version=policy.version, rules=policy.as_json())
        .on_conflict_do_nothing(index_elements=["version"])
    )
    episodes = _save_episodes(connection, plan, now)
    saved = connection.execute(_SAVE_ALERTS, _arrays(_ALERT, plan.alerts)) if plan.alerts else ()
    alerts = {(row.occasion, row.recipient_id): row.id for row in saved}
    _save_decisions(connection, plan, episodes, alerts, policy)
    _close_earlier(connection, plan, episodes, alerts, now)
    notices = [
        Notice(
            alert_id=alerts[each.occasion, each.recipient_id],
            send_after=each.send_after,
            wait=real_delay(each.send_after, now, sending.clock_pace),
            lasts=(each.expires_at - now) / (sending.clock_pace or 1.0),
            cause=each.group_key if sending.group_interval and not each.is_selling else None,
        )
        for each in plan.alerts
        if each.notified_at is not None
    ]
    waits = save_deliveries(connection, notices, sending)
    put_tasks(connection, waits)
    return timedelta(0) in waits.values()


# Of a day: alerts nobody was notified of, all of whose questions these later alerts show as they stand now.
_CLOSE_EARLIER = text(
    "UPDATE alert SET state = 'done', closed_at = :now, close_reason = 'found anew on a later day'"
    " WHERE state = 'open' AND notified_at IS NULL AND order_id IS NULL AND id <> ALL(:alerts)"
    " AND id IN (SELECT alert_id FROM decision WHERE episode_id = ANY(:episodes))"
    " AND NOT EXISTS (SELECT FROM decision WHERE alert_id = alert.id AND episode_id <> ALL(:episodes))"
)


def _close_earlier(
    connection: Connection,
    plan: Plan,
    episodes: Mapping[EpisodeKey, int],
    alerts: Mapping[tuple[str, int], int],
    now: datetime,
) -> None:
    """Let each question stand once in the inbox: what is found again, another day, takes the place of what was."""
    shown = {
        episodes[each.candidate.key]
        for each in plan.decisions
        if each.verdict is not Verdict.SUPPRESSED and each.candidate.key in episodes
    }
    if shown:
        asked = {"episodes": sorted(shown), "alerts": sorted(alerts.values()), "now": now}
        connection.execute(_CLOSE_EARLIER, asked)


_EPISODE = {
    "id": "bigint",
    "customer_id": "bigint",
    "rep_id": "bigint",
    "kind": "text",
    "subject": "text",
    "number": "int",
    "product_id": "bigint",
    "opened_at": "timestamptz",
    "last_seen_at": "timestamptz",
    "quiet_after": "timestamptz",
    "holdout_bucket": "smallint",
    "is_holdout": "boolean",
    "value": "numeric",
    "notified_at": "timestamptz",
}

_UPDATE_EPISODES = text(
    f"WITH given AS (SELECT * FROM {_given(_EPISODE)}),"  # noqa: S608
    " held AS (SELECT id FROM episode WHERE id IN (SELECT id FROM given) ORDER BY id FOR NO KEY UPDATE)"
    " UPDATE episode SET last_seen_at = given.last_seen_at, quiet_after = given.quiet_after, value = given.value,"
    " notified_at = given.notified_at, is_holdout = given.is_holdout"
    " FROM held JOIN given USING (id) WHERE episode.id = held.id"
)

_CLOSE_EPISODES = text(
    "WITH closed AS (UPDATE episode SET closed_at = given.opened_at, close_reason = 'no new evidence'"  # noqa: S608
    f" FROM {_given(_EPISODE)} WHERE (episode.customer_id = given.customer_id OR episode.rep_id = given.rep_id)"
    " AND episode.kind = given.kind AND episode.subject = given.subject AND episode.closed_at IS NULL"
    f" RETURNING episode.id, episode.closed_at, episode.close_reason) {RECORD_CLOSED}"
)

_OPEN_EPISODES = text(
    "INSERT INTO episode (customer_id, rep_id, kind, subject, number, product_id, opened_at, last_seen_at,"  # noqa: S608
    " quiet_after, holdout_bucket, is_holdout, value, notified_at)"
    " SELECT customer_id, rep_id, kind, subject, number, product_id,"
    f" opened_at, last_seen_at, quiet_after, holdout_bucket, is_holdout, value, notified_at FROM {_given(_EPISODE)}"
    " RETURNING id, customer_id, rep_id, kind, subject"
)


def _save_episodes(connection: Connection, plan: Plan, now: datetime) -> dict[EpisodeKey, int]:
    """Store the episodes as they now stand; an old one without new evidence is closed first. Returns their ids."""
    episodes = plan.episodes
    known = {each.key: each.id for each in episodes if each.id is not None}
    old = [each for each in episodes if each.id is not None]
    new = [each for each in episodes if each.id is None]
    if old:
        connection.execute(_UPDATE_EPISODES, _arrays(_EPISODE, old))
    if new:
        connection.execute(_CLOSE_EPISODES, _arrays(_EPISODE, new))
        opened = connection.execute(_OPEN_EPISODES, _arrays(_EPISODE, new))
        ids = {(row.customer_id, row.rep_id, row.kind, row.subject): row.id for row in opened}
        record_change(connection, list(ids.values()), Change("open", now))
        known |= ids
    notified = {known[each.candidate.key] for each in plan.decisions if each.is_notified}
    record_change(connection, sorted(notified), Change("notified", now))
    return known


_ALERT = {
    "occasion": "text",
    "recipient_id": "bigint",
    "customer_id": "bigint",
    "about_rep_id": "bigint",
    "order_id": "bigint",
    "is_default_owner": "boolean",
    "business_day": "date",
    "verdict": "text",
    "reason": "text",
    "notified_at": "timestamptz",
    "severity": "text",
    "is_selling": "boolean",
    "value": "numeric",
    "as_of": "timestamptz",
    "group_key": "text",
}

_OPENS = "alert.state = 'withdrawn' OR excluded.notified_at IS NOT NULL"
"""One that comes back, or that its recipient is notified of anew."""

# One that an amendment withdrew comes back.
_SAVE_ALERTS = text(
    f"INSERT INTO alert ({', '.join(_ALERT)}) SELECT {', '.join(_ALERT)} FROM {_given(_ALERT)}"  # noqa: S608
    " ON CONFLICT (occasion, recipient_id) DO UPDATE SET is_default_owner = excluded.is_default_owner,"
    " business_day = excluded.business_day, verdict = excluded.verdict, reason = excluded.reason,"
    " notified_at = excluded.notified_at, severity = excluded.severity, is_selling = excluded.is_selling,"
    " value = excluded.value,"
    f" as_of = excluded.as_of, group_key = excluded.group_key,"
    f" state = CASE WHEN {_OPENS} THEN 'open' ELSE alert.state END,"
    f" closed_at = CASE WHEN {_OPENS} THEN NULL ELSE alert.closed_at END,"
    f" close_reason = CASE WHEN {_OPENS} THEN NULL ELSE alert.close_reason END"
    " RETURNING id, occasion, recipient_id"
)


@dataclass(frozen=True, slots=True)
class _DecisionRow:
    signal_id: int
    episode_id: int | None
    alert_id: int | None
    rank: int | None
    verdict: str
    reason: str
    inhibited_by: str | None
    holdout_bucket: int | None


_DECISION = {
    "signal_id": "bigint",
    "episode_id": "bigint",
    "alert_id": "bigint",
    "rank": "smallint",
    "verdict": "text",
    "reason": "text",
    "inhibited_by": "text",
    "holdout_bucket": "smallint",
}

_SAVE_DECISIONS = text(
    f"INSERT INTO decision ({', '.join(_DECISION)}, policy_version)"  # noqa: S608
    f" SELECT {', '.join(_DECISION)}, :policy FROM {_given(_DECISION)}"
)


def _save_decisions(
    connection: Connection,
    plan: Plan,
    episodes: Mapping[EpisodeKey, int],
    alerts: Mapping[tuple[str, int], int],
    policy: Policy,
) -> None:
    """Store a decision for every signal: none is without a row that says why."""
    rows = [
        _DecisionRow(
            signal_id=each.candidate.signal_id,
            episode_id=episodes.get(each.candidate.key),
            alert_id=None
            if each.verdict is Verdict.SUPPRESSED
            else alerts.get((each.candidate.occasion, each.candidate.recipient_id)),
            rank=each.rank,
            verdict=each.verdict.value,
            reason=each.reason.value,
            inhibited_by=each.inhibited_by,
            holdout_bucket=bucket(each.candidate),
        )
        for each in plan.decisions
    ]
    if rows:
        connection.execute(_SAVE_DECISIONS, _arrays(_DECISION, rows) | {"policy": policy.version})
    # What an amendment found belongs to the alert its recipient was notified of.
    if amended := [each.candidate.signal_id for each in plan.decisions if each.reason is Reason.AMENDED]:
        connection.execute(
            text(
                "UPDATE decision SET alert_id = (SELECT max(alert.id) FROM alert JOIN signal USING (occasion)"
                " WHERE signal.id = decision.signal_id) WHERE signal_id = ANY(:signals)"
            ),
            {"signals": amended},
        )
