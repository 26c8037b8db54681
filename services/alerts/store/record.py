"""This file stores what was decided: episodes, alerts, a decision for every signal, and the deliveries they cause."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql import insert

from services.alerts.candidate import Episode, EpisodeKey, Reason, Verdict
from services.alerts.decide import AlertDraft, Decision, Plan
from services.alerts.policy import Policy
from shared import tasks
from shared.tables.alert import decision, episode, policy_version

EXPIRES_AFTER = "24 hours"


@dataclass(frozen=True, slots=True)
class Sending:
    """How this installation sends: to nobody yet (shadow), or to those on the list of recipients."""

    is_shadow: bool
    recipients: tuple[str, ...]
    mails: bool

    def allows(self, address: str) -> bool:
        """Whether an address is on the list: itself, its @domain, or * for everyone."""
        own = address.casefold()
        domain = "@" + own.rpartition("@")[2]
        return any(each == "*" or each.casefold() in (own, domain) for each in self.recipients)


def record(connection: Connection, plan: Plan, policy: Policy, sending: Sending) -> list[UUID]:
    """Store a plan, its deliveries and their tasks. Returns the deliveries that are to be sent."""
    connection.execute(
        insert(policy_version)
        .values(version=policy.version, rules=policy.as_json())
        .on_conflict_do_nothing(index_elements=["version"])
    )
    episodes = {each.key: _save_episode(connection, each) for each in plan.episodes}
    alerts = {each.order_id: _save_alert(connection, each) for each in plan.alerts}
    _save_decisions(connection, plan.decisions, episodes, alerts, policy)
    said = [alerts[each.order_id] for each in plan.alerts if _is_said(each)]
    ready = _save_deliveries(connection, said, sending)
    if ready:
        tasks.put(connection, "alerts", "deliver", [str(each) for each in ready])
    return ready


def _is_said(draft: AlertDraft) -> bool:
    return draft.verdict is Verdict.SEND or draft.reason is Reason.SHADOW_MODE


def _save_episode(connection: Connection, one: Episode) -> int:
    """Update the episode, or close what fell quiet before it and open it."""
    values = {
        "last_seen_at": one.last_seen_at,
        "quiet_after": one.quiet_after,
        "value": one.value,
        "sent_at": one.sent_at,
    }
    if one.id is not None:
        connection.execute(episode.update().where(episode.c.id == one.id).values(**values))
        return one.id
    connection.execute(
        episode.update()
        .where(
            episode.c.customer_id == one.customer_id,
            episode.c.kind == one.kind,
            episode.c.subject == one.subject,
            episode.c.state == "open",
        )
        .values(state="closed", closed_at=one.opened_at, close_reason="fell quiet")
    )
    opened = connection.execute(
        episode.insert()
        .values(
            customer_id=one.customer_id,
            kind=one.kind,
            subject=one.subject,
            number=one.number,
            product_id=one.product_id,
            opened_at=one.opened_at,
            holdout_bucket=one.holdout_bucket,
            is_holdout=one.is_holdout,
            **values,
        )
        .returning(episode.c.id)
    )
    return int(opened.scalar_one())


_SAVE_ALERT = text(
    "INSERT INTO alert (customer_id, rep_id, is_default_owner, order_id, business_day, verdict, reason, is_urgent,"
    " is_selling, value, as_of) VALUES (:customer_id, :rep_id, :is_default_owner, :order_id, :business_day, :verdict,"
    " :reason, :is_urgent, :is_selling, :value, :as_of)"
    " ON CONFLICT (order_id, rep_id) DO UPDATE SET is_default_owner = excluded.is_default_owner,"
    " business_day = excluded.business_day, verdict = excluded.verdict, reason = excluded.reason,"
    " is_urgent = excluded.is_urgent, is_selling = excluded.is_selling, value = excluded.value,"
    " as_of = excluded.as_of, state = CASE WHEN alert.state = 'withdrawn' THEN 'open' ELSE alert.state END,"
    " closed_at = CASE WHEN alert.state = 'withdrawn' THEN NULL ELSE alert.closed_at END,"
    " close_reason = CASE WHEN alert.state = 'withdrawn' THEN NULL ELSE alert.close_reason END"
    " RETURNING id"
)


def _save_alert(connection: Connection, draft: AlertDraft) -> int:
    values = {name: getattr(draft, name) for name in AlertDraft.__slots__}
    values |= {"verdict": draft.verdict.value, "reason": draft.reason.value}
    return int(connection.execute(_SAVE_ALERT, values).scalar_one())


def _save_decisions(
    connection: Connection,
    decisions: Sequence[Decision],
    episodes: Mapping[EpisodeKey, int],
    alerts: Mapping[int, int],
    policy: Policy,
) -> None:
    rows = [
        {
            "signal_id": each.candidate.signal_id,
            "episode_id": episodes.get(each.candidate.key),
            "alert_id": alerts.get(each.candidate.order_id) if each.verdict is not Verdict.DROP else None,
            "rank": each.rank,
            "verdict": each.verdict.value,
            "reason": each.reason.value,
            "policy_version": policy.version,
        }
        for each in decisions
    ]
    if not rows:
        return
    connection.execute(decision.insert(), rows)
    connection.execute(
        text(
            "UPDATE decision SET holdout_bucket = episode.holdout_bucket FROM episode"
            " WHERE episode.id = decision.episode_id AND decision.signal_id = ANY(:signals)"
        ),
        {"signals": [row["signal_id"] for row in rows]},
    )
    _attach_amended(connection, [each for each in decisions if each.reason is Reason.AMENDED])


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


_SAVE_DELIVERIES = text(
    "WITH said AS (SELECT alert.id AS alert_id, alert.rep_id, 1 + coalesce((SELECT max(notice) FROM delivery"
    "   WHERE alert_id = alert.id), 0) AS notice FROM alert WHERE alert.id = ANY(:alerts)),"
    " wanted AS ("
    "  SELECT alert_id, notice, 'email' AS channel, rep.email AS recipient, CAST(NULL AS uuid) AS endpoint_id"
    "   FROM said JOIN rep ON rep.id = said.rep_id WHERE rep.email IS NOT NULL"
    "  UNION ALL SELECT alert_id, notice, endpoint.channel, endpoint.address, endpoint.id"
    "   FROM said JOIN endpoint ON endpoint.state = 'on' AND coalesce(endpoint.rep_id, said.rep_id) = said.rep_id)"
    " INSERT INTO delivery (alert_id, notice, channel, recipient, endpoint_id, state, expires_at)"
    " SELECT alert_id, notice, channel, recipient, endpoint_id, 'new', now() + CAST(:expires_after AS interval)"
    " FROM wanted ON CONFLICT DO NOTHING RETURNING id, channel, recipient"
)


def _save_deliveries(connection: Connection, alert_ids: Sequence[int], sending: Sending) -> list[UUID]:
    """One row per alert and recipient, with the id it keeps for ever; those not to be sent say why."""
    if not alert_ids:
        return []
    rows = connection.execute(
        _SAVE_DELIVERIES, {"alerts": list(alert_ids), "expires_after": EXPIRES_AFTER}
    ).all()
    ready = []
    for row in rows:
        state, reason = _first_state(row.channel, row.recipient, sending)
        connection.execute(
            text("UPDATE delivery SET state = :state, reason = :reason WHERE id = :id"),
            {"id": row.id, "state": state, "reason": reason},
        )
        if state == "ready":
            ready.append(row.id)
    return ready


def _first_state(channel: str, recipient: str, sending: Sending) -> tuple[str, str | None]:
    if sending.is_shadow:
        return "shadow", "shadow mode: nothing is sent"
    if channel == "email" and not sending.mails:
        return "not_allowed", "no mail server is set"
    if channel == "email" and not sending.allows(recipient):
        return "not_allowed", "the address is not on the list of recipients"
    return "ready", None
