"""Dealings with customers that orders do not show: prices agreed, and what holds back sales."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from sqlalchemy import Connection, text

from services.scoring.store import as_array

PriceKey = tuple[int, int, str, date]
"""(customer, product, currency, day)."""


@dataclass(frozen=True, slots=True)
class Dealings:
    """The price agreed for each key that has one, and the kinds of hold open on each (customer, day) that has any."""

    prices: Mapping[PriceKey, Decimal] = field(default_factory=dict)
    holds: Mapping[tuple[int, date], frozenset[str]] = field(default_factory=dict)


# An agreement is with the customer, its parent or its segment.
_AGREED_WITH = text("""
    SELECT id FROM customer WHERE id = ANY(CAST(:customers AS bigint[])) AND (
        EXISTS (SELECT FROM price_agreement AS agreement
                WHERE agreement.customer_id IN (customer.id, customer.parent_id))
        OR EXISTS (SELECT FROM price_agreement AS agreement
                   WHERE agreement.customer_id IS NULL AND agreement.segment = customer.segment))
""")

# The nearest agreement: with the customer, its parent, its segment; for the product, its category; the newest. Each
# part is one look into the unique index.
_PRICES = text("""
    SELECT asked.nr, nearest.unit_price
    FROM unnest(CAST(:customers AS bigint[]), CAST(:products AS bigint[]), CAST(:currencies AS text[]),
                CAST(:days AS date[])) WITH ORDINALITY AS asked (customer_id, product_id, currency, day, nr)
    JOIN customer ON customer.id = asked.customer_id
    JOIN product ON product.id = asked.product_id
    CROSS JOIN LATERAL (
        SELECT found.unit_price FROM (
            SELECT CASE customer_id WHEN customer.id THEN 0 ELSE 2 END AS distance, agreement.*
            FROM price_agreement AS agreement
            WHERE customer_id IN (customer.id, customer.parent_id) AND product_id = product.id
            UNION ALL
            SELECT CASE customer_id WHEN customer.id THEN 1 ELSE 3 END, agreement.* FROM price_agreement AS agreement
            WHERE customer_id IN (customer.id, customer.parent_id) AND product_id IS NULL AND segment IS NULL
              AND category = product.category
            UNION ALL
            SELECT 4, agreement.* FROM price_agreement AS agreement
            WHERE customer_id IS NULL AND product_id = product.id AND segment = customer.segment
            UNION ALL
            SELECT 5, agreement.* FROM price_agreement AS agreement
            WHERE customer_id IS NULL AND product_id IS NULL AND segment = customer.segment
              AND category = product.category
        ) AS found
        WHERE found.currency = asked.currency AND found.valid_from <= asked.day
          AND coalesce(found.valid_to >= asked.day, true)
        ORDER BY found.distance, found.valid_from DESC LIMIT 1
    ) AS nearest
""")

_HOLDS = text("""
    SELECT asked.nr, array_agg(hold.kind) AS kinds
    FROM unnest(CAST(:customers AS bigint[]), CAST(:days AS date[])) WITH ORDINALITY AS asked (customer_id, day, nr)
    JOIN hold ON hold.customer_id = asked.customer_id AND hold.valid_from <= asked.day
             AND coalesce(hold.valid_to >= asked.day, true)
    GROUP BY asked.nr
""")


def agreed_with(connection: Connection, customers: Collection[int]) -> set[int]:
    """Return those of these customers that may have an agreed price: few do."""
    return set(connection.scalars(_AGREED_WITH, {"customers": as_array(customers)}))


def load(
    connection: Connection, prices: Collection[PriceKey], customers: Collection[tuple[int, date]]
) -> Dealings:
    """Return the prices agreed, per base unit in the currency asked for, and the holds open on those days."""
    keys, days = list(prices), list(customers)
    arguments = {
        "customers": as_array(each[0] for each in keys),
        "products": as_array(each[1] for each in keys),
        "currencies": as_array(each[2] for each in keys),
        "days": as_array(each[3] for each in keys),
    }
    agreed = connection.execute(_PRICES, arguments).all() if keys else ()
    held = connection.execute(
        _HOLDS, {"customers": as_array(each[0] for each in days), "days": as_array(each[1] for each in days)}
    ).all()
    return Dealings(
        {keys[row.nr - 1]: row.unit_price for row in agreed},
        {days[row.nr - 1]: frozenset(row.kinds) for row in held},
    )
