"""Builders of a handful of purchases, as the day kinds are given them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import ibis

from services.scoring.facts import Assumptions

AS_OF = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
CUSTOMER = 1
"""Whom a case is about."""

APART = 1000
_SCHEMA = {
    "order_id": "int64", "product_id": "int64", "customer_id": "int64", "at": "timestamp", "day": "date",
    "quantity": "float64", "net": "float64", "base_net": "float64", "unit_cost": "float64", "channel": "string",
    "currency": "string",
}  # fmt: skip


@dataclass(frozen=True)
class Trade:
    """Purchases by accounts and the products they name."""

    accounts: ibis.Table
    products: ibis.Table
    agreements: ibis.Table | None = None
    assumptions: Assumptions = field(default_factory=Assumptions)

    def keep(self, name: str, rows: Callable[[], ibis.Table]) -> ibis.Table:
        """Keep nothing: a handful of purchases is computed as often as it is asked for."""
        return rows()


def day_of(days_ago: float) -> date:
    """The day that many days before the night."""
    return (AS_OF - timedelta(days=days_ago)).date()


def bought(
    customer: int,
    product: int,
    days_ago: int,
    *,
    price: float,
    cost: float | None = None,
    quantity: float = 10,
) -> dict[str, Any]:
    """One purchase, an order of its own day."""
    day = day_of(days_ago)
    return {
        "order_id": customer * 10_000 + days_ago, "product_id": product, "customer_id": customer,
        "at": datetime(day.year, day.month, day.day, 12), "day": day, "quantity": float(quantity),
        "net": quantity * price, "base_net": quantity * price, "unit_cost": cost, "channel": "", "currency": "EUR",
    }  # fmt: skip


def trade(*purchases: Iterable[dict[str, Any]]) -> Trade:
    """Put purchases together; a product is named by its number."""
    rows = [row for several in purchases for row in several]
    products = sorted({row["product_id"] for row in rows})
    named = [{"product_id": number, "name": f"Item {number % APART}"} for number in products]
    return Trade(
        ibis.memtable(rows, schema=ibis.schema(_SCHEMA)),
        ibis.memtable(named, schema=ibis.schema({"product_id": "int64", "name": "string"})),
    )


def rows_of(expression: ibis.Table) -> Sequence[dict[str, Any]]:
    """Compute an expression."""
    found: list[dict[str, Any]] = expression.to_pyarrow().to_pylist()
    return found


def judged(
    candidates: Callable[[Trade, datetime], ibis.Table], cases: Mapping[str, Iterable[dict[str, Any]]]
) -> dict[str, Any]:
    """Judge many cases in one query, each with customers and products of its own.

    Returned is the row of each case's customer, None where there was not enough to judge.
    """
    apart = [
        purchase
        | {name: purchase[name] + number * APART for name in ("customer_id", "product_id")}
        | {"order_id": purchase["order_id"] + number * 10**9}
        for number, purchases in enumerate(cases.values())
        for purchase in purchases
    ]
    rows = {row["customer_id"]: row for row in rows_of(candidates(trade(apart), AS_OF))}
    return {case: rows.get(number * APART + CUSTOMER) for number, case in enumerate(cases)}
