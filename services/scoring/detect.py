"""Run the kinds that look at orders, and turn signals into rows that carry the versions that made them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from services.scoring.facts import FitFacts, OrderFacts
from shared.domain.signal import Episode, OrderSignalKind, Signal, SignalKind

Kinds = Mapping[str, SignalKind[OrderFacts]]


def detect(kinds: Kinds, facts: OrderFacts) -> list[Signal]:
    """Return everything the kinds find in one order."""
    return [
        signal
        for kind in kinds.values()
        if isinstance(kind, OrderSignalKind)
        for signal in kind.detect(facts)
    ]


def why_unproven(kind: SignalKind[OrderFacts], fit: FitFacts | None, business_now: datetime) -> str | None:
    """Return why the kind may not be mailed now, or None when it may: its model needs a fresh run that passes."""
    if kind.needs_model is None:
        return None
    run = fit.runs.get(kind.needs_model) if fit is not None else None
    return "no fit yet" if run is None else run.why_unproven(business_now)


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
    """Return the signals of an order as they are stored."""
    order = {"order_id": facts.order_id, "order_version": facts.version}
    return [
        row(kinds[each.kind], each, f"order:{facts.order_id}", facts.fit, business_now)
        | order
        | {"facts": each.facts or made_from(facts, each)}
        for each in signals
    ]


def made_from(facts: OrderFacts, signal: Signal) -> dict[str, object]:
    """Return the facts a signal of an order was made from: its product's lines, else all, and the product as known.

    They are kept with the signal: models and prices change, and what was said must still be explained.
    """
    own = [each for each in facts.lines if each.product.id == signal.product_id]
    product = own[0].product if own else (facts.products or {}).get(signal.product_id or 0)
    return {
        "currency": facts.currency,
        "channel": facts.channel,
        "rate": facts.rate,
        "base_net": facts.base_net,
        "assumptions": facts.assumptions,
        "lines": [
            {
                "product_id": each.product.id,
                "quantity": each.line.quantity,
                "net": each.line.net,
                "base_net": each.base_net,
                "base_unit_cost": each.base_unit_cost,
                "history": each.history if own else (),
            }
            for each in own or facts.lines
        ],
        "product": product,
        "past_orders": () if signal.product_id is not None else facts.past_orders,
        "runs": {name: run.id for name, run in facts.fit.runs.items()} if facts.fit is not None else {},
    }


def row(
    kind: SignalKind[OrderFacts], signal: Signal, occasion: str, fit: FitFacts | None, business_now: datetime
) -> dict[str, object]:
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
        "is_selling": kind.is_selling,
        "is_proven": unproven_reason is None,
        "unproven_reason": unproven_reason,
        "assumed_margin": signal.assumed_margin,
        "quiet_days": kind.episode_ttl.days,
        "detector_version": kind.version,
        "model_run_id": run.id if run is not None else None,
    }
