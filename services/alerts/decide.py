"""This file decides: every signal gets a verdict with its reason, and messages are drawn up within the limits."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from itertools import groupby

from services.alerts.candidate import Candidate, Episode, EpisodeKey, History, Reason, Verdict
from services.alerts.episode import episode_of, may_speak
from services.alerts.policy import Policy


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of one signal. `rank` is its place among the points of its message, from 1."""

    candidate: Candidate
    verdict: Verdict
    reason: Reason
    rank: int | None = None


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
    for ruling in _within_limits(_once_per_episode(passed, decisions), policy, history):
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
    if candidate.order_id in history.orders_said:
        return Decision(candidate, Verdict.KEEP, Reason.AMENDED)
    if silenced := _silenced_by_rep(episode, now):
        return Decision(candidate, Verdict.DROP, silenced)
    why = may_speak(episode, candidate.value, policy.resend_growth)
    if why is None:
        return Decision(candidate, Verdict.DROP, Reason.STILL_QUIET)
    if not candidate.is_proven:
        return Decision(candidate, Verdict.KEEP, Reason.UNPROVEN_MODEL)
    if candidate.value < policy.rule_for(candidate).value_floor:
        return Decision(candidate, Verdict.KEEP, Reason.TOO_WEAK)
    if episode.is_holdout:
        return Decision(candidate, Verdict.DROP, Reason.HELD_OUT)
    return Decision(candidate, Verdict.SEND, why)


def _silenced_by_rep(episode: Episode, now: datetime) -> Reason | None:
    if episode.is_dismissed:
        return Reason.DISMISSED_BY_REP
    if episode.snoozed_until is not None and now < episode.snoozed_until:
        return Reason.SNOOZED_BY_REP
    return None


def _best_first(decision: Decision) -> tuple[bool, Decimal, int]:
    return not decision.candidate.is_urgent, -decision.candidate.value, decision.candidate.signal_id


def _once_per_episode(passed: Iterable[Decision], decisions: dict[int, Decision]) -> list[Decision]:
    """Let the best signal of each episode speak; note the others as said by it."""
    spoken: set[EpisodeKey] = set()
    speaking: list[Decision] = []
    for each in sorted(passed, key=_best_first):
        if each.candidate.key in spoken:
            decisions[each.candidate.signal_id] = replace(
                each, verdict=Verdict.DROP, reason=Reason.SAID_BY_BETTER
            )
        else:
            spoken.add(each.candidate.key)
            speaking.append(each)
    return speaking


def _within_limits(speaking: Iterable[Decision], policy: Policy, history: History) -> Iterator[Decision]:
    """Draw up one message per order, the most valuable first, until the limits of customer and rep are reached."""
    sold_to = set(history.customers_sold_to_today)
    used = dict(history.messages_today)
    for message in sorted(
        _by_order(speaking), key=lambda points: (not _is_free(points, policy), -_worth(points))
    ):
        points = message
        if points[0].candidate.customer_id in sold_to:
            yield from _kept(
                (each for each in points if each.candidate.is_selling), Reason.OVER_CUSTOMER_LIMIT
            )
            points = [each for each in points if not each.candidate.is_selling]
        if not points:
            continue
        rep_id = points[0].candidate.rep_id
        if not _is_free(points, policy):
            if used.get(rep_id, 0) >= policy.messages_per_rep:
                yield from _kept(points, Reason.OVER_BUDGET)
                continue
            used[rep_id] = used.get(rep_id, 0) + 1
        said = points[: policy.points_per_message]
        sold_to.update(each.candidate.customer_id for each in said if each.candidate.is_selling)
        yield from (replace(each, rank=rank) for rank, each in enumerate(said, start=1))
        yield from _kept(points[policy.points_per_message :], Reason.NOT_IN_TOP_THREE)


def _by_order(decisions: Iterable[Decision]) -> list[list[Decision]]:
    ordered = sorted(decisions, key=lambda each: (each.candidate.order_id, *_best_first(each)))
    return [list(points) for _, points in groupby(ordered, key=lambda each: each.candidate.order_id)]


def _is_free(points: Sequence[Decision], policy: Policy) -> bool:
    """Whether a message takes nothing from the rep's budget: one of its points is urgent."""
    return any(not policy.rule_for(each.candidate).counts_in_budget for each in points)


def _worth(points: Iterable[Decision]) -> Decimal:
    return sum((each.candidate.value for each in points), Decimal(0))


def _kept(decisions: Iterable[Decision], reason: Reason) -> Iterator[Decision]:
    return (replace(each, verdict=Verdict.KEEP, reason=reason) for each in decisions)


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
    for points in _by_order(shown):
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
            value=_worth(counted),
            as_of=best.candidate.as_of,
        )


def _after_saying(
    episodes: Mapping[EpisodeKey, Episode], decisions: Iterable[Decision], now: datetime
) -> Iterator[Episode]:
    """The episodes as they stand once these decisions are carried out."""
    said = {each.candidate.key: each.candidate.value for each in decisions if was_said(each)}
    for key, episode in episodes.items():
        yield replace(episode, sent_at=now, value=said[key]) if key in said else episode
