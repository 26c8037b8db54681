"""What the web service shows: the current models, signals."""

from datetime import datetime
from math import nan
from typing import Any

from sqlalchemy import Connection, text

from shared.db import DATABASE_ERRORS, Database

_SIGNALS = text("""
    SELECT public_id AS id, kind, customer_ref.external_id AS customer, customer_ref.source, subject, headline,
           probability, basis, value, low, high, stake, horizon_days, evidence, as_of, expires_at, is_proven,
           unproven_reason, withdrawn_at, withdrawn_reason, detector_version
    FROM signal LEFT JOIN LATERAL (
        SELECT source, external_id FROM customer_ref WHERE customer_ref.customer_id = signal.customer_id
        ORDER BY source, external_id LIMIT 1
    ) customer_ref ON true
    WHERE CAST(:customer AS text) IS NULL
       OR signal.customer_id IN (SELECT customer_id FROM customer_ref WHERE external_id = :customer)
    ORDER BY signal.id DESC LIMIT :most
""")


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
