"""Run the kinds that look at orders: skip reasons, signals, ended episodes, and the rows that are stored."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.scoring.facts import CustomerFacts, FitFacts, OrderFacts
from services.scoring.replay import made_from
from services.scoring.value import MENTION, is_worth_keeping, may_lead
from shared.domain.order import MANUAL, PRODUCT, Order, OrderKind, OrderStatus
from shared.domain.signal import Action, Episode, OrderSignalKind, Signal, SignalKind, UnwordedSignal, worded

Kinds = Mapping[str, SignalKind[OrderFacts]]
Row = dict[str, object]

TOO_LATE = timedelta(days=3)
CLOCK_SKEW = timedelta(minutes=5)
"""A shop's clock may run this much before ours; beyond it, the order is from the future."""

SKIPPED_KINDS = {
    OrderKind.RETURN: "a return",
    OrderKind.CREDIT: "a credit",
    OrderKind.SAMPLE: "a sample",
    OrderKind.REPLACEMENT: "a replacement",
    OrderKind.ADJUSTMENT: "an adjustment",
}


def skip_reason(
    order: Order,
    customer: CustomerFacts | None,
    business_now: datetime,
    *,
    is_history: bool = False,
    has_rate: bool = True,
) -> str | None:
    """Return why no kind looks at this order, or None. Its facts apply all the same."""
    if is_history:
        return "history import"
    reason = _skipped_order(order) or _skipped_customer(order, customer)
    if reason is not None:
        return reason
    if business_now - order.ordered_at > TOO_LATE:
        return "more than 3 days old"
    if order.ordered_at - business_now > CLOCK_SKEW:
        return "ahead of the business clock"
    return _skipped_lines(order) or (None if has_rate else f"no exchange rate for {order.currency}")


def _skipped_order(order: Order) -> str | None:
    if order.is_test:
        return "a test order"
    if order.status in (OrderStatus.DRAFT, OrderStatus.CANCELLED):
        return f"a {order.status} order"
    return SKIPPED_KINDS.get(order.kind)


def _skipped_customer(order: Order, customer: CustomerFacts | None) -> str | None:
    if customer is None or order.customer is None:
        return "a guest"
    if customer.is_internal or order.customer.internal:
        return "an internal customer"
    for status in (customer.status, order.customer.status):
        if status in ("blocked", "closed"):
            return f"a {status} customer"
    return None


def _skipped_lines(order: Order) -> str | None:
    """Skip orders of freight, fees and manual lines alone, and goods whose price stands in a manual total."""
    products = [line for line in order.lines if line.kind is PRODUCT]
    if not products:
        return "no product lines"
    has_manual_total = any(line.kind is MANUAL and line.net > 0 for line in order.lines)
    if has_manual_total and all(line.net == 0 for line in products):
        return "zero-price lines with a manual total"
    return None


@dataclass(frozen=True, slots=True)
class Found:
    """What the kinds find in one order; `dropped` names the kind of each finding that is only counted.

    `alone` are mentions beside which nothing stands that could be the reason for a message: nobody would read them.
    They are not stored, but an order does not end the episode that it gives new evidence for.
    """

    signals: tuple[Signal, ...] = ()
    dropped: tuple[str, ...] = ()
    alone: tuple[Signal | UnwordedSignal, ...] = ()


NOTHING_FOUND = Found()


def detect(kinds: Kinds, facts: OrderFacts) -> Found:
    """Return everything the kinds find in one order. What brings less than acting on it costs is only counted."""
    kept: list[tuple[Signal | UnwordedSignal, Action]] = []
    dropped: list[str] = []
    for kind in kinds.values():
        if isinstance(kind, OrderSignalKind):
            for finding in kind.detect(facts):
                if finding is not None and is_worth_keeping(finding, kind.action, facts.assumptions):
                    kept.append((finding, kind.action))
                else:
                    dropped.append(kind.name)
    if any(may_lead(finding, action, facts.assumptions) for finding, action in kept):
        return Found(tuple(worded(finding) for finding, _ in kept), tuple(dropped))
    alone = tuple(each for each, action in kept if action is MENTION and not each.is_owed)
    stored = tuple(worded(each) for each, action in kept if action is not MENTION or each.is_owed)
    return Found(stored, (*dropped, *(each.kind for each in alone)), alone)


def ended(
    kinds: Kinds,
    facts: OrderFacts,
    found: Sequence[Signal | UnwordedSignal],
    episodes: Iterable[tuple[int, Episode]],
) -> dict[int, str]:
    """Return the reason for each open episode, by id, that this order ends: none that it gives new evidence for."""
    seen = {(signal.kind, signal.subject) for signal in found}
    reasons = {
        episode_id: kinds[episode.kind].ends(facts, episode)
        for episode_id, episode in episodes
        if episode.kind in kinds
        and episode.opened_at < facts.as_of
        and (episode.kind, episode.subject) not in seen
    }
    return {episode_id: reason for episode_id, reason in reasons.items() if reason is not None}


def rows(kinds: Kinds, facts: OrderFacts, signals: Sequence[Signal], business_now: datetime) -> list[Row]:
    """Return the signals of an order as they are stored."""
    order = {"order_id": facts.order_id, "order_version": facts.version}
    return [
        row(kinds[each.kind], each, f"order:{facts.order_id}", facts.fit, min(facts.as_of, business_now))
        | order
        | {"facts": each.facts or made_from(facts, each)}
        for each in signals
    ]


def why_unproven(kind: SignalKind[OrderFacts], fit: FitFacts | None, business_now: datetime) -> str | None:
    """Return why signals of the kind may not be sent now, or None: its model needs a fresh run that passes."""
    if kind.needs_model is None:
        return None
    run = fit.runs.get(kind.needs_model) if fit is not None else None
    return "no fit yet" if run is None else run.why_unproven(business_now)


def row(
    kind: SignalKind[OrderFacts], signal: Signal, occasion: str, fit: FitFacts | None, business_now: datetime
) -> Row:
    """Return one signal as it is stored: with its occasion and the versions of detector and fit."""
    unproven_reason = why_unproven(kind, fit, business_now)
    run = fit.runs.get(kind.needs_model) if fit is not None and kind.needs_model is not None else None
    return {
        "kind": signal.kind,
        "customer_id": signal.customer_id,
        "rep_id": signal.rep_id,
        "subject": signal.subject,
        "cause": signal.cause,
        "occasion": occasion,
        "product_id": signal.product_id,
        "as_of": signal.as_of,
        "expires_at": signal.expires_at,
        "probability": signal.probability,
        "basis": signal.basis,
        "stake": signal.stake,
        "value": signal.value,
        "low": signal.low,
        "high": signal.high,
        "revenue": signal.revenue,
        "horizon_days": signal.horizon.days,
        "headline": signal.headline,
        "question": signal.question,
        "evidence": signal.evidence,
        "detail": signal.detail,
        "facts": signal.facts,
        "severity": signal.severity,
        "action": Action.TALKING_POINT if signal.is_talking_point else kind.action,
        "is_selling": kind.is_selling,
        "is_inbox_only": kind.is_inbox_only,
        "is_proven": unproven_reason is None,
        "unproven_reason": unproven_reason,
        "assumed_margin": signal.assumed_margin,
        "quiet_days": kind.episode_ttl.days,
        "detector_version": kind.version,
        "model_run_id": run.id if run is not None else None,
    }
