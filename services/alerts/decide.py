"""This file decides: every signal gets a verdict with its reason, and messages are drawn up within the limits."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal

from services.alerts.candidate import Candidate, Decision, Episode, EpisodeKey, History, Reason, Verdict
from services.alerts.episode import episode_of, may_speak
from services.alerts.limits import best_first, by_order, within_limits, worth
from services.alerts.policy import Policy


@dataclass(frozen=True, slots=True)
class AlertDraft:
    """What the rep sees about one order: a message to send, or one kept back with the reason of its best point."""

    order_id: int
    customer_id: int
    rep_id: int
    is_default_owner: bool
    business_day: date
    verdict: Verdict
    reason: Reason
    is_urgent: bool
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
    passed = [each for each in judged if each.verdict is Verdict.SEND]
    decisions = {each.candidate.signal_id: each for each in judged}
    for ruling in within_limits(_once_per_episode(passed, decisions), policy, history):
        decisions[ruling.candidate.signal_id] = ruling
    final = tuple(_in_shadow(each) if policy.is_shadow else each for each in decisions.values())
    return Plan(final, tuple(_alerts(final)), tuple(_after_saying(episodes, final, now)))


def was_said(decision: Decision) -> bool:
    """Whether the rep is told: by a message, or in shadow mode by the inbox in its place."""
    return decision.verdict is Verdict.SEND or decision.reason is Reason.SHADOW_MODE


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
        return Decision(candidate, Verdict.DROP, gone or Reason.EXPIRED)
    is_news = candidate.is_urgent and episode.sent_at is None
    if candidate.order_id in history.orders_said and not is_news:
        return Decision(candidate, Verdict.KEEP, Reason.AMENDED)
    if silenced := _silenced_by_rep(episode, now):
        return Decision(candidate, Verdict.DROP, silenced)
    why = may_speak(episode, candidate.value, policy.resend_growth)
    if why is None:
        return Decision(candidate, Verdict.DROP, Reason.STILL_QUIET)
    if not candidate.is_proven:
        return Decision(candidate, Verdict.KEEP, Reason.UNPROVEN_MODEL)
    if episode.is_holdout:
        return Decision(candidate, Verdict.DROP, Reason.HELD_OUT)
    return Decision(candidate, Verdict.SEND, why)


def _silenced_by_rep(episode: Episode, now: datetime) -> Reason | None:
    if episode.is_dismissed:
        return Reason.DISMISSED_BY_REP
    if episode.snoozed_until is not None and now < episode.snoozed_until:
        return Reason.SNOOZED_BY_REP
    return None


def _once_per_episode(passed: Iterable[Decision], decisions: dict[int, Decision]) -> list[Decision]:
    """Let the best signal of each episode speak; note the others as said by it."""
    spoken: set[EpisodeKey] = set()
    speaking: list[Decision] = []
    for each in sorted(passed, key=best_first):
        if each.candidate.key in spoken:
            decisions[each.candidate.signal_id] = replace(
                each, verdict=Verdict.DROP, reason=Reason.SAID_BY_BETTER
            )
        else:
            spoken.add(each.candidate.key)
            speaking.append(each)
    return speaking


def _in_shadow(decision: Decision) -> Decision:
    """Show in the inbox what would have been sent."""
    if decision.verdict is not Verdict.SEND:
        return decision
    return replace(decision, verdict=Verdict.KEEP, reason=Reason.SHADOW_MODE)


def _alerts(decisions: Iterable[Decision]) -> Iterator[AlertDraft]:
    """One alert per order that has anything to show. What is said sets its worth, else what is kept back."""
    shown = [
        each for each in decisions if each.verdict is not Verdict.DROP and each.reason is not Reason.AMENDED
    ]
    for points in by_order(shown):
        said = [each for each in points if was_said(each)]
        counted = sorted(said, key=lambda each: each.rank or 0) or points
        best = counted[0]
        yield AlertDraft(
            order_id=best.candidate.order_id,
            customer_id=best.candidate.customer_id,
            rep_id=best.candidate.rep_id,
            is_default_owner=best.candidate.is_default_owner,
            business_day=best.candidate.business_day,
            verdict=best.verdict,
            reason=best.reason,
            is_urgent=any(each.candidate.is_urgent for each in counted),
            is_selling=any(each.candidate.is_selling for each in counted),
            value=worth(counted),
            as_of=best.candidate.as_of,
        )


def _after_saying(
    episodes: Mapping[EpisodeKey, Episode], decisions: Iterable[Decision], now: datetime
) -> Iterator[Episode]:
    """The episodes as they stand once these decisions are carried out."""
    said = {each.candidate.key: each.candidate.value for each in decisions if was_said(each)}
    for key, episode in episodes.items():
        yield replace(episode, sent_at=now, value=said[key]) if key in said else episode
