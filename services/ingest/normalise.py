"""Normalise: turn every order, whatever its entry point, into the one form all else works with.

Webhooks, the API and imports of history use this one function: the same content is the same order, with the same
digest. It is pure: the zone, the currency and the times it falls back on are arguments.
"""

import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache

from services.ingest.body import ORDER, LineBody, OrderBody, parse
from services.ingest.pricing import ONE, ZERO, check_tax, line_nets, totals_that_differ
from services.ingest.source import InvalidOrder, ReadContext
from shared.domain.order import LARGEST_AMOUNT, CustomerRef, Line, LineKind, Order, OrderKind, rounded
from shared.faults import Fault, fault_at

FIRST_YEAR = 1990
LAST_YEAR = 9999  # beyond it a change of zone overflows
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
DAY = timedelta(days=1)
# A screw may cost a hundredth of a cent.
COST_UNIT = Decimal("0.000001")


def read_order(raw: bytes, context: ReadContext) -> Order:
    """Read an order that stands alone as JSON. Raises InvalidOrder."""
    return normalise(parse(ORDER, raw), context)


def normalise(body: OrderBody, context: ReadContext) -> Order:
    """Return the order. Raises InvalidOrder with every fault, pointers counted from the order."""
    faults: list[Fault] = []
    ordered_at = _business_time(body.ordered_at, context, faults)
    nets = line_nets(body, faults)
    flags = totals_that_differ(body, nets)
    lines = _lines(body, nets, faults)
    _check_together(body, lines, faults)
    if faults:
        raise InvalidOrder(faults)
    given = body.customer
    return Order(
        source=context.source,
        id=clean(body.id) or body.id,
        version=version_of(body, context),
        ordered_at=ordered_at,
        currency=body.currency or context.currency,
        lines=tuple(lines),
        status=body.status,
        kind=body.kind,
        is_test=body.test,
        number=clean(body.number),
        channel=clean(body.channel),
        rep_id=clean(body.rep_id),
        original_order_id=clean(body.original_order_id),
        customer=None
        if given is None
        else CustomerRef(
            id=clean(given.id) or given.id,
            parent_id=clean(given.parent_id),
            name=clean(given.name),
            status=given.status,
            internal=given.internal,
        ),
        is_unversioned=body.version is None and body.updated_at is None and context.envelope_at is None,
        flags=tuple(flags),
    )


def version_of(body: OrderBody, context: ReadContext) -> int:
    """Return what says which revision is newer: the version, else a time in microseconds since 1970."""
    if body.version is not None:
        return body.version
    moment = body.updated_at or context.envelope_at or context.received_at
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=context.zone)
    return (moment - EPOCH) // MICROSECOND


@lru_cache(maxsize=4096)
def clean(text: str | None) -> str | None:
    """Return text in one spelling (NFC), without control characters and outer blanks; None for nothing."""
    if text is None:
        return None
    if not (text.isascii() and text.isprintable()):
        composed = unicodedata.normalize("NFC", text)
        text = "".join(each for each in composed if each in "\n\t" or unicodedata.category(each) != "Cc")
    return text.strip() or None


def _business_time(given: datetime, context: ReadContext, faults: list[Fault]) -> datetime:
    """The order's own time in UTC, between 1990 and tomorrow."""
    if FIRST_YEAR <= given.year < LAST_YEAR:
        moment = (given if given.tzinfo else given.replace(tzinfo=context.zone)).astimezone(UTC)
        if moment.year >= FIRST_YEAR and moment.date() <= (context.received_at + DAY).date():
            return moment
    faults.append(fault_at(f"ordered_at {given.isoformat()} is not between 1990 and tomorrow", "ordered_at"))
    return EPOCH


def _lines(body: OrderBody, nets: Sequence[Decimal], faults: list[Fault]) -> list[Line]:
    """The lines, freight last. Of returns and credits all amounts are negative, however they were written."""
    quantities = [
        rounded(line.quantity) if line.units_per_pack is None else _base_quantity(line, index, faults)
        for index, line in enumerate(body.lines)
    ]
    sign = -1 if _is_written_positive(body, nets) else 1
    if sign < 0:
        quantities, nets = [-each for each in quantities], [-each for each in nets]
    lines = [
        _line(line, quantity, net, index, faults)
        for index, (line, quantity, net) in enumerate(zip(body.lines, quantities, nets, strict=True))
    ]
    if body.freight:
        lines.append(_freight(body, nets, {line.id for line in lines}, sign))
    return lines


def _is_written_positive(body: OrderBody, nets: Sequence[Decimal]) -> bool:
    """Is this a return whose goods are worth more than nothing as written? Fees and freight do not decide it."""
    if body.kind not in (OrderKind.RETURN, OrderKind.CREDIT):
        return False
    charges = (LineKind.FEE, LineKind.FREIGHT)
    goods = (net for line, net in zip(body.lines, nets, strict=True) if line.kind not in charges)
    return sum(goods, ZERO) > 0


def _base_quantity(line: LineBody, index: int, faults: list[Fault]) -> Decimal:
    pack = line.units_per_pack or ZERO
    if pack <= 0:
        faults.append(fault_at("units_per_pack must be more than 0", "lines", index, "units_per_pack"))
        return ZERO
    quantity = line.quantity * pack
    if not -LARGEST_AMOUNT < quantity < LARGEST_AMOUNT:
        faults.append(fault_at("the quantity is out of range", "lines", index, "quantity"))
        return ZERO
    return rounded(quantity)


def _line(line: LineBody, quantity: Decimal, net: Decimal, index: int, faults: list[Fault]) -> Line:
    sku, title, category, returns = line.sku, line.title, line.category, line.returns
    sku = (clean(sku) if sku else None) or clean(line.product_id)
    if sku is None and line.kind is LineKind.PRODUCT:
        faults.append(fault_at("a product line needs a sku or a product_id", "lines", index, "sku"))
    if line.tax_rate is not None:
        check_tax(line, net, index, faults)
    return Line(
        id=(clean(line.id) if line.id else None) or str(index + 1),
        kind=line.kind,
        quantity=quantity,
        net=net,
        sku=sku,
        title=clean(title) if title else None,
        category=clean(category) if category else None,
        unit_cost=None if line.cost is None else _unit_cost(line, index, faults),
        parent_id=clean(line.parent_line_id) if line.parent_line_id else None,
        returns_order_id=clean(returns.order_id) if returns else None,
        returns_line_id=clean(returns.line_id) if returns else None,
        return_reason=clean(line.reason) if line.reason else None,
    )


def _unit_cost(line: LineBody, index: int, faults: list[Fault]) -> Decimal | None:
    """Cost of one base unit."""
    cost = line.cost or ZERO
    if cost < 0:
        faults.append(fault_at("cost must not be negative", "lines", index, "cost"))
        return None
    if line.units_per_pack is not None and line.units_per_pack > 0:
        cost /= line.units_per_pack
    if cost >= LARGEST_AMOUNT:
        faults.append(fault_at("the cost of one base unit is out of range", "lines", index, "cost"))
        return None
    return cost.quantize(COST_UNIT)


def _freight(body: OrderBody, nets: Sequence[Decimal], taken: set[str], sign: int) -> Line:
    """The order's freight as a line; where prices include tax, at the tax rate of the lines together."""
    freight = body.freight or ZERO
    if body.prices_include_tax:
        net = with_tax = ZERO
        for line, line_net in zip(body.lines, nets, strict=True):
            if line.tax is not None:
                net, with_tax = net + line_net, with_tax + line_net + abs(line.tax).copy_sign(line_net)
            elif line.tax_rate is not None:
                net, with_tax = net + line_net, with_tax + line_net * (ONE + line.tax_rate)
        share = net / with_tax if with_tax else ONE
        freight = (
            freight * share if 0 < share <= 1 else freight
        )  # else the lines cancel out, and tell no rate
    line_id = "freight" if "freight" not in taken else f"freight {len(taken) + 1}"
    return Line(id=line_id, kind=LineKind.FREIGHT, quantity=ONE * sign, net=rounded(freight * sign))


def _check_together(body: OrderBody, lines: Sequence[Line], faults: list[Fault]) -> None:
    """Refuse lines that contradict each other, or are too large to be stored and worked with."""
    quantities = [line.quantity for line in body.lines if line.quantity]
    if body.kind is OrderKind.SALE and quantities and max(quantities) < 0:
        faults.append(fault_at("a sale with only negative quantities: send kind return", "lines"))
    seen: set[str] = set()
    for index, line in enumerate(lines):
        if line.id in seen:
            faults.append(fault_at(f"the line id {line.id!r} stands twice", "lines", index, "id"))
        seen.add(line.id)
        if line.quantity and abs(line.net) >= LARGEST_AMOUNT * abs(line.quantity):
            faults.append(fault_at("the price of one base unit is out of range", "lines", index))
    for name, amounts in (
        ("amounts", [line.net for line in lines]),
        ("quantities", [line.quantity for line in lines]),
    ):
        if sum(map(abs, amounts), ZERO) >= LARGEST_AMOUNT:
            faults.append(fault_at(f"the {name} of the lines are out of range together", "lines"))
