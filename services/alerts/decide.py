"""Deciding: every signal gets a verdict with its reason, and messages are drawn up within the limits."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal

from services.alerts.candidate import Candidate, Decision, Episode, EpisodeKey, History, Reason, Verdict
from services.alerts.episode import episode_of, may_notify
from services.alerts.limits import best_first, by_occasion, within_limits, worth
from services.alerts.policy import Policy
from shared.domain.signal import Severity


@dataclass(frozen=True, slots=True)
class AlertDraft:
    """What one recipient sees of one occasion: a message, or an inbox entry, with the reason of its lead point."""

    occasion: str
    recipient_id: int
    customer_id: int | None
    about_rep_id: int | None
    order_id: int | None
    is_default_owner: bool
    business_day: date
    verdict: Verdict
    reason: Reason
    notified_at: datetime | None
    send_after: datetime | None
    severity: Severity
    is_selling: bool
    value: Decimal
    as_of: datetime


@dataclass(frozen=True, slots=True)
class Plan:
    """The outcome of a batch: a decision for every signal, the alerts, and the episodes as they now stand."""

    decisions: tuple[Decision, ...]
    alerts: tuple[AlertDraft, ...]
    episodes: tuple[Episode, ...]


def decide(candidates: Sequence[Candidate], policy: Policy, history: History, now: datetime) -> Plan:
    """Judge each signal on its own merits, then the messages they make, the most valuable first."""
    episodes = _episodes(candidates, policy, history, now)
    judged = [_on_its_own(each, policy, history, episodes.get(each.key), now) for each in candidates]
    passed = [each for each in judged if each.verdict is Verdict.NOTIFY]
    decisions = {each.candidate.signal_id: each for each in judged}
    for ruling in within_limits(_once_per_episode(passed, decisions), policy, history):
        decisions[ruling.candidate.signal_id] = ruling
    final = tuple(_in_shadow(each) if policy.is_shadow else each for each in decisions.values())
    return Plan(final, tuple(_alerts(final, now)), tuple(_after_notifying(episodes, final, now)))


def _episodes(
    candidates: Iterable[Candidate], policy: Policy, history: History, now: datetime
) -> dict[EpisodeKey, Episode]:
    """The episode of each signal that stands; those withdrawn or overtaken open none."""
    episodes: dict[EpisodeKey, Episode] = {}
    for each in candidates:
        if _falls_away(each, now) is None:
            past = episodes.get(each.key) or history.episodes.get(each.key)
            episodes[each.key] = episode_of(each, past, policy.rule_for(each).holdout_percent, now)
    return episodes


def _falls_away(candidate: Candidate, now: datetime) -> Reason | None:
    """Why nothing more need be asked about a signal, if so."""
    if candidate.is_withdrawn:
        return Reason.WITHDRAWN
    if candidate.is_superseded:
        return Reason.SUPERSEDED
    if not candidate.is_contactable:
        return Reason.CUSTOMER_NOT_CONTACTABLE
    if now >= candidate.expires_at:
        return Reason.EXPIRED
    return None


def _on_its_own(
    candidate: Candidate, policy: Policy, history: History, episode: Episode | None, now: datetime
) -> Decision:
    """Judge one signal as if it were alone."""
    gone = _falls_away(candidate, now)
    if gone or episode is None:
        return Decision(candidate, Verdict.SUPPRESSED, gone or Reason.EXPIRED)
    is_news = candidate.is_urgent and episode.notified_at is None
    if candidate.occasion in history.occasions_notified and not is_news:
        return Decision(candidate, Verdict.INBOX_ONLY, Reason.AMENDED)
    if muted := _muted_by_rep(episode, now):
        return Decision(candidate, Verdict.SUPPRESSED, muted)
    why = may_notify(episode, candidate.value, policy.resend_growth)
    if why is None:
        return Decision(candidate, Verdict.SUPPRESSED, Reason.WITHIN_REPEAT_INTERVAL)
    if not candidate.is_proven:
        return Decision(candidate, Verdict.INBOX_ONLY, Reason.UNPROVEN_MODEL)
    if episode.is_holdout:
        return Decision(candidate, Verdict.SUPPRESSED, Reason.HELD_OUT)
    return Decision(candidate, Verdict.NOTIFY, why)


def _muted_by_rep(episode: Episode, now: datetime) -> Reason | None:
    if episode.is_dismissed:
        return Reason.DISMISSED_BY_REP
    if episode.snoozed_until is not None and now < episode.snoozed_until:
        return Reason.SNOOZED_BY_REP
    return None


def _once_per_episode(passed: Iterable[Decision], decisions: dict[int, Decision]) -> list[Decision]:
    """Pass on the strongest signal of each episode; the others are notified by it."""
    taken: set[EpisodeKey] = set()
    strongest: list[Decision] = []
    for each in sorted(passed, key=best_first):
        if each.candidate.key in taken:
            decisions[each.candidate.signal_id] = replace(
                each, verdict=Verdict.SUPPRESSED, reason=Reason.NOTIFIED_BY_STRONGER_SIGNAL
            )
        else:
            taken.add(each.candidate.key)
            strongest.append(each)
    return strongest


def _in_shadow(decision: Decision) -> Decision:
    """Show in the inbox what would have been sent."""
    if decision.verdict is not Verdict.NOTIFY:
        return decision
    return replace(decision, verdict=Verdict.INBOX_ONLY, reason=Reason.SHADOW_MODE)


def _alerts(decisions: Iterable[Decision], now: datetime) -> Iterator[AlertDraft]:
    """One alert per occasion that has anything to show, valued by the points of its message, else by all of them."""
    shown = [
        each
        for each in decisions
        if each.verdict is not Verdict.SUPPRESSED and each.reason is not Reason.AMENDED
    ]
    for points in by_occasion(shown):
        notified = [each for each in points if each.is_notified]
        counted = sorted(notified, key=lambda each: each.rank or 0) or points
        lead = counted[0]
        yield AlertDraft(
            occasion=lead.candidate.occasion,
            recipient_id=lead.candidate.recipient_id,
            customer_id=lead.candidate.customer_id,
            about_rep_id=lead.candidate.rep_id,
            order_id=lead.candidate.order_id,
            is_default_owner=lead.candidate.is_default_owner,
            business_day=lead.candidate.business_day,
            verdict=lead.verdict,
            reason=lead.reason,
            notified_at=now if notified else None,
            send_after=lead.candidate.send_after,
            severity=Severity.URGENT
            if any(each.candidate.is_urgent for each in counted)
            else Severity.NORMAL,
            is_selling=any(each.candidate.is_selling for each in counted),
            value=worth(counted),
            as_of=lead.candidate.as_of,
        )


def _after_notifying(
    episodes: Mapping[EpisodeKey, Episode], decisions: Iterable[Decision], now: datetime
) -> Iterator[Episode]:
    """The episodes as they stand once these decisions are carried out."""
    notified = {each.candidate.key: each.candidate.value for each in decisions if each.is_notified}
    for key, episode in episodes.items():
        yield replace(episode, notified_at=now, value=notified[key]) if key in notified else episode
