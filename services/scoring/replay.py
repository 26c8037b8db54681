"""Replay: keep with a signal the facts it was made from, and make it again from them. Pure.

Models, prices and settings change; it must still be possible to say why something was said. Of an order, what its kind
cannot have looked at is left out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, tzinfo
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from services.scoring.facts import (
    Assumptions,
    FitFacts,
    LineFacts,
    OrderFacts,
    ProductFacts,
    band_of,
    breaks_on,
    cost_on,
)
from shared.domain.signal import DaySignalKind, OrderSignalKind, Signal, SignalKind

CENTS = Decimal("0.0001")
"""Money is stored to so much."""

FEW = 3
"""So many products bought before are kept of those that link a customer to a product never bought."""

COMPARED = (
    "headline", "question", "probability", "basis", "stake", "value", "low", "high", "revenue", "expires_at",
    "assumed_margin", "severity", "evidence", "detail",
)  # fmt: skip

Stored = Mapping[str, Any]
"""A signal as it is stored, by column."""


def made_from(facts: OrderFacts, signal: Signal) -> OrderFacts:
    """Return what a signal of an order was made from: what is about its products, or all where it names none.

    `detail["products"]` names more products than the first.
    """
    about = {signal.product_id, *signal.detail.get("products", ())} - {None}
    if not about:
        return replace(facts, products=None, candidates=())
    known = facts.products or {}
    lines = tuple(
        _about(each, about, facts)
        for each in facts.lines
        if each.product.id in about or not about.isdisjoint(each.product.neighbours)
    )
    if all(each.line.net <= 0 for each in lines):  # what is given away is told from what is paid beside it
        paid_first = sorted(facts.lines, key=lambda each: each.line.net <= 0)
        lines += tuple(_about(each, about, facts) for each in paid_first[:1] if each not in lines)
    products: dict[int, ProductFacts] = {}
    bought: set[int] = set()
    for product_id in about & known.keys():
        product = known[product_id]
        before = [near for near in product.neighbours if near in facts.bought]
        linked = [near for near in before if near in known and known[near].fitted][:FEW]
        products |= {near: _outline(known[near]) for near in linked}
        bought |= {*linked} | {product_id} & set(facts.bought)
        near_ones = {near: product.neighbours[near] for near in linked}
        products[product_id] = replace(_on_the_day(product, facts), neighbours=near_ones)
    return replace(
        facts,
        lines=lines,
        products=products,
        bought=sorted(bought),
        regulars={each: facts.regulars[each] for each in about & facts.regulars.keys()},
        candidates=tuple(each for each in facts.candidates if each[0] in about),
        fit=None if facts.fit is None else _calibrations(facts.fit),
    )


def _about(line: LineFacts, about: set[Any], facts: OrderFacts) -> LineFacts:
    """The line, with no more of its product than links it to what the signal is about."""
    near = {each: found for each, found in line.product.neighbours.items() if each in about}
    if line.product.id in about:
        band = band_of(line.product, line.line.quantity, facts.channel, facts.currency)
        seen = replace(
            _on_the_day(line.product, facts), neighbours=near, bands=() if band is None else (band,)
        )
        return msgspec.structs.replace(line, product=seen)
    product = replace(_outline(line.product), neighbours=near)
    return msgspec.structs.replace(line, product=product, history=line.history[:1])


def _on_the_day(product: ProductFacts, facts: OrderFacts) -> ProductFacts:
    """The product with the cost and the price breaks of the order's day, currency and channel."""
    cost = cost_on(product, facts.today)
    breaks = breaks_on(product, facts.currency, facts.channel, facts.today)
    return replace(product, costs=() if cost is None else (cost,), breaks=breaks, bands=())


def _outline(product: ProductFacts) -> ProductFacts:
    return ProductFacts(product.id, product.name, product.sku, fitted=product.fitted)


def _calibrations(fit: FitFacts) -> FitFacts:
    """Of what a grade says, kinds use the calibration alone."""
    return FitFacts(
        {
            name: replace(run, grade={key: value for key, value in run.grade.items() if key == "calibration"})
            for name, run in fit.runs.items()
        }
    )


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a kind makes of stored facts today: what differs, by field, or why it cannot be made again."""

    differences: Mapping[str, tuple[object, object]]
    fault: str | None = None

    @property
    def verdict(self) -> str:
        """It in words."""
        if self.fault is not None:
            return f"not possible: {self.fault}"
        return "differs" if self.differences else "the same"


def replayed(kind: SignalKind[OrderFacts] | None, stored: Stored) -> Replayed:
    """Make a stored signal again from its own facts, and compare the two."""
    if kind is None:
        return Replayed({}, f"there is no kind {stored['kind']} any more")
    if stored["facts"] is None:
        return Replayed({}, "its facts were not kept")
    try:
        made = _again(kind, stored)
    except (KeyError, TypeError, ValueError, ArithmeticError) as fault:  # facts of a release before this one
        then = (
            "" if kind.version == stored["detector_version"] else f" of version {stored['detector_version']}"
        )
        return Replayed({}, f"the facts{then} lack what version {kind.version} needs ({fault})")
    if made is None:
        return Replayed({"found": (True, False)})
    pairs = {name: (_plain(stored[name]), _plain(getattr(made, name))) for name in COMPARED}
    return Replayed({name: pair for name, pair in pairs.items() if pair[0] != pair[1]})


def _again(kind: SignalKind[OrderFacts], stored: Stored) -> Signal | None:
    if isinstance(kind, DaySignalKind):
        return kind.tell(day_row(stored["facts"]))
    if not isinstance(kind, OrderSignalKind):
        raise TypeError("the kind looks at nothing that is stored")
    key = (stored["subject"], stored["cause"])
    found = kind.signals(order_facts(stored["facts"]))
    return next((each for each in found if (each.subject, each.cause) == key), None)


def order_facts(stored: Stored) -> OrderFacts:
    """Return the facts of an order as they were stored; a ValueError where they are of another form."""

    def zone(_kind: type, name: str) -> tzinfo:
        return ZoneInfo(name)

    return msgspec.convert(stored, OrderFacts, strict=False, str_keys=True, dec_hook=zone)


def day_row(stored: Stored) -> dict[str, Any]:
    """Return the row of a day kind as it was told."""
    row = {name: _revived(value) for name, value in stored.items()}
    return row | {"assumptions": msgspec.convert(stored["assumptions"], Assumptions, strict=False)}


def _revived(value: Any) -> Any:  # noqa: ANN401 - what JSON holds, with its days and moments
    if isinstance(value, list):
        return [_revived(each) for each in value]
    if isinstance(value, dict):
        return {name: _revived(each) for name, each in value.items()}
    if isinstance(value, str) and value[4:5] == value[7:8] == "-" and value[:4].isdigit():
        for made in (date, datetime):
            try:
                return msgspec.convert(value, made)
            except msgspec.ValidationError:
                continue
    return value


def _plain(value: Any) -> Any:  # noqa: ANN401 - one field of a signal
    """Return a value as it comes back from where it is stored."""
    if isinstance(value, Decimal):
        return value.quantize(CENTS, ROUND_HALF_UP)
    return value if isinstance(value, datetime) else msgspec.json.decode(msgspec.json.encode(value))


def shown(kind: SignalKind[OrderFacts] | None, stored: Stored) -> Iterator[tuple[str, str]]:
    """Yield the rows of the facts, each with what it is of, in words."""
    if stored["facts"] is None or kind is None:
        return
    if isinstance(kind, OrderSignalKind):
        try:
            facts = order_facts(stored["facts"])
        except ValueError:
            return
        yield from _shown_order(facts)
        return
    for name, value in stored["facts"].items():
        if isinstance(value, list):
            for each in value:
                yield name, _spoken(each) if isinstance(each, dict) else str(each)
        elif name != "assumptions" and value is not None:
            yield name.replace("_", " "), str(value)


def _shown_order(facts: OrderFacts) -> Iterator[tuple[str, str]]:
    for each in facts.lines:
        cost = "" if each.base_unit_cost is None else f", cost {each.base_unit_cost:f}"
        agreed = "" if each.agreed_price is None else f", agreed {each.agreed_price:f}"
        sold = f"{each.line.quantity:f} of {each.product.name} for {each.line.net:f} {facts.currency}{cost}{agreed}"
        yield "line", sold
        for past in each.history:
            yield (
                "bought before",
                f"{past.quantity:f} at {past.unit_price:f} {past.currency} on {past.at:%Y-%m-%d}",
            )
    for product_id, history in facts.regulars.items():
        product = (facts.products or {}).get(product_id)
        for past in history:
            bought = f"{past.quantity:f} at {past.unit_price:f} {past.currency} on {past.at:%Y-%m-%d}"
            yield f"usual {product.name if product else product_id}", bought
    for order in facts.past_orders[:8]:
        yield "earlier order", f"{order.base_net:f} {facts.assumptions.base_currency} on {order.at:%Y-%m-%d}"


def _spoken(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in row.items() if value is not None)
