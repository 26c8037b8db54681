"""This file draws up messages: one per order, within the limits of customer and rep."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import groupby

from services.alerts.candidate import Decision, History, Reason, Verdict
from services.alerts.policy import Policy


def within_limits(speaking: Iterable[Decision], policy: Policy, history: History) -> Iterator[Decision]:
    """Draw up one message per order, the most valuable first, until the limits of customer and rep are reached."""
    sold_to = set(history.customers_sold_to_today)
    used = dict(history.messages_today)
    most = policy.points_per_message

    def most_valuable_first(points: Sequence[Decision]) -> tuple[bool, Decimal]:
        return not _is_free(points, policy), -worth(points[:most])

    for message in sorted(by_order(speaking), key=most_valuable_first):
        points = message
        if points[0].candidate.customer_id in sold_to:
            yield from _kept(
                (each for each in points if each.candidate.is_selling), Reason.OVER_CUSTOMER_LIMIT
            )
            points = [each for each in points if not each.candidate.is_selling]
        if not points:
            continue
        said = points[:most]
        if worth(said) < _floor(said, policy):
            yield from _kept(points, Reason.TOO_WEAK)
            continue
        rep_id = points[0].candidate.rep_id
        if not _is_free(points, policy):
            if used.get(rep_id, 0) >= policy.messages_per_rep:
                yield from _kept(points, Reason.OVER_BUDGET)
                continue
            used[rep_id] = used.get(rep_id, 0) + 1
        sold_to.update(each.candidate.customer_id for each in said if each.candidate.is_selling)
        yield from (replace(each, rank=rank) for rank, each in enumerate(said, start=1))
        yield from _kept(points[most:], Reason.NOT_IN_TOP_THREE)


def by_order(decisions: Iterable[Decision]) -> list[list[Decision]]:
    """The decisions of each order, the best first."""
    ordered = sorted(decisions, key=lambda each: (each.candidate.order_id, *best_first(each)))
    return [list(points) for _, points in groupby(ordered, key=lambda each: each.candidate.order_id)]


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
    """Whether a message takes nothing from the rep's budget: one of its points is urgent."""
    return any(not policy.rule_for(each.candidate).counts_in_budget for each in points)


def _kept(decisions: Iterable[Decision], reason: Reason) -> Iterator[Decision]:
    return (replace(each, verdict=Verdict.KEEP, reason=reason) for each in decisions)
