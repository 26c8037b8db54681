"""This file stores what was decided: episodes, alerts, a decision for every signal, and the deliveries they cause."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql import insert

from services.alerts.candidate import Decision, Episode, EpisodeKey, Reason, Verdict
from services.alerts.decide import AlertDraft, Plan
from services.alerts.policy import Policy
from services.alerts.store.bulk import arrays_of, given
from services.alerts.store.outbox import Sending, save_deliveries
from shared import tasks
from shared.tables.alert import policy_version


def record(connection: Connection, plan: Plan, policy: Policy, sending: Sending) -> list[UUID]:
    """Store a plan, its deliveries and their tasks. Returns the deliveries that are to be sent."""
    connection.execute(
        insert(policy_version)
        .values(version=policy.version, rules=policy.as_json())
        .on_conflict_do_nothing(index_elements=["version"])
    )
    episodes = _save_episodes(connection, plan.episodes)
    alerts = _save_alerts(connection, plan.alerts)
    _save_decisions(connection, plan, episodes, alerts, policy)
    said = [alerts[each.order_id] for each in plan.alerts if _is_said(each)]
    ready = save_deliveries(connection, said, sending)
    if ready:
        tasks.put(connection, "alerts", "deliver", [str(each) for each in ready])
    return ready


def _is_said(draft: AlertDraft) -> bool:
    return draft.verdict is Verdict.SEND or draft.reason is Reason.SHADOW_MODE


_EPISODE = {
    "id": "bigint",
    "customer_id": "bigint",
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
    "sent_at": "timestamptz",
}

_UPDATE_EPISODES = text(
    f"WITH given AS (SELECT * FROM {given(_EPISODE)}),"  # noqa: S608
    " held AS (SELECT id FROM episode WHERE id IN (SELECT id FROM given) ORDER BY id FOR NO KEY UPDATE)"
    " UPDATE episode SET last_seen_at = given.last_seen_at, quiet_after = given.quiet_after, value = given.value,"
    " sent_at = given.sent_at FROM held JOIN given USING (id) WHERE episode.id = held.id"
)

_CLOSE_EPISODES = text(
    "UPDATE episode SET state = 'closed', closed_at = given.opened_at, close_reason = 'fell quiet'"  # noqa: S608
    f" FROM {given(_EPISODE)} WHERE episode.customer_id = given.customer_id AND episode.kind = given.kind"
    " AND episode.subject = given.subject AND episode.state = 'open'"
)

_OPEN_EPISODES = text(
    "INSERT INTO episode (customer_id, kind, subject, number, product_id, opened_at, last_seen_at, quiet_after,"  # noqa: S608
    " holdout_bucket, is_holdout, value, sent_at) SELECT customer_id, kind, subject, number, product_id, opened_at,"
    f" last_seen_at, quiet_after, holdout_bucket, is_holdout, value, sent_at FROM {given(_EPISODE)}"
    " RETURNING id, customer_id, kind, subject"
)


def _save_episodes(connection: Connection, episodes: Sequence[Episode]) -> dict[EpisodeKey, int]:
    """Store the episodes as they now stand; close what fell quiet before a new one opens. Returns their ids."""
    known = {each.key: each.id for each in episodes if each.id is not None}
    old = [each for each in episodes if each.id is not None]
    new = [each for each in episodes if each.id is None]
    if old:
        connection.execute(_UPDATE_EPISODES, arrays_of(_EPISODE, old))
    if new:
        connection.execute(_CLOSE_EPISODES, arrays_of(_EPISODE, new))
        opened = connection.execute(_OPEN_EPISODES, arrays_of(_EPISODE, new))
        known |= {(row.customer_id, row.kind, row.subject): row.id for row in opened}
    return known


_ALERT = {
    "customer_id": "bigint",
    "rep_id": "bigint",
    "is_default_owner": "boolean",
    "order_id": "bigint",
    "business_day": "date",
    "verdict": "text",
    "reason": "text",
    "is_urgent": "boolean",
    "is_selling": "boolean",
    "value": "numeric",
    "as_of": "timestamptz",
}

_OPENS = "alert.state = 'withdrawn' OR excluded.verdict = 'send' OR excluded.reason = 'shadow_mode'"
"""One that comes back, or has something new to say."""

_SAVE_ALERTS = text(
    f"INSERT INTO alert ({', '.join(_ALERT)}) SELECT {', '.join(_ALERT)} FROM {given(_ALERT)}"  # noqa: S608
    " ON CONFLICT (order_id, rep_id) DO UPDATE SET is_default_owner = excluded.is_default_owner,"
    " business_day = excluded.business_day, verdict = excluded.verdict, reason = excluded.reason,"
    " is_urgent = excluded.is_urgent, is_selling = excluded.is_selling, value = excluded.value,"
    f" as_of = excluded.as_of, state = CASE WHEN {_OPENS} THEN 'open' ELSE alert.state END,"
    f" closed_at = CASE WHEN {_OPENS} THEN NULL ELSE alert.closed_at END,"
    f" close_reason = CASE WHEN {_OPENS} THEN NULL ELSE alert.close_reason END"
    " RETURNING id, order_id"
)


def _save_alerts(connection: Connection, drafts: Sequence[AlertDraft]) -> dict[int, int]:
    """Store the alerts; one that an amendment withdrew comes back. Returns their ids by order."""
    if not drafts:
        return {}
    saved = connection.execute(_SAVE_ALERTS, arrays_of(_ALERT, drafts))
    return {row.order_id: row.id for row in saved}


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
    f" SELECT {', '.join(_DECISION)}, :policy FROM {given(_DECISION)}"
)


def _save_decisions(
    connection: Connection,
    plan: Plan,
    episodes: Mapping[EpisodeKey, int],
    alerts: Mapping[int, int],
    policy: Policy,
) -> None:
    """Store a decision for every signal: none is without a row that says why."""
    buckets = {each.key: each.holdout_bucket for each in plan.episodes}
    rows = [
        _DecisionRow(
            signal_id=each.candidate.signal_id,
            episode_id=episodes.get(each.candidate.key),
            alert_id=alerts.get(each.candidate.order_id) if each.verdict is not Verdict.DROP else None,
            rank=each.rank,
            verdict=each.verdict.value,
            reason=each.reason.value,
            holdout_bucket=buckets.get(each.candidate.key),
        )
        for each in plan.decisions
    ]
    if rows:
        connection.execute(_SAVE_DECISIONS, arrays_of(_DECISION, rows) | {"policy": policy.version})
    _attach_amended(connection, [each for each in plan.decisions if each.reason is Reason.AMENDED])


def _attach_amended(connection: Connection, amended: Iterable[Decision]) -> None:
    """What an amendment found belongs to the alert that was said of the order."""
    signals = [each.candidate.signal_id for each in amended]
    if signals:
        connection.execute(
            text(
                "UPDATE decision SET alert_id = (SELECT max(alert.id) FROM alert JOIN signal USING (order_id)"
                " WHERE signal.id = decision.signal_id) WHERE signal_id = ANY(:signals)"
            ),
            {"signals": signals},
        )
