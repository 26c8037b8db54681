"""Totals: compare the sums a sender gives with its lines. They are compared, never used.

Senders mean different things by "subtotal" and "total" (before or after discounts, with freight or without), so a
sum differs only when it fits none of its meanings. Such an order is a sale all the same: it is flagged.
"""

from collections.abc import Sequence
from decimal import Decimal

from services.ingest.body import OrderBody
from services.ingest.pricing import ZERO
from shared.domain.order import LineKind

# Each line may be rounded to the cent by itself.
SLACK_PER_LINE = Decimal("0.01")
# No sales tax takes more than half of the price again.
MOST_TAX = Decimal("0.5")


def totals_that_differ(body: OrderBody, nets: Sequence[Decimal]) -> list[str]:
    """Return what is said of each sum that fits the lines in no meaning. `nets` are before returns turn sign."""
    totals = body.totals
    if totals is None:
        return []
    differing: list[str] = []
    slack = SLACK_PER_LINE * (len(body.lines) + 2)
    net, freight, tax = sum(nets, ZERO), _freight(body, nets), _tax(body)
    for name, given, readings in (
        ("subtotal", totals.subtotal, _subtotals(body, net, freight, tax)),
        ("discount", totals.discount, _discounts(body)),
        ("tax", totals.tax, () if tax is None else (tax,)),
        ("total", totals.total, _totals(body, net, freight, tax)),
    ):
        if given is None or not readings:
            continue
        if not any(abs(abs(given) - abs(reading)) <= slack for reading in readings):
            likely = ", ".join(dict.fromkeys(f"{reading:.2f}" for reading in readings))
            differing.append(f"{name} {given} is not what the lines make: {likely}")
    if not _is_likely_untaxed_total(body, net + freight, tax, slack):
        differing.append(f"total {totals.total} is not what the lines make: {net + freight:.2f}")
    return differing


def _freight(body: OrderBody, nets: Sequence[Decimal]) -> Decimal:
    """Freight of the order that is not among its lines."""
    has_line = any(line.kind is LineKind.FREIGHT for line in body.lines[: len(nets)])
    given = body.freight if body.freight is not None else (body.totals.freight if body.totals else None)
    return ZERO if has_line and body.freight is None else given or ZERO


def _tax(body: OrderBody) -> Decimal | None:
    """Tax of the lines; None when a line does not tell."""
    taxes = [line.tax for line in body.lines]
    return None if not taxes or None in taxes else sum((abs(tax) for tax in taxes if tax is not None), ZERO)


def _gross(body: OrderBody) -> Decimal:
    prices = (
        (line.unit_price if line.unit_price is not None else line.net_unit_price) for line in body.lines
    )
    return sum(
        ((price or ZERO) * line.quantity for price, line in zip(prices, body.lines, strict=True)), ZERO
    )


def _subtotals(body: OrderBody, net: Decimal, freight: Decimal, tax: Decimal | None) -> tuple[Decimal, ...]:
    gross = _gross(body)
    after_lines = gross - sum((abs(line.discount) for line in body.lines if line.discount), ZERO)
    given = (body.totals.tax if body.totals else None) if tax is None else tax
    with_tax = () if given is None else (net + given, net + freight + given)
    return (gross, after_lines, net, net + freight, *with_tax)


def _discounts(body: OrderBody) -> tuple[Decimal, ...]:
    whole = abs(body.discount or ZERO)
    lines = sum((abs(line.discount) for line in body.lines if line.discount), ZERO)
    if any(line.net_unit_price is not None for line in body.lines):
        return ()
    return (whole + lines, whole, lines)


def _totals(body: OrderBody, net: Decimal, freight: Decimal, tax: Decimal | None) -> tuple[Decimal, ...]:
    """With and without freight's own tax unknown, the sum with tax can only be compared when tax is told."""
    told = body.totals.tax if body.totals is not None and body.totals.tax is not None else tax
    if told is None:
        return ()
    sign = -1 if net < 0 else 1
    return (net + freight + sign * abs(told), net + freight, _gross(body) + freight)


def _is_likely_untaxed_total(body: OrderBody, net: Decimal, tax: Decimal | None, slack: Decimal) -> bool:
    """A total whose tax nobody tells must at least lie between the lines and the lines with a high tax."""
    totals = body.totals
    if totals is None or totals.total is None or totals.tax is not None or tax is not None:
        return True
    total, lines = abs(totals.total), abs(net)
    return lines - slack <= total <= lines * (1 + MOST_TAX) + slack
