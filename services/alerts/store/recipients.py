"""Recipients: the user who gets the alerts about a customer or a rep, locked while a batch spends the day's budget."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, text

NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Recipient:
    """The user alerts go to, and the rep that user is. `is_default`: nobody owns the customer."""

    user_id: int
    rep_id: int
    time_zone: str
    is_default: bool = False


@dataclass(frozen=True, slots=True)
class Recipients:
    """Whom alerts go to, by the customer or the rep they are about."""

    by_customer: Mapping[int, Recipient]
    by_rep: Mapping[int, Recipient]

    def of(self, customer_id: int | None, rep_id: int | None) -> Recipient:
        """The recipient of an alert about this customer, else about this rep."""
        if customer_id is not None:
            return self.by_customer[customer_id]
        if rep_id is None:
            raise ValueError("an alert is about a customer or a rep")
        return self.by_rep[rep_id]


def ensure_users(connection: Connection) -> None:
    """Make sure that there is a default owner, and that every rep is a user."""
    connection.execute(
        text(
            "INSERT INTO rep (external_id, name, is_default_owner)"
            " SELECT :nobody, 'Nobody yet', true WHERE NOT EXISTS (SELECT FROM rep WHERE is_default_owner)"
            " ON CONFLICT DO NOTHING"
        ),
        {"nobody": NOBODY},
    )
    connection.execute(
        text(
            "INSERT INTO \"user\" (name, email, role, rep_id, time_zone) SELECT name, email, 'rep', id, time_zone"
            ' FROM rep WHERE NOT EXISTS (SELECT FROM "user" WHERE "user".rep_id = rep.id) ON CONFLICT DO NOTHING'
        )
    )


_ABOUT = text(
    "SELECT customer_id, rep_id FROM signal WHERE occasion = ANY(:occasions)"
    " UNION SELECT customer_id, NULL FROM sales_order WHERE id = ANY(:orders) AND customer_id IS NOT NULL"
)


def recipients_of(
    connection: Connection, occasions: Sequence[str], order_ids: Sequence[int], day: date
) -> Recipients:
    """Return who gets the alerts about everybody these occasions speak of."""
    about = connection.execute(_ABOUT, {"occasions": list(occasions), "orders": list(order_ids)}).all()
    return Recipients(
        by_customer=owners_of(
            connection, (row.customer_id for row in about if row.customer_id is not None), day
        ),
        by_rep=_reps_themselves(
            connection, (row.rep_id for row in about if row.customer_id is None and row.rep_id is not None)
        ),
    )


def owners_of(connection: Connection, customer_ids: Iterable[int], day: date) -> Mapping[int, Recipient]:
    """Return each customer's owner on that day: its own rep, else its territory's, else the default owner."""
    rows = connection.execute(
        text(
            'SELECT customer.id AS customer_id, "user".id AS user_id, "user".rep_id, "user".time_zone,'
            " owner.rep_id IS NULL AS is_default"
            " FROM customer LEFT JOIN LATERAL ("
            "  SELECT rep_id FROM assignment WHERE valid_from <= :day"
            "   AND (customer_id = customer.id OR territory_id = customer.territory_id)"
            "  ORDER BY customer_id IS NULL, valid_from DESC LIMIT 1) owner ON true"
            ' JOIN "user" ON "user".rep_id = coalesce(owner.rep_id, (SELECT id FROM rep WHERE is_default_owner))'
            " WHERE customer.id = ANY(:ids)"
        ),
        {"ids": sorted(set(customer_ids)), "day": day},
    )
    return {
        row.customer_id: Recipient(row.user_id, row.rep_id, row.time_zone, row.is_default) for row in rows
    }


def _reps_themselves(connection: Connection, rep_ids: Iterable[int]) -> Mapping[int, Recipient]:
    rows = connection.execute(
        text('SELECT id, rep_id, time_zone FROM "user" WHERE rep_id = ANY(:ids)'),
        {"ids": sorted(set(rep_ids))},
    )
    return {row.rep_id: Recipient(row.id, row.rep_id, row.time_zone) for row in rows}


def lock(connection: Connection, recipients: Recipients) -> None:
    """Hold these users until the transaction ends, always in the same order: their budgets are ours alone."""
    users = {each.user_id for each in (*recipients.by_customer.values(), *recipients.by_rep.values())}
    connection.execute(
        text('SELECT id FROM "user" WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE'),
        {"ids": sorted(users)},
    )
