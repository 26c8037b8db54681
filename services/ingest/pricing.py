"""Pricing: what each line of an order truly brought in, after discounts, without tax, exact.

A line's amount is unit price x quantity less its own discount (or net unit price x quantity). The order's discount
is shared out over the product lines by amount, the last ten-thousandths to the largest remainders, so that the
shares add up to it. Tax comes off last where prices include it. A discount always makes an amount smaller, also
that of goods given back.
"""

from collections.abc import Sequence
from decimal import ROUND_DOWN, Decimal

from services.ingest.body import LineBody, OrderBody
from services.ingest.faults import Fault
from shared.domain.money import AMOUNT_UNIT, LARGEST_AMOUNT, rounded
from shared.domain.order import LineKind

ZERO = Decimal(0)
ONE = Decimal(1)
NOTHING = rounded(ZERO)
CENT = Decimal("0.01")
# Senders round each line's tax, and some round tax per unit: so much may two ways of saying it differ.
TAX_SLACK = Decimal("0.01")


def line_nets(body: OrderBody, faults: list[Fault]) -> list[Decimal]:
    """Return what each line brought in, four decimals; faults are added to the list."""
    lines = body.lines
    amounts = [
        _in_range(_amount(line, body, index, faults), index, faults) for index, line in enumerate(lines)
    ]
    with_tax = amounts
    if body.discount:
        amounts = _share_out(body.discount, amounts, lines, faults)
    if body.prices_include_tax:
        amounts = [
            _net_of_tax(amount, given, line, index, faults)
            for index, (amount, given, line) in enumerate(zip(amounts, with_tax, lines, strict=True))
        ]
    return [rounded(amount) if amount else NOTHING for amount in amounts]  # 0 x -3 makes a minus nothing


def _in_range(amount: Decimal, index: int, faults: list[Fault]) -> Decimal:
    if -LARGEST_AMOUNT < amount < LARGEST_AMOUNT:
        return amount
    faults.append(Fault("the line's amount is out of range", ("lines", index)))
    return NOTHING


def _amount(line: LineBody, body: OrderBody, index: int, faults: list[Fault]) -> Decimal:
    """The line after its own discount; with tax where prices include it, unless a net price is given."""
    quantity, price = line.quantity, line.unit_price
    if quantity > 0 and line.kind is LineKind.PRODUCT:
        for name, given in (("unit_price", price), ("net_unit_price", line.net_unit_price)):
            if given is not None and given < 0:
                detail = "a negative price: give goods back by a negative quantity"
                faults.append(Fault(detail, ("lines", index, name)))
    if price is None:
        if line.net_unit_price is None:
            faults.append(Fault("a line needs unit_price or net_unit_price", ("lines", index)))
            return ZERO
        return line.net_unit_price * quantity
    amount = price * quantity
    if line.discount:
        amount = _discounted(amount, line.discount, ("lines", index, "discount"), faults)
    if line.net_unit_price is None:
        return amount
    _compare_net(line, amount, body, index, faults)
    return amount if body.prices_include_tax else line.net_unit_price * quantity


def _discounted(
    amount: Decimal, discount: Decimal, path: tuple[str | int, ...], faults: list[Fault]
) -> Decimal:
    """Make the amount smaller by the discount, whichever sign it has."""
    if amount < 0:
        smaller = amount + abs(discount)
        is_too_much = smaller > 0
    else:
        smaller = amount - discount
        is_too_much = smaller < 0
        if discount < 0:
            faults.append(Fault("a negative discount: send a surcharge as a line of kind fee", path))
    if is_too_much:
        faults.append(Fault(f"the discount {discount} is more than the amount {amount}", path))
    return smaller


def _compare_net(line: LineBody, amount: Decimal, body: OrderBody, index: int, faults: list[Fault]) -> None:
    """Net and gross must tell one story; a unit price rounded to its last digit may be off by half of that."""
    net_price = line.net_unit_price or ZERO
    if body.prices_include_tax:
        if line.tax is None and line.tax_rate is None:
            return
        amount = _without_tax(amount, line, index, faults)
    digit = ONE.scaleb(int(net_price.as_tuple().exponent)) if net_price else CENT
    slack = CENT + abs(line.quantity) * digit / 2
    if abs(net_price * line.quantity - amount) > slack:
        detail = f"net_unit_price {net_price} x {line.quantity} is not what unit_price less discount makes: {amount}"
        faults.append(Fault(detail, ("lines", index, "net_unit_price")))


def _net_of_tax(amount: Decimal, given: Decimal, line: LineBody, index: int, faults: list[Fault]) -> Decimal:
    """The amount without tax. `given` is the line before the order's discount; a net price has no tax."""
    if line.net_unit_price is None:
        return _without_tax(amount, line, index, faults)
    if line.unit_price is None:
        return amount
    net = line.net_unit_price * line.quantity
    return net if amount == given else net * amount / given


def _without_tax(amount: Decimal, line: LineBody, index: int, faults: list[Fault]) -> Decimal:
    if not amount:
        return amount
    rate, tax = line.tax_rate, line.tax
    if rate is not None and not 0 <= rate < 1:
        return amount  # named by check_tax
    if tax is None and rate is None:
        faults.append(
            Fault("prices include tax, but the line has neither tax nor tax_rate", ("lines", index))
        )
        return amount
    if tax is None:
        return amount / (ONE + (rate or ZERO))
    return amount + abs(tax) if amount < 0 else amount - tax


def check_tax(line: LineBody, net: Decimal, index: int, faults: list[Fault]) -> None:
    """A rate is a fraction, and tax and rate must agree."""
    rate = line.tax_rate
    if rate is None:
        return
    if not 0 <= rate < 1:
        detail = f"tax_rate {rate} is no fraction: 19 % is 0.19"
        faults.append(Fault(detail, ("lines", index, "tax_rate")))
    elif line.tax is not None:
        expected = abs(net * rate)
        if abs(abs(line.tax) - expected) > TAX_SLACK * (1 + abs(line.quantity) + expected):
            detail = f"tax {line.tax} is not {rate} of {net}"
            faults.append(Fault(detail, ("lines", index, "tax")))


def _share_out(
    discount: Decimal, amounts: list[Decimal], lines: Sequence[LineBody], faults: list[Fault]
) -> list[Decimal]:
    """Take the order's discount off its lines."""
    total = sum(amounts, ZERO)
    sign = -1 if total < 0 else 1
    if discount < 0 < sign:
        faults.append(Fault("a negative discount: send a surcharge as a line of kind fee", ("discount",)))
        return amounts
    bearing = [
        index
        for index, amount in enumerate(amounts)
        if amount * sign > 0 and lines[index].kind is LineKind.PRODUCT
    ] or [index for index, amount in enumerate(amounts) if amount * sign > 0]
    weights = [abs(amounts[index]) for index in bearing]
    if abs(discount) > sum(weights, ZERO):
        faults.append(Fault(f"the discount {discount} is more than the lines it is given on", ("discount",)))
        return amounts
    left = list(amounts)
    for index, share in zip(bearing, shares(abs(discount), weights), strict=True):
        left[index] -= share * sign
    return left


def shares(whole: Decimal, weights: Sequence[Decimal]) -> list[Decimal]:
    """Split `whole` in proportion, to four decimals, so that the parts add up to it (largest remainder)."""
    total = sum(weights, ZERO)
    whole = rounded(whole)
    exact = [whole * weight / total for weight in weights]
    parts = [each.quantize(AMOUNT_UNIT, ROUND_DOWN) for each in exact]
    missing = int((whole - sum(parts, ZERO)) / AMOUNT_UNIT)
    by_remainder = sorted(range(len(parts)), key=lambda index: parts[index] - exact[index])
    for index in by_remainder[:missing]:
        parts[index] += AMOUNT_UNIT
    return parts
