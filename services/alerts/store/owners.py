"""This file finds who looks after a customer, and keeps two workers from spending one rep's budget."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, text

NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Owner:
    """The rep a customer's alerts go to. `is_default`: nobody owns the customer."""

    rep_id: int
    time_zone: str
    is_default: bool


def ensure_default_owner(connection: Connection) -> None:
    """Make sure that what nobody owns is shown to somebody."""
    connection.execute(
        text(
            "INSERT INTO rep (external_id, name, is_default_owner)"
            " SELECT :nobody, 'Nobody yet', true WHERE NOT EXISTS (SELECT FROM rep WHERE is_default_owner)"
            " ON CONFLICT DO NOTHING"
        ),
        {"nobody": NOBODY},
    )


def owners_of(connection: Connection, customer_ids: Iterable[int], day: date) -> Mapping[int, Owner]:
    """Return each customer's owner on that day: its own rep, else its territory's, else the default owner."""
    rows = connection.execute(
        text(
            "SELECT customer.id AS customer_id, rep.id AS rep_id, rep.time_zone, owner.rep_id IS NULL AS is_default"
            " FROM customer LEFT JOIN LATERAL ("
            "  SELECT rep_id FROM assignment WHERE valid_from <= :day"
            "   AND (customer_id = customer.id OR territory_id = customer.territory_id)"
            "  ORDER BY customer_id IS NULL, valid_from DESC LIMIT 1) owner ON true"
            " JOIN rep ON rep.id = coalesce(owner.rep_id, (SELECT id FROM rep WHERE is_default_owner))"
            " WHERE customer.id = ANY(:ids)"
        ),
        {"ids": sorted(set(customer_ids)), "day": day},
    )
    return {row.customer_id: Owner(row.rep_id, row.time_zone, row.is_default) for row in rows}


def lock_reps(connection: Connection, rep_ids: Iterable[int]) -> None:
    """Hold these reps until the transaction ends, always in the same order: their budgets are ours alone."""
    connection.execute(
        text("SELECT id FROM rep WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE"),
        {"ids": sorted(set(rep_ids))},
    )


def customers_of(connection: Connection, order_ids: Sequence[int]) -> list[int]:
    """Return the customers these orders, and the signals found in them, speak of."""
    rows = connection.execute(
        text(
            "SELECT customer_id FROM signal WHERE occasion = ANY(:occasions) UNION SELECT customer_id FROM sales_order"
            " WHERE id = ANY(:ids) AND customer_id IS NOT NULL"
        ),
        {"ids": list(order_ids), "occasions": [f"order:{each}" for each in order_ids]},
    )
    return list(rows.scalars())
