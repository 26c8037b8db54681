"""Drawing up messages: one per occasion and recipient, within the limits of customer and recipient."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal

from services.alerts.candidate import Decision, History, Reason, Verdict
from services.alerts.policy import Policy


def within_limits(passed: Iterable[Decision], policy: Policy, history: History) -> Iterator[Decision]:
    """Draw up one message per occasion, the most valuable first, within the limits of customer and recipient."""
    sold_to = set(history.customers_sold_to_today)
    used = dict(history.messages_today)
    most = policy.points_per_message

    def most_valuable_first(points: Sequence[Decision]) -> tuple[bool, Decimal]:
        return not _is_free(points, policy), -worth(points[:most])

    for message in sorted(by_occasion(passed), key=most_valuable_first):
        points = message
        if points[0].candidate.customer_id in sold_to:
            yield from _inbox_only(
                (each for each in points if each.candidate.is_selling), Reason.OVER_CUSTOMER_LIMIT
            )
            points = [each for each in points if not each.candidate.is_selling]
        if not points:
            continue
        shown = points[:most]
        if worth(shown) < _floor(shown, policy):
            yield from _inbox_only(points, Reason.TOO_WEAK)
            continue
        recipient = points[0].candidate.recipient_id
        if not _is_free(points, policy):
            if used.get(recipient, 0) >= policy.messages_per_rep:
                yield from _inbox_only(points, Reason.OVER_BUDGET)
                continue
            used[recipient] = used.get(recipient, 0) + 1
        sold_to.update(
            each.candidate.customer_id
            for each in shown
            if each.candidate.is_selling and each.candidate.customer_id is not None
        )
        yield from (replace(each, rank=rank) for rank, each in enumerate(shown, start=1))
        yield from _inbox_only(points[most:], Reason.NOT_IN_TOP_THREE)


def by_occasion(decisions: Iterable[Decision]) -> list[list[Decision]]:
    """The decisions that make one alert, the best first; alerts in the order their first signals were found."""
    groups: defaultdict[tuple[str, int], list[Decision]] = defaultdict(list)
    for each in sorted(decisions, key=lambda each: each.candidate.signal_id):
        groups[each.candidate.occasion, each.candidate.recipient_id].append(each)
    return [sorted(points, key=best_first) for points in groups.values()]


def best_first(decision: Decision) -> tuple[bool, Decimal, int]:
    """Urgent first, then by money; the id settles a tie."""
    return not decision.candidate.is_urgent, -decision.candidate.value, decision.candidate.signal_id


def worth(points: Iterable[Decision]) -> Decimal:
    """Expected margin of these together, base currency."""
    return sum((each.candidate.value for each in points), Decimal(0))


def _floor(points: Iterable[Decision], policy: Policy) -> Decimal:
    """What a message must be worth: a small point may stand beside a large one, never alone."""
    return min(policy.rule_for(each.candidate).value_floor for each in points)


def _is_free(points: Sequence[Decision], policy: Policy) -> bool:
    """Whether a message takes nothing from the recipient's budget: one of its points is urgent."""
    return any(not policy.rule_for(each.candidate).counts_in_budget for each in points)


def _inbox_only(decisions: Iterable[Decision], reason: Reason) -> Iterator[Decision]:
    return (replace(each, verdict=Verdict.INBOX_ONLY, reason=reason) for each in decisions)
