"""This file runs every kind that wakes on orders, and turns what they find into rows that carry their versions."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from services.scoring.facts import FitFacts, OrderFacts
from shared.domain.signal import Episode, Signal, SignalKind, Trigger

Kinds = Mapping[str, SignalKind[OrderFacts]]


def detect(kinds: Kinds, facts: OrderFacts) -> list[Signal]:
    """Return everything the kinds find in one order."""
    return [
        signal for kind in kinds.values() if kind.trigger == Trigger.ORDER for signal in kind.detect(facts)
    ]


def why_unproven(kind: SignalKind[OrderFacts], fit: FitFacts | None, business_now: datetime) -> str | None:
    """Return why the kind may not be mailed now, or None when it may: it needs a fresh fit in which it wins."""
    if kind.needs_win is None:
        return None
    if fit is None:
        return "no fit yet"
    if fit.is_stale(business_now):
        return "the fit is more than 3 days old"
    if kind.needs_win in fit.wins:
        return None
    return (fit.reasons or {}).get(kind.needs_win, "not judged on this company's history")


def ended(kinds: Kinds, facts: OrderFacts, episodes: Iterable[tuple[int, Episode]]) -> dict[int, str]:
    """Return the reason for each open episode, by id, that this order ends."""
    reasons = ((number, _end(kinds, facts, episode)) for number, episode in episodes)
    return {number: reason for number, reason in reasons if reason is not None}


def _end(kinds: Kinds, facts: OrderFacts, episode: Episode) -> str | None:
    kind = kinds.get(episode.kind)
    return kind.ends(facts, episode) if kind is not None and episode.opened_at < facts.as_of else None


def rows(
    kinds: Kinds, facts: OrderFacts, signals: Sequence[Signal], business_now: datetime
) -> list[dict[str, object]]:
    """Return signals as they are stored: each with its order's version and those of detector and fit."""
    unproven = {name: why_unproven(kind, facts.fit, business_now) for name, kind in kinds.items()}
    return [
        {
            "kind": each.kind,
            "customer_id": each.customer_id,
            "rep_id": each.rep_id,
            "occasion": f"order:{facts.order_id}",
            "subject": each.subject,
            "cause": each.cause,
            "order_id": facts.order_id,
            "order_version": facts.version,
            "product_id": each.product_id,
            "as_of": each.as_of,
            "expires_at": each.expires_at,
            "probability": each.probability,
            "basis": each.basis,
            "stake": each.stake,
            "value": each.value,
            "low": each.low,
            "high": each.high,
            "revenue": each.revenue,
            "horizon_days": each.horizon.days,
            "headline": each.headline,
            "question": each.question,
            "evidence": each.evidence,
            "detail": each.detail,
            "facts": each.facts,
            "severity": each.severity,
            "is_selling": kinds[each.kind].is_selling,
            "is_proven": unproven[each.kind] is None,
            "unproven_reason": unproven[each.kind],
            "assumed_margin": each.assumed_margin,
            "quiet_days": kinds[each.kind].quiet_for.days,
            "detector_version": kinds[each.kind].version,
            "model_run_id": facts.fit.run_id if facts.fit is not None else None,
        }
        for each in signals
    ]
