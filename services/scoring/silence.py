"""Say why an order is not judged. Its facts still apply, and its skip reason is stored beside it."""

from datetime import datetime, timedelta

from services.scoring.facts import CustomerFacts
from shared.domain.order import LineKind, Order, OrderKind, OrderStatus

TOO_LATE = timedelta(days=3)
CLOCK_SKEW = timedelta(minutes=5)
"""A shop's clock may run this much before ours; beyond it, the order is from the future."""

OTHER_KINDS = {
    OrderKind.RETURN: "a return",
    OrderKind.CREDIT: "a credit",
    OrderKind.SAMPLE: "a sample",
    OrderKind.REPLACEMENT: "a replacement",
    OrderKind.ADJUSTMENT: "an adjustment",
}


def why_silent(
    order: Order,
    customer: CustomerFacts | None,
    business_now: datetime,
    *,
    is_history: bool = False,
    has_rate: bool = True,
) -> str | None:
    """Return why nothing may be said about this order, or None when it may be judged."""
    return (
        _why_order(order, is_history=is_history)
        or _why_customer(order, customer)
        or _why_time(order.ordered_at, business_now)
        or _why_lines(order)
        or (None if has_rate else f"no exchange rate for {order.currency}")
    )


def _why_order(order: Order, *, is_history: bool) -> str | None:
    if is_history:
        return "history import"
    if order.is_test:
        return "a test order"
    if order.status in (OrderStatus.DRAFT, OrderStatus.CANCELLED):
        return f"a {order.status} order"
    return OTHER_KINDS.get(order.kind)


def _why_customer(order: Order, customer: CustomerFacts | None) -> str | None:
    if customer is None or order.customer is None:
        return "a guest"
    if customer.is_internal or order.customer.internal:
        return "an internal customer"
    for status in (customer.status, order.customer.status):
        if status in ("blocked", "closed"):
            return f"a {status} customer"
    return None


def _why_time(ordered_at: datetime, business_now: datetime) -> str | None:
    if business_now - ordered_at > TOO_LATE:
        return "more than 3 days old"
    if ordered_at - business_now > CLOCK_SKEW:
        return "ahead of the business clock"
    return None


def _why_lines(order: Order) -> str | None:
    """Freight, fees and manual lines are not judged, nor goods whose price stands in a manual total."""
    products = [line for line in order.lines if line.kind is LineKind.PRODUCT]
    if not products:
        return "no product lines"
    has_manual_total = any(line.kind is LineKind.MANUAL and line.net > 0 for line in order.lines)
    if has_manual_total and all(line.net == 0 for line in products):
        return "zero-price lines with a manual total"
    return None
