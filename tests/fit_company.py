"""Builders of small companies whose right answers are known, written straight into the tables of facts."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from shared.db import Database

AS_OF = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)


def days_ago(days: float) -> datetime:
    """A moment before the fit."""
    return AS_OF - timedelta(days=days)


@dataclass
class Company:
    """Writes customers, products and orders; names stand for ids."""

    connection: Connection
    customers: dict[str, int] = field(default_factory=dict)
    products: dict[str, int] = field(default_factory=dict)
    orders: int = 0

    def customer(self, name: str, /, **columns: Any) -> int:
        """Return the customer's id; the first mention makes it."""
        if name not in self.customers:
            self.customers[name] = self._insert("customer", name=name, **columns)
        return self.customers[name]

    def product(self, name: str, /, **columns: Any) -> int:
        """Return the product's id; the first mention makes it."""
        if name not in self.products:
            self.products[name] = self._insert("product", **{"name": name, **columns})
        return self.products[name]

    def order(
        self,
        customer: str | None,
        at: datetime,
        *lines: tuple[str, float, float],
        cost: float | None = None,
        **columns: Any,
    ) -> int:
        """Write an order of (product, quantity, unit price) and return its id."""
        self.orders += 1
        customer_id = None if customer is None else self.customer(customer)
        shared = {"ordered_at": at, "is_counted": columns.pop("is_counted", True), "customer_id": customer_id}
        net = sum(quantity * price for _, quantity, price in lines)
        order = {
            "source": "standard", "external_id": str(self.orders), "version": 1, "digest": b"",
            "event_id": "00000000-0000-0000-0000-000000000000", "status": "confirmed", "kind": "sale",
            "currency": "EUR", "net": net, "base_net": net,
        }  # fmt: skip
        order_id = self._insert("sales_order", **{**order, **shared, **columns})
        for number, (product, quantity, price) in enumerate(lines):
            line = {
                "order_id": order_id, "line_no": number, "product_id": self.product(product), "kind": "product",
                "external_id": str(number), "quantity": quantity, "net": quantity * price,
                "base_net": quantity * price, "base_unit_cost": cost, "title": f"{product} by its line",
            }  # fmt: skip
            self._insert("order_line", returning="order_id", **{**line, **shared})
        return order_id

    def _insert(self, table: str, returning: str = "id", **columns: Any) -> int:
        names = ", ".join(columns)
        values = ", ".join(f":{name}" for name in columns)
        statement = text(f"INSERT INTO {table} ({names}) VALUES ({values}) RETURNING {returning}")
        return int(self.connection.execute(statement, columns).scalar_one())


MODELS = {
    "item_neighbour": "neighbours",
    "customer_candidate": "neighbours",
    "model_run": "neighbours",
    "item_fact": "item_facts",
    "price_band": "price_bands",
    "inferred_break": "inferred_breaks",
}


def learnt(database: Database, query: str) -> list[tuple[Any, ...]]:
    """Rows of the current run of the model whose table is asked: write `:run` where its number goes."""
    (model,) = {model for table, model in MODELS.items() if f"FROM {table} " in query}
    with database.transaction() as connection:
        run = connection.execute(
            text("SELECT id FROM model_run WHERE state = 'current' AND model = :model"), {"model": model}
        ).scalar_one()
        return [tuple(row) for row in connection.execute(text(query), {"run": run})]
