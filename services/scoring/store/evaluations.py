"""Evaluations of day kinds: when each was last made, and whose orders have changed since."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Connection, text

OVERLAP = timedelta(minutes=1)
"""An order may become visible so long after the moment its row bears: a batch of orders takes its time."""

_SAVE = text(
    "INSERT INTO evaluation (kind, as_of, seen_until) SELECT kind, :as_of, :seen_until"
    " FROM unnest(CAST(:kinds AS text[])) AS asked (kind) ON CONFLICT (kind) DO UPDATE"
    " SET as_of = excluded.as_of, seen_until = excluded.seen_until"
)

# With a customer changes its head office, and the rep of either.
_CHANGED = text("""
    WITH applied AS (
        SELECT DISTINCT customer_id FROM sales_order
        WHERE customer_id IS NOT NULL AND applied_at > (
            SELECT min(seen_until) FROM evaluation WHERE kind = ANY(:kinds)) - CAST(:overlap AS interval)
    ), account AS (
        SELECT DISTINCT coalesce(customer.merged_into_id, customer.id) AS id
        FROM applied JOIN customer ON customer.id = applied.customer_id
    ), changed AS (
        SELECT id FROM account
        UNION
        SELECT coalesce(head.merged_into_id, head.id) FROM account
        JOIN customer ON customer.id = account.id JOIN customer AS head ON head.id = customer.parent_id
    )
    SELECT changed.id AS customer_id, owner.rep_id FROM changed
    JOIN customer ON customer.id = changed.id
    LEFT JOIN LATERAL (
        SELECT rep_id FROM assignment
        WHERE valid_from <= :day AND (customer_id = customer.id OR territory_id = customer.territory_id)
        ORDER BY customer_id IS NULL, valid_from DESC LIMIT 1
    ) AS owner ON true
""")


@dataclass(frozen=True, slots=True)
class Changed:
    """The customers whose orders changed, and their reps."""

    customers: frozenset[int]
    reps: frozenset[int]

    def __bool__(self) -> bool:
        """Is there anybody?"""
        return bool(self.customers)

    def has(self, customer_id: int | None, rep_id: int | None) -> bool:
        """Is what is about the customer, or where there is none about the rep, about one of them?"""
        return rep_id in self.reps if customer_id is None else customer_id in self.customers


def database_now(connection: Connection) -> datetime:
    """Return the database's time, by which orders are applied."""
    now: datetime = connection.execute(text("SELECT now()")).scalar_one()
    return now


def evaluated(connection: Connection) -> frozenset[str]:
    """Return the kinds that have been evaluated before."""
    return frozenset(connection.scalars(text("SELECT kind FROM evaluation")))


def changed(connection: Connection, kinds: Collection[str], day: date) -> Changed:
    """Return whose orders were applied since the last evaluation of any of these kinds; nobody's without one."""
    rows = connection.execute(_CHANGED, {"kinds": list(kinds), "overlap": OVERLAP, "day": day}).all()
    return Changed(
        frozenset(row.customer_id for row in rows),
        frozenset(row.rep_id for row in rows if row.rep_id is not None),
    )


def save(connection: Connection, kinds: Collection[str], as_of: datetime, seen_until: datetime) -> None:
    """Store that these kinds were evaluated at a business time, on what the database held at its own."""
    connection.execute(_SAVE, {"kinds": list(kinds), "as_of": as_of, "seen_until": seen_until})
