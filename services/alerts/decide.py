"""Deciding: every signal belongs to an episode and gets a decision with its reason; messages keep within the limits."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from hashlib import sha256

from services.alerts.dismissals import Dismissal
from services.alerts.policy import WHY_HELD, Candidate, EpisodeKey, Policy, Reason, Verdict
from shared.domain.signal import Severity

BUCKETS = 100
FLAPPING = timedelta(days=14)
"""What a day kind finds again so soon after it was no longer so only crossed its threshold back and forth: no news."""

KIND_LIMIT = timedelta(days=14)
"""What days find of one kind about one customer is told once in this time, whatever it is about."""


@dataclass(frozen=True, slots=True)
class Episode:
    """One open question about a customer or a rep. `value` is as last notified, else as last seen.

    `stake` is that of the last signal about the same that somebody was notified of; None where nobody ever was.
    """

    customer_id: int | None
    kind: str
    subject: str
    number: int
    opened_at: datetime
    last_seen_at: datetime
    quiet_after: datetime
    holdout_bucket: int
    is_holdout: bool
    value: Decimal
    rep_id: int | None = None
    notified_at: datetime | None = None
    product_id: int | None = None
    id: int | None = None
    is_open: bool = True
    closed_at: datetime | None = None
    was_dismissed: bool = False
    snoozed_until: datetime | None = None
    stake: Decimal | None = None

    @property
    def key(self) -> EpisodeKey:
        """What it is about."""
        return self.customer_id, self.rep_id, self.kind, self.subject


@dataclass(frozen=True, slots=True)
class History:
    """What went before: the newest episode of each key, the occasions somebody was notified of, today's messages.

    `open_kinds`: (customer, kind) of open episodes that may hide what else is found of the customer. `notified_lately`:
    the value somebody was notified of for a customer and kind, whatever the subject, within `KIND_LIMIT`.
    """

    episodes: Mapping[EpisodeKey, Episode] = field(default_factory=dict)
    open_kinds: frozenset[tuple[int, str]] = frozenset()
    occasions_notified: frozenset[str] = frozenset()
    messages_today: Mapping[int, int] = field(default_factory=dict)
    customers_sold_to_today: frozenset[int] = frozenset()
    notified_lately: Mapping[tuple[int | None, str], Decimal] = field(default_factory=dict)
    dismissals: tuple[Dismissal, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of one signal. `rank` is its place among the points of its message, from 1.

    `inhibited_by` is the kind that hides it, where one does.
    """

    candidate: Candidate
    verdict: Verdict
    reason: Reason
    rank: int | None = None
    inhibited_by: str | None = None

    @property
    def is_notified(self) -> bool:
        """Whether the recipient is notified: by a message, or in shadow mode by the inbox in its place."""
        return self.rank is not None


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
    expires_at: datetime
    group_key: str | None


@dataclass(frozen=True, slots=True)
class Plan:
    """The outcome of a batch: a decision for every signal, the alerts, and the episodes as they now stand."""

    decisions: tuple[Decision, ...]
    alerts: tuple[AlertDraft, ...]
    episodes: tuple[Episode, ...]


def decide(candidates: Sequence[Candidate], policy: Policy, history: History, now: datetime) -> Plan:
    """Decide about each signal as if it were alone, then about the messages they make, the most valuable first."""
    inhibited = _inhibited(candidates, policy, history, now)
    standing = [each for each in candidates if each.signal_id not in inhibited]
    episodes = _episodes(standing, history, now)
    alone = [*inhibited.values()]
    alone += [_decide_alone(each, policy, history, episodes.get(each.key), now) for each in standing]
    passed = [each for each in alone if each.verdict is Verdict.NOTIFY]
    decisions = {each.candidate.signal_id: each for each in alone}
    for decision in within_limits(_once_per_episode(passed, decisions), policy, history):
        decisions[decision.candidate.signal_id] = decision
    if policy.is_shadow:  # the inbox shows what would have been sent
        decisions = {
            signal_id: replace(each, verdict=Verdict.INBOX_ONLY, reason=Reason.SHADOW_MODE)
            if each.verdict is Verdict.NOTIFY
            else each
            for signal_id, each in decisions.items()
        }
    values = {each.candidate.key: each.candidate.value for each in decisions.values() if each.is_notified}
    held = {each.candidate.key for each in decisions.values() if each.reason is Reason.HELD_OUT}
    return Plan(
        decisions=tuple(decisions.values()),
        alerts=tuple(_alerts(decisions.values(), now)),
        episodes=tuple(
            replace(episode, notified_at=now, value=values[key])
            if key in values
            else replace(episode, is_holdout=episode.is_holdout or key in held)
            for key, episode in episodes.items()
        ),
    )


def _inhibited(
    candidates: Sequence[Candidate], policy: Policy, history: History, now: datetime
) -> dict[int, Decision]:
    """The decisions of signals that a graver question about the customer hides. They open no episode: when it closes,
    what is still so is found anew.
    """
    found = {
        (each.customer_id, each.kind)
        for each in candidates
        if each.is_proven and _falls_away(each, now) is None and not _is_dismissed(each, policy, history, now)
    }
    graver = found | history.open_kinds
    hidden: dict[int, Decision] = {}
    for each in candidates:
        by = next(
            (
                rule.by
                for rule in policy.inhibitions
                if (each.customer_id, rule.by) in graver and rule.fits(each)
            ),
            None,
        )
        if by is not None and _falls_away(each, now) is None:
            hidden[each.signal_id] = Decision(each, Verdict.SUPPRESSED, Reason.INHIBITED, inhibited_by=by)
    return hidden


def _is_dismissed(candidate: Candidate, policy: Policy, history: History, now: datetime) -> bool:
    return any(each.covers(candidate, policy.resend_growth, now) for each in history.dismissals)


def _episodes(candidates: Iterable[Candidate], history: History, now: datetime) -> dict[EpisodeKey, Episode]:
    """The episode of each signal that stands; those withdrawn or overtaken open none."""
    episodes: dict[EpisodeKey, Episode] = {}
    for each in candidates:
        if _falls_away(each, now) is None:
            past = episodes.get(each.key) or history.episodes.get(each.key)
            episodes[each.key] = episode_of(each, past, now)
    return episodes


def episode_of(candidate: Candidate, past: Episode | None, now: datetime) -> Episode:
    """Return the open episode with this new evidence, or a new one when none is open or its time is over.

    One that closed within `FLAPPING` hands on when somebody was notified and of how much.
    """
    quiet_after = now + candidate.episode_ttl
    if past is not None and past.is_open and now < past.quiet_after:
        value = past.value if past.notified_at else candidate.value
        return replace(past, last_seen_at=now, quiet_after=max(quiet_after, past.quiet_after), value=value)
    opened = Episode(
        customer_id=candidate.customer_id,
        rep_id=candidate.rep_id,
        kind=candidate.kind,
        subject=candidate.subject,
        number=past.number + 1 if past else 1,
        opened_at=now,
        last_seen_at=now,
        quiet_after=quiet_after,
        holdout_bucket=bucket(candidate),
        is_holdout=False,
        value=candidate.value,
        product_id=candidate.product_id,
    )
    if past is None or past.notified_at is None or not _is_flapping(candidate, past, now):
        return opened
    return replace(opened, notified_at=past.notified_at, value=past.value, stake=past.stake)


def _is_flapping(candidate: Candidate, past: Episode, now: datetime) -> bool:
    if past.closed_at is None or past.was_dismissed:
        return False
    return candidate.order_id is None and now - past.closed_at < FLAPPING


def may_notify(episode: Episode, candidate: Candidate, growth: Decimal) -> Reason | None:
    """Return why somebody may be notified: never before, or about `growth` times the money of the last message.

    Gain and stake must have grown: a longer silence alone makes a call worth more, and is no news. Else None.
    """
    if episode.notified_at is None:
        return Reason.FIRST_TIME
    if candidate.value < episode.value * growth:
        return None
    if episode.stake is not None and candidate.stake is not None and candidate.stake < episode.stake * growth:
        return None
    return Reason.MUCH_MORE_MONEY


def bucket(candidate: Candidate) -> int:
    """Return 0-99 for a customer (or rep) in a quarter of a year, the same for every kind, evenly spread.

    Customers below the policy's share are left alone on purpose for that quarter, so that what calls earn can be
    measured: by all kinds together, so that one kind's call is not counted for another.
    """
    about = candidate.customer_id if candidate.rep_id is None else f"rep {candidate.rep_id}"
    day = candidate.business_day
    digest = sha256(f"{about}/{day.year}/{(day.month - 1) // 3 + 1}".encode()).digest()
    return int.from_bytes(digest[:8]) % BUCKETS


def _falls_away(candidate: Candidate, now: datetime) -> Reason | None:
    """Why nothing more need be asked about a signal, if so."""
    if candidate.is_withdrawn:
        return Reason.WITHDRAWN
    if candidate.is_superseded:
        return Reason.SUPERSEDED
    if not candidate.is_contactable:
        return Reason.CUSTOMER_NOT_CONTACTABLE
    if candidate.is_selling and candidate.hold is not None:
        return WHY_HELD.get(candidate.hold, Reason.ON_HOLD)
    if now >= candidate.expires_at:
        return Reason.EXPIRED
    return None


def _decide_alone(
    candidate: Candidate, policy: Policy, history: History, episode: Episode | None, now: datetime
) -> Decision:
    """Decide about one signal as if it were alone."""
    gone = _falls_away(candidate, now)
    if gone or episode is None:
        return Decision(candidate, Verdict.SUPPRESSED, gone or Reason.EXPIRED)
    is_news = candidate.is_urgent and episode.notified_at is None
    if candidate.occasion in history.occasions_notified and not is_news:
        return Decision(candidate, Verdict.INBOX_ONLY, Reason.AMENDED)
    if _is_dismissed(candidate, policy, history, now):
        return Decision(candidate, Verdict.SUPPRESSED, Reason.DISMISSED_BY_REP)
    if episode.snoozed_until is not None and now < episode.snoozed_until:
        return Decision(candidate, Verdict.SUPPRESSED, Reason.SNOOZED_BY_REP)
    why = may_notify(episode, candidate, policy.resend_growth)
    if why is None:
        return Decision(candidate, Verdict.SUPPRESSED, Reason.WITHIN_REPEAT_INTERVAL)
    return _kept_back(candidate, policy, history, why) or Decision(candidate, Verdict.NOTIFY, why)


def _kept_back(candidate: Candidate, policy: Policy, history: History, why: Reason) -> Decision | None:
    """Return the decision about a signal that would be news and is not to be sent, or None."""
    if candidate.is_inbox_only:
        return Decision(candidate, Verdict.INBOX_ONLY, Reason.FOR_THE_INBOX)
    if not candidate.is_proven:
        return Decision(candidate, Verdict.INBOX_ONLY, Reason.UNPROVEN_MODEL)
    if why is Reason.FIRST_TIME and candidate.order_id is None:  # one call asks about all of the kind
        notified = history.notified_lately.get((candidate.customer_id, candidate.kind))
        if notified is not None and candidate.value < notified * policy.resend_growth:
            return Decision(candidate, Verdict.INBOX_ONLY, Reason.OVER_KIND_LIMIT)
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


def _alerts(decisions: Iterable[Decision], now: datetime) -> Iterator[AlertDraft]:
    """One alert per occasion that has anything to show: led and valued by the points of its message, else by all."""
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
            expires_at=lead.candidate.expires_at,
            group_key=lead.candidate.group_key,
        )


def within_limits(passed: Iterable[Decision], policy: Policy, history: History) -> Iterator[Decision]:
    """Draw up one message per occasion, the most valuable first, within the limits of customer and recipient."""
    sold_to = set(history.customers_sold_to_today)
    used = dict(history.messages_today)
    most = policy.points_per_message

    def most_valuable_first(points: Sequence[Decision]) -> tuple[bool, Decimal]:
        return not _is_free(points, policy), -points[0].candidate.value

    for message in sorted(by_occasion(passed), key=most_valuable_first):
        points, aside = _led(message, policy, sold_to)
        yield from aside
        if not points:
            continue
        recipient, is_free = points[0].candidate.recipient_id, _is_free(points, policy)
        if not is_free and used.get(recipient, 0) >= policy.messages_per_rep:
            yield from _inbox_only(points, Reason.OVER_BUDGET)
            continue
        if held := [each for each in points if policy.holds_out(each.candidate, bucket(each.candidate))]:
            # Drawn last, among what would be sent now: those told and those left alone differ in nothing else.
            yield from (replace(each, verdict=Verdict.SUPPRESSED, reason=Reason.HELD_OUT) for each in held)
            sold_to.update(_sold_to(held))
            points = [each for each in points if each not in held]
            if not points:
                continue
        if not is_free:
            used[recipient] = used.get(recipient, 0) + 1
        shown = points[:most]
        sold_to.update(_sold_to(shown))
        yield from (replace(each, rank=rank) for rank, each in enumerate(shown, start=1))
        yield from _inbox_only(points[most:], Reason.NOT_IN_TOP_THREE)


def _led(
    message: Sequence[Decision], policy: Policy, sold_to: Collection[int | None]
) -> tuple[list[Decision], list[Decision]]:
    """Return the points of a message, what it is reason enough for first, and the decisions about those put aside."""
    points, aside = list(message), list[Decision]()
    if points[0].candidate.customer_id in sold_to:
        aside += _inbox_only(
            (each for each in points if each.candidate.is_selling), Reason.OVER_CUSTOMER_LIMIT
        )
        points = [each for each in points if not each.candidate.is_selling]
    lead = next((each for each in points if policy.merits_message(each.candidate)), None)
    if lead is None:  # what stands beside a lead point never carries it
        return [], [*aside, *_inbox_only(points, Reason.TOO_WEAK)]
    points = [lead, *(each for each in points if each is not lead)]
    if lead.candidate.is_mistake:
        aside += _inbox_only(
            (each for each in points if not each.candidate.is_mistake), Reason.BESIDE_A_MISTAKE
        )
        points = [each for each in points if each.candidate.is_mistake]
    return points, aside


def _sold_to(points: Iterable[Decision]) -> Iterator[int]:
    """The customers to whom these points would sell something."""
    return (
        each.candidate.customer_id
        for each in points
        if each.candidate.is_selling and each.candidate.customer_id is not None
    )


def by_occasion(decisions: Iterable[Decision]) -> list[list[Decision]]:
    """The decisions that make one alert, the best first; alerts in the order their first signals were found."""
    groups: defaultdict[tuple[str, int], list[Decision]] = defaultdict(list)
    for each in sorted(decisions, key=lambda each: each.candidate.signal_id):
        groups[each.candidate.occasion, each.candidate.recipient_id].append(each)
    return [sorted(points, key=best_first) for points in groups.values()]


def best_first(decision: Decision) -> tuple[bool, bool, Decimal, int]:
    """Urgent first, then mistakes, then by money; the id settles a tie."""
    told = decision.candidate
    return not told.is_urgent, not told.is_mistake, -told.value, told.signal_id


def worth(points: Iterable[Decision]) -> Decimal:
    """Expected margin of these together, base currency."""
    return sum((each.candidate.value for each in points), Decimal(0))


def _is_free(points: Sequence[Decision], policy: Policy) -> bool:
    """Whether a message takes nothing from the recipient's budget: one of its points is a mistake."""
    return any(not policy.rule_for(each.candidate).counts_in_budget for each in points)


def _inbox_only(decisions: Iterable[Decision], reason: Reason) -> Iterator[Decision]:
    return (replace(each, verdict=Verdict.INBOX_ONLY, reason=reason) for each in decisions)
