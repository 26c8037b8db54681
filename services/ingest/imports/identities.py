"""This file maps outside names of customers and products to ours during an import, and makes the new ones.

Names once found are remembered: a history of a million lines asks for each name once.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import msgspec
from sqlalchemy import Connection, TextClause, text

from shared.domain.order import CustomerRef, LineKind, Order

_FIND_CUSTOMERS = text(
    "SELECT external_id, coalesce(customer.merged_into_id, customer.id) AS id"
    " FROM customer_ref JOIN customer ON customer.id = customer_ref.customer_id"
    " WHERE source = :source AND external_id = ANY(:names)"
)

_FIND_PRODUCTS = text(
    "SELECT external_id, product_id AS id FROM product_ref WHERE source = :source AND external_id = ANY(:names)"
)

_MAKE_CUSTOMERS = text(
    "WITH wanted AS MATERIALIZED (SELECT new.*, nextval(pg_get_serial_sequence('customer', 'id')) AS id"
    " FROM json_to_recordset(CAST(:rows AS json)) AS new (external_id text, name text, status text, internal boolean)),"
    " made AS (INSERT INTO customer (id, name, status, is_internal) OVERRIDING SYSTEM VALUE"
    "  SELECT id, name, coalesce(status, 'active'), internal FROM wanted)"
    " INSERT INTO customer_ref (source, external_id, customer_id) SELECT :source, external_id, id FROM wanted"
)

_MAKE_PRODUCTS = text(
    "WITH wanted AS MATERIALIZED (SELECT new.*, nextval(pg_get_serial_sequence('product', 'id')) AS id"
    " FROM json_to_recordset(CAST(:rows AS json)) AS new (external_id text, category text)),"
    " made AS (INSERT INTO product (id, category) OVERRIDING SYSTEM VALUE SELECT id, category FROM wanted)"
    " INSERT INTO product_ref (source, external_id, product_id) SELECT :source, external_id, id FROM wanted"
)

# Scoring takes the same lock when it meets new names: nobody is made twice.
_LOCK = text("SELECT pg_advisory_xact_lock(hashtext('new customers and products'))")


@dataclass(slots=True)
class Names:
    """Our ids by outside name, of one source. Ids learnt in a transaction that fails must be forgotten."""

    source: str
    customers: dict[str, int] = field(default_factory=dict)
    products: dict[str, int] = field(default_factory=dict)

    def learn(self, connection: Connection, orders: Collection[Order]) -> None:
        """Know every customer and product of these orders, making the new ones."""
        customers = {
            order.customer.id: order.customer
            for order in orders
            if order.customer is not None and order.customer.id not in self.customers
        }
        categories = {
            line.sku: line.category
            for order in orders
            for line in order.lines
            if line.kind is LineKind.PRODUCT and line.sku is not None and line.sku not in self.products
        }
        customer_rows = [_customer_row(name, customers[name]) for name in sorted(customers)]
        product_rows: list[dict[str, object]] = [
            {"external_id": name, "category": categories[name]} for name in sorted(categories)
        ]
        self._learn(connection, self.customers, _FIND_CUSTOMERS, _MAKE_CUSTOMERS, customer_rows)
        self._learn(connection, self.products, _FIND_PRODUCTS, _MAKE_PRODUCTS, product_rows)

    def forget(self) -> None:
        """Know nothing: what was learnt was rolled back."""
        self.customers.clear()
        self.products.clear()

    def _learn(
        self,
        connection: Connection,
        known: dict[str, int],
        find: TextClause,
        make: TextClause,
        rows: list[dict[str, object]],
    ) -> None:
        if not rows:
            return
        names = [str(row["external_id"]) for row in rows]
        known |= self._find(connection, find, names)
        if all(name in known for name in names):
            return
        connection.execute(_LOCK)
        known |= self._find(connection, find, names)
        missing = [row for row in rows if row["external_id"] not in known]
        arguments = {"source": self.source, "rows": msgspec.json.encode(missing).decode()}
        connection.execute(make, arguments)
        known |= self._find(connection, find, [str(row["external_id"]) for row in missing])

    def _find(self, connection: Connection, find: TextClause, names: Iterable[str]) -> Mapping[str, int]:
        rows = connection.execute(find, {"source": self.source, "names": list(names)})
        return {row.external_id: row.id for row in rows}


def _customer_row(name: str, customer: CustomerRef) -> dict[str, object]:
    return {
        "external_id": name,
        "name": customer.name,
        "status": customer.status,
        "internal": customer.internal,
    }
