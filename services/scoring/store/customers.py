"""Customers, held by the worker that applies their orders."""

from collections.abc import Sequence

from sqlalchemy import Connection, text

from services.scoring.facts import CustomerFacts
from services.scoring.store.rows import as_array


def lock_customers(connection: Connection, ids: Sequence[int]) -> dict[int, CustomerFacts]:
    """Return these customers, held until commit: their state is rebuilt by one worker at a time."""
    rows = connection.execute(
        text(
            "SELECT id, name, status, is_internal, segment, channel FROM customer"
            " WHERE id = ANY(CAST(:ids AS bigint[])) ORDER BY id FOR NO KEY UPDATE"
        ),
        {"ids": as_array(ids)},
    ).all()
    return {row[0]: CustomerFacts(*row) for row in rows}
