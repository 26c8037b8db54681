"""Storing a plan: episodes, alerts, a decision for every signal, and the deliveries they cause."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql import insert

from services.alerts.candidate import Decision, EpisodeKey, Reason, Verdict
from services.alerts.decide import AlertDraft, Plan
from services.alerts.policy import Policy
from services.alerts.store.episodes import RECORD_CLOSED, Change, record_change
from services.alerts.store.outbox import Sending, save_deliveries
from shared import tasks
from shared.clock import real_now
from shared.tables.alert import policy_version


def _given(types: Mapping[str, str]) -> str:
    """Return a table expression of the rows in `_arrays`; `types` names each column's type in PostgreSQL.

    A batch costs a handful of round trips, however many signals it has.
    """
    arrays = ", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in types.items())
    return f"unnest({arrays}) AS given ({', '.join(types)})"


def _arrays(types: Mapping[str, str], rows: Sequence[object]) -> dict[str, list[Any]]:
    """Return the parameters of `_given`: an attribute of every row as one array."""
    return {name: [getattr(row, name) for row in rows] for name in types}


def record(connection: Connection, plan: Plan, policy: Policy, sending: Sending, now: datetime) -> list[UUID]:
    """Store a plan, its deliveries and their tasks. Returns the deliveries that are to be sent now."""
    connection.execute(
        insert(policy_version)
        .values(version=policy.version, rules=policy.as_json())
        .on_conflict_do_nothing(index_elements=["version"])
    )
    episodes = _save_episodes(connection, plan, now)
    alerts = _save_alerts(connection, plan.alerts)
    _save_decisions(connection, plan, episodes, alerts, policy)
    at_once: list[UUID] = []
    for send_after in {each.send_after for each in plan.alerts}:
        notified = [
            alerts[each.occasion, each.recipient_id]
            for each in plan.alerts
            if each.notified_at is not None and each.send_after == send_after
        ]
        wait = max(send_after - now, timedelta(0)) if send_after else timedelta(0)
        ready = save_deliveries(connection, notified, sending, send_after, wait)
        if ready:
            due = real_now() + wait if wait else None
            tasks.put(connection, "alerts", "deliver", [str(each) for each in ready], run_at=due)
        at_once += [] if wait else ready
    return at_once


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
    " notified_at = given.notified_at FROM held JOIN given USING (id) WHERE episode.id = held.id"
)

_CLOSE_EPISODES = text(
    "WITH closed AS (UPDATE episode SET closed_at = given.opened_at, close_reason = 'fell quiet'"  # noqa: S608
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
    """Store the episodes as they now stand; close what fell quiet before a new one opens. Returns their ids."""
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
}

_OPENS = "alert.state = 'withdrawn' OR excluded.notified_at IS NOT NULL"
"""One that comes back, or that its recipient is notified of anew."""

_SAVE_ALERTS = text(
    f"INSERT INTO alert ({', '.join(_ALERT)}) SELECT {', '.join(_ALERT)} FROM {_given(_ALERT)}"  # noqa: S608
    " ON CONFLICT (occasion, recipient_id) DO UPDATE SET is_default_owner = excluded.is_default_owner,"
    " business_day = excluded.business_day, verdict = excluded.verdict, reason = excluded.reason,"
    " notified_at = excluded.notified_at, severity = excluded.severity, is_selling = excluded.is_selling,"
    " value = excluded.value,"
    f" as_of = excluded.as_of, state = CASE WHEN {_OPENS} THEN 'open' ELSE alert.state END,"
    f" closed_at = CASE WHEN {_OPENS} THEN NULL ELSE alert.closed_at END,"
    f" close_reason = CASE WHEN {_OPENS} THEN NULL ELSE alert.close_reason END"
    " RETURNING id, occasion, recipient_id"
)


def _save_alerts(connection: Connection, drafts: Sequence[AlertDraft]) -> dict[tuple[str, int], int]:
    """Store the alerts; one that an amendment withdrew comes back. Returns their ids by occasion and recipient."""
    if not drafts:
        return {}
    saved = connection.execute(_SAVE_ALERTS, _arrays(_ALERT, drafts))
    return {(row.occasion, row.recipient_id): row.id for row in saved}


@dataclass(frozen=True, slots=True)
class _DecisionRow:
    signal_id: int
    episode_id: int | None
    alert_id: int | None
    rank: int | None
    verdict: str
    reason: str
    holdout_bucket: int | None


_DECISION = {
    "signal_id": "bigint",
    "episode_id": "bigint",
    "alert_id": "bigint",
    "rank": "smallint",
    "verdict": "text",
    "reason": "text",
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
    buckets = {each.key: each.holdout_bucket for each in plan.episodes}
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
            holdout_bucket=buckets.get(each.candidate.key),
        )
        for each in plan.decisions
    ]
    if rows:
        connection.execute(_SAVE_DECISIONS, _arrays(_DECISION, rows) | {"policy": policy.version})
    _attach_amended(connection, [each for each in plan.decisions if each.reason is Reason.AMENDED])


def _attach_amended(connection: Connection, amended: Iterable[Decision]) -> None:
    """What an amendment found belongs to the alert its recipient was notified of."""
    signals = [each.candidate.signal_id for each in amended]
    if signals:
        connection.execute(
            text(
                "UPDATE decision SET alert_id = (SELECT max(alert.id) FROM alert JOIN signal USING (occasion)"
                " WHERE signal.id = decision.signal_id) WHERE signal_id = ANY(:signals)"
            ),
            {"signals": signals},
        )
