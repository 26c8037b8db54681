"""Pricing: what each line of an order truly brought in, after discounts, without tax, exact; and sums that differ.

A line's amount is unit price x quantity less its own discount (or net unit price x quantity). The order's discount
is shared out over the product lines by amount, the last ten-thousandths to the largest remainders, so that the
shares add up to it. Tax comes off last where prices include it. A discount always makes an amount smaller, also
that of goods given back.

Totals a sender gives are compared with the lines, never used. Senders mean different things by "subtotal" and "total"
(before or after discounts, with freight or without), so a sum differs only when it fits none of its meanings. Such an
order is a sale all the same: it is flagged.
"""

from collections.abc import Iterator, Sequence
from decimal import ROUND_DOWN, Decimal

from services.ingest.body import LineBody, OrderBody, TotalsBody
from shared.domain.order import AMOUNT_UNIT, LARGEST_AMOUNT, LineKind, rounded
from shared.faults import Fault, fault_at

ZERO = Decimal(0)
ONE = Decimal(1)
NOTHING = rounded(ZERO)
CENT = Decimal("0.01")
# Senders round each line's tax, and some round tax per unit: so much may two ways of saying it differ.
TAX_SLACK = Decimal("0.01")
# Each line of a total may be rounded to the cent by itself.
SLACK_PER_LINE = Decimal("0.01")
# No sales tax takes more than half of the price again.
MOST_TAX = Decimal("0.5")


def line_nets(body: OrderBody, faults: list[Fault]) -> list[Decimal]:
    """Return what each line brought in, four decimals; faults are added to the list."""
    lines, amounts = body.lines, []
    for index, line in enumerate(body.lines):
        amount = _amount(line, body, index, faults)
        if not -LARGEST_AMOUNT < amount < LARGEST_AMOUNT:
            faults.append(fault_at("the line's amount is out of range", "lines", index))
            amount = NOTHING
        amounts.append(amount)
    with_tax = amounts
    if body.discount:
        amounts = _share_out(body.discount, amounts, lines, faults)
    if body.prices_include_tax:
        amounts = [
            _net_of_tax(amount, given, line, index, faults)
            for index, (amount, given, line) in enumerate(zip(amounts, with_tax, lines, strict=True))
        ]
    return [rounded(amount) if amount else NOTHING for amount in amounts]  # 0 x -3 makes a minus nothing


def _amount(line: LineBody, body: OrderBody, index: int, faults: list[Fault]) -> Decimal:
    """The line after its own discount; with tax where prices include it, unless a net price is given."""
    quantity, price = line.quantity, line.unit_price
    if quantity > 0 and line.kind is LineKind.PRODUCT:
        for name, given in (("unit_price", price), ("net_unit_price", line.net_unit_price)):
            if given is not None and given < 0:
                detail = "a negative price: give goods back by a negative quantity"
                faults.append(fault_at(detail, "lines", index, name))
    if price is None:
        if line.net_unit_price is None:
            faults.append(fault_at("a line needs unit_price or net_unit_price", "lines", index))
            return ZERO
        return line.net_unit_price * quantity
    amount = price * quantity
    if line.discount:
        amount = _discounted(amount, line.discount, index, faults)
    if line.net_unit_price is None:
        return amount
    _compare_net(line, amount, body, index, faults)
    return amount if body.prices_include_tax else line.net_unit_price * quantity


def _discounted(amount: Decimal, discount: Decimal, index: int, faults: list[Fault]) -> Decimal:
    """Make the amount smaller by the discount, whichever sign it has."""
    if amount < 0:
        smaller = amount + abs(discount)
        is_too_much = smaller > 0
    else:
        smaller = amount - discount
        is_too_much = smaller < 0
        if discount < 0:
            detail = "a negative discount: send a surcharge as a line of kind fee"
            faults.append(fault_at(detail, "lines", index, "discount"))
    if is_too_much:
        detail = f"the discount {discount} is more than the amount {amount}"
        faults.append(fault_at(detail, "lines", index, "discount"))
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
        faults.append(fault_at(detail, "lines", index, "net_unit_price"))


def _share_out(
    discount: Decimal, amounts: list[Decimal], lines: Sequence[LineBody], faults: list[Fault]
) -> list[Decimal]:
    """Take the order's discount off its lines."""
    total = sum(amounts, ZERO)
    sign = -1 if total < 0 else 1
    if discount < 0 < sign:
        faults.append(fault_at("a negative discount: send a surcharge as a line of kind fee", "discount"))
        return amounts
    bearing = [
        index
        for index, amount in enumerate(amounts)
        if amount * sign > 0 and lines[index].kind is LineKind.PRODUCT
    ] or [index for index, amount in enumerate(amounts) if amount * sign > 0]
    weights = [abs(amounts[index]) for index in bearing]
    if abs(discount) > sum(weights, ZERO):
        faults.append(fault_at(f"the discount {discount} is more than the lines it is given on", "discount"))
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
            fault_at("prices include tax, but the line has neither tax nor tax_rate", "lines", index)
        )
        return amount
    if tax is None:
        return amount / (ONE + (rate or ZERO))
    if abs(tax) > abs(amount) or tax < 0 < amount:
        faults.append(fault_at(f"the tax {tax} is not part of the amount {amount}", "lines", index, "tax"))
    return amount + abs(tax) if amount < 0 else amount - tax


def check_tax(line: LineBody, net: Decimal, index: int, faults: list[Fault]) -> None:
    """A rate is a fraction, and tax and rate must agree."""
    rate = line.tax_rate
    if rate is None:
        return
    if not 0 <= rate < 1:
        detail = f"tax_rate {rate} is no fraction: 19 % is 0.19"
        faults.append(fault_at(detail, "lines", index, "tax_rate"))
    elif line.tax is not None:
        expected = abs(net * rate)
        if abs(abs(line.tax) - expected) > TAX_SLACK * (1 + abs(line.quantity) + expected):
            detail = f"tax {line.tax} is not {rate} of {net}"
            faults.append(fault_at(detail, "lines", index, "tax"))


def totals_that_differ(body: OrderBody, nets: Sequence[Decimal]) -> list[str]:
    """Return what is said of each sum that fits the lines in no meaning. `nets` are before returns turn sign."""
    totals = body.totals
    if totals is None:
        return []
    differing: list[str] = []
    slack = SLACK_PER_LINE * (len(body.lines) + 2)
    lines = sum(nets, ZERO) + _freight(body)
    taxes = _taxes(body, totals)
    for name, given, meanings in _meanings(body, totals, nets, taxes):
        if given is None or not meanings:
            continue
        if not any(abs(abs(given) - abs(each)) <= slack for each in meanings):
            likely = ", ".join(dict.fromkeys(f"{each:.2f}" for each in meanings))
            differing.append(f"{name} {given} is not what the lines make: {likely}")
    if totals.total is not None and not taxes:
        # Nobody tells the tax: the total must at least lie between the lines and the lines with a high tax.
        least, most = abs(lines) - slack, abs(lines) * (1 + MOST_TAX) + slack
        if not least <= abs(totals.total) <= most:
            differing.append(f"total {totals.total} is not what the lines make: {lines:.2f}")
    return differing


def _freight(body: OrderBody) -> Decimal:
    """Freight of the order that is not among its lines."""
    if body.freight is not None:
        return body.freight
    has_line = any(line.kind is LineKind.FREIGHT for line in body.lines)
    return ZERO if has_line or body.totals is None else body.totals.freight or ZERO


def _taxes(body: OrderBody, totals: TotalsBody) -> list[Decimal]:
    """The tax of the order: first as its lines say, if all do, then as the sender sums it."""
    taxes = [abs(line.tax) for line in body.lines if line.tax is not None]
    told = [sum(taxes, ZERO)] if taxes and len(taxes) == len(body.lines) else []
    return [*told, *([] if totals.tax is None else [totals.tax])]


def _meanings(
    body: OrderBody, totals: TotalsBody, nets: Sequence[Decimal], taxes: Sequence[Decimal]
) -> Iterator[tuple[str, Decimal | None, Sequence[Decimal]]]:
    """Yield each sum, what it is said to be, and what it may be; none where that cannot be known."""
    net, freight, lines = sum(nets, ZERO), _freight(body), body.lines
    gross = ZERO
    for line in lines:
        price = line.net_unit_price if line.unit_price is None else line.unit_price
        gross += (price or ZERO) * line.quantity
    line_discounts = sum((abs(line.discount) for line in lines if line.discount), ZERO)
    with_tax = [each + tax for tax in taxes for each in (net, net + freight)]
    yield "subtotal", totals.subtotal, (gross, gross - line_discounts, net, net + freight, *with_tax)
    if all(line.net_unit_price is None for line in lines):
        whole = abs(body.discount or ZERO)
        yield "discount", totals.discount, (whole + line_discounts, whole, line_discounts)
    yield "tax", totals.tax, taxes[:-1]
    if taxes:
        sums = [net + freight + abs(tax).copy_sign(net) for tax in taxes]
        yield "total", totals.total, (*sums, net + freight, gross + freight)
