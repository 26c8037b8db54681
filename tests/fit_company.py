"""Builders of small companies whose right answers are known, written straight into the tables of facts."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, insert, text

from shared.db import Database
from shared.tables.order import order_line, sales_order

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
        order = self._order(customer, at, lines, columns)
        order_id = self._insert("sales_order", **order)
        for line in self._lines(order_id, order, lines, cost):
            self._insert("order_line", returning="order_id", **line)
        return order_id

    def history(
        self, orders: Iterable[tuple[str, datetime, Sequence[tuple[str, float, float]]]], cost: float
    ) -> None:
        """Write imported orders of (customer, moment, lines) together: thousands take a second."""
        told = [
            (self._order(customer, at, lines, {"is_history": True}), lines) for customer, at, lines in orders
        ]
        made = insert(sales_order).returning(sales_order.c.id, sort_by_parameter_order=True)
        ids = self.connection.scalars(made, [order for order, _ in told]).all()
        rows = (self._lines(key, order, lines, cost) for key, (order, lines) in zip(ids, told, strict=True))
        self.connection.execute(insert(order_line), list(itertools.chain.from_iterable(rows)))

    def _order(
        self,
        customer: str | None,
        at: datetime,
        lines: Sequence[tuple[str, float, float]],
        columns: dict[str, Any],
    ) -> dict[str, Any]:
        self.orders += 1
        net = sum(quantity * price for _, quantity, price in lines)
        return {
            "source": "standard", "external_id": str(self.orders), "version": 1, "digest": b"",
            "event_id": UUID(int=0), "status": "confirmed", "kind": "sale", "currency": "EUR", "net": net,
            "base_net": net, "ordered_at": at, "is_counted": True,
            "customer_id": None if customer is None else self.customer(customer), **columns,
        }  # fmt: skip

    def _lines(
        self,
        order_id: int,
        order: dict[str, Any],
        lines: Sequence[tuple[str, float, float]],
        cost: float | None,
    ) -> Iterator[dict[str, Any]]:
        shared = {name: order[name] for name in ("ordered_at", "is_counted", "customer_id")}
        for number, (product, quantity, price) in enumerate(lines):
            yield {
                "order_id": order_id, "line_no": number, "product_id": self.product(product), "kind": "product",
                "external_id": str(number), "quantity": quantity, "net": quantity * price,
                "base_net": quantity * price, "base_unit_cost": cost, "title": f"{product} by its line",
                **shared,
            }  # fmt: skip

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
