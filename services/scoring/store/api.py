"""What the web service shows: the current models, signals."""

from dataclasses import dataclass
from datetime import datetime
from math import nan
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from shared.db import DATABASE_ERRORS, Database

_SHOWN = """
    SELECT public_id AS id, kind, customer_ref.external_id AS customer, customer_ref.source, subject, headline,
           probability, basis, value, low, high, stake, horizon_days, evidence, as_of, expires_at, is_proven,
           unproven_reason, withdrawn_at, withdrawn_reason, detector_version
    FROM signal LEFT JOIN LATERAL (
        SELECT source, external_id FROM customer_ref WHERE customer_ref.customer_id = signal.customer_id
        ORDER BY source, external_id LIMIT 1
    ) customer_ref ON true
"""

_SIGNALS = text(f"""{_SHOWN}
    WHERE CAST(:customer AS text) IS NULL
       OR signal.customer_id IN (SELECT customer_id FROM customer_ref WHERE external_id = :customer)
    ORDER BY signal.id DESC LIMIT :most
""")  # noqa: S608 (our own words)

_CUSTOMERS = text("""
    SELECT customer.id, customer.merged_into_id FROM customer_ref JOIN customer ON customer.id = customer_id
    WHERE external_id = :name AND source = coalesce(:source, source)
""")

_OF_CUSTOMERS = text(f"""{_SHOWN}
    WHERE signal.customer_id = ANY(:ids)
      AND (CAST(:before AS uuid) IS NULL OR signal.id < (SELECT id FROM signal WHERE public_id = :before))
    ORDER BY signal.id DESC LIMIT :most
""")  # noqa: S608 (our own words)


def fitted_at(database: Database, model: str) -> float:
    """Return when a model was last fitted, in seconds since 1970; 0: never; nan while the database is away."""
    try:
        with database.autocommit() as connection:
            moment = connection.scalar(
                text("SELECT finished_at FROM model_run WHERE state = 'current' AND model = :model"),
                {"model": model},
            )
    except DATABASE_ERRORS:
        return nan
    return moment.timestamp() if moment is not None else 0


def models(database: Database, business_now: datetime) -> list[dict[str, Any]]:
    """Return the current run of every model: until when its facts go, how old it is, how good."""
    with database.autocommit() as connection:
        rows = connection.execute(
            text(
                "SELECT model, as_of, version, grade, finished_at FROM model_run WHERE state = 'current' ORDER BY model"
            )
        )
        return [
            {**row, "age_seconds": (business_now - row["as_of"]).total_seconds()} for row in rows.mappings()
        ]


def signals(database: Database, customer: str | None, most: int) -> list[dict[str, Any]]:
    """Return the newest signals, of one customer when asked."""
    with database.autocommit() as connection:
        rows = connection.execute(_SIGNALS, {"customer": customer, "most": most})
        return [dict(row) for row in rows.mappings()]


def customer_names(connection: Connection) -> dict[int, str]:
    """Return what to call each customer, by our id: the name, else an id of a shop."""
    rows = connection.execute(
        text(
            "SELECT customer.id, coalesce(name, min(customer_ref.external_id), customer.id::text) AS name FROM customer"
            " LEFT JOIN customer_ref ON customer_ref.customer_id = customer.id GROUP BY customer.id, name"
        )
    )
    return {row.id: row.name for row in rows}


@dataclass(frozen=True, slots=True)
class CustomerName:
    """A customer as upstream names it; the same id of two sources are two customers, unless one is asked for."""

    external_id: str
    source: str | None = None


def customer_signals(
    database: Database, customer: CustomerName, before: UUID | None, most: int
) -> tuple[list[dict[str, Any]], UUID | None] | None:
    """Return the newest signals of a customer found before that one, and where more begin; None: nobody is so named."""
    with database.autocommit() as connection:
        named = connection.execute(
            _CUSTOMERS, {"name": customer.external_id, "source": customer.source}
        ).all()
        if not named:
            return None
        ids = sorted({each for row in named for each in row if each is not None})
        found = connection.execute(_OF_CUSTOMERS, {"ids": ids, "before": before, "most": most + 1})
        rows = [dict(row) for row in found.mappings()]
    return rows[:most], rows[most - 1]["id"] if len(rows) > most else None
