"""This file reads the inbox, and stores what reps do with their alerts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Connection, text

LONGEST_LIST = 200

_SAID = "(alert.verdict = 'send' OR alert.reason = 'shadow_mode')"
_AWAKE = "(alert.state = 'open' OR (alert.state = 'snoozed' AND alert.snoozed_until <= :now))"
TABS = {
    "to-call": f"{_SAID} AND {_AWAKE}",
    "kept": f"NOT {_SAID} AND {_AWAKE}",
    "snoozed": "alert.state = 'snoozed' AND alert.snoozed_until > :now",
    "done": "alert.state IN ('done', 'dismissed', 'withdrawn')",
}
"""The four piles of the inbox, each by what makes an alert lie there."""

_ORDER = {
    "to-call": "alert.is_urgent DESC, alert.value DESC, alert.id",
    "kept": "alert.value DESC, alert.id",
    "snoozed": "alert.snoozed_until, alert.id",
    "done": "alert.closed_at DESC NULLS LAST, alert.id DESC",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One alert as a line of the list."""

    public_id: UUID
    customer: str
    rep: str
    is_default_owner: bool
    headline: str
    stake: Decimal
    probability: float
    points: int
    verdict: str
    reason: str
    state: str
    is_urgent: bool
    as_of: datetime
    amended_at: datetime | None
    snoozed_until: datetime | None
    close_reason: str | None
    time_zone: str


@dataclass(frozen=True, slots=True)
class Rep:
    """A rep to filter by."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Found:
    """An alert by its public id, with what acting on it needs."""

    id: int
    state: str
    time_zone: str
    customer: str


def rows_of(connection: Connection, tab: str, rep: str | None, now: datetime) -> list[Row]:
    """Return one pile, the most valuable first; `rep` is a rep's outside id."""
    found = connection.execute(
        text(
            "SELECT alert.public_id, coalesce(customer.name, 'Customer ' || customer.id) AS customer,"  # noqa: S608
            " rep.name AS rep, alert.is_default_owner, best.headline, best.stake, best.probability, best.points,"
            " alert.verdict, alert.reason, alert.state, alert.is_urgent, alert.as_of, alert.amended_at,"
            " alert.snoozed_until, alert.close_reason, rep.time_zone"
            " FROM alert JOIN customer ON customer.id = alert.customer_id JOIN rep ON rep.id = alert.rep_id"
            " JOIN LATERAL (SELECT headline, stake, probability,"
            "   coalesce(nullif(count(rank) OVER (), 0), count(*) OVER ()) AS points"
            "  FROM decision JOIN signal ON signal.id = signal_id WHERE decision.alert_id = alert.id"
            "  ORDER BY signal.withdrawn_at IS NOT NULL, rank NULLS LAST, signal.value DESC LIMIT 1) best ON true"
            f" WHERE {TABS[tab]} AND (CAST(:rep AS text) IS NULL OR rep.external_id = :rep)"
            f" ORDER BY {_ORDER[tab]} LIMIT :longest"
        ),
        {"rep": rep, "now": now, "longest": LONGEST_LIST},
    )
    return [Row(**row) for row in found.mappings()]


def counts(connection: Connection, rep: str | None, now: datetime) -> dict[str, int]:
    """Return how many alerts lie on each pile."""
    columns = ", ".join(f'count(*) FILTER (WHERE {fits}) AS "{tab}"' for tab, fits in TABS.items())
    row = connection.execute(
        text(
            f"SELECT {columns} FROM alert JOIN rep ON rep.id = alert.rep_id"  # noqa: S608
            " WHERE CAST(:rep AS text) IS NULL OR rep.external_id = :rep"
        ),
        {"rep": rep, "now": now},
    ).one()
    return dict(zip(TABS, row, strict=True))


def reps(connection: Connection) -> list[Rep]:
    """Return everybody who has ever had an alert, by name."""
    found = connection.execute(
        text(
            "SELECT external_id AS id, name FROM rep WHERE EXISTS (SELECT FROM alert WHERE rep_id = rep.id)"
            " ORDER BY name, external_id"
        )
    )
    return [Rep(**row) for row in found.mappings()]


_FIND = (
    "SELECT alert.id, alert.state, rep.time_zone, coalesce(customer.name, 'Customer ' || customer.id) AS customer"
    " FROM alert JOIN rep ON rep.id = alert.rep_id JOIN customer ON customer.id = alert.customer_id"
    " WHERE public_id = :public_id"
)


def find(connection: Connection, public_id: UUID, *, hold: bool = False) -> Found | None:
    """Return the alert with this public id; `hold` locks it until the transaction ends."""
    query = text(f"{_FIND} FOR UPDATE OF alert" if hold else _FIND)
    found = connection.execute(query, {"public_id": public_id}).mappings().one_or_none()
    return Found(**found) if found else None


@dataclass(frozen=True, slots=True)
class Act:
    """What a rep does with an alert: the state it comes to, why, and until when."""

    action: str
    state: str
    reason: str | None = None
    until: datetime | None = None


def act(connection: Connection, alert_id: int, done: Act, by: str, now: datetime) -> None:
    """Store what was done and keep a record of it."""
    is_closed = done.state in ("done", "dismissed")
    connection.execute(
        text(
            "UPDATE alert SET state = :state, snoozed_until = :until, close_reason = :reason, closed_at = :closed_at"
            " WHERE id = :id"
        ),
        {
            "id": alert_id,
            "state": done.state,
            "until": done.until,
            "reason": done.reason if is_closed else None,
            "closed_at": now if is_closed else None,
        },
    )
    connection.execute(
        text(
            "INSERT INTO feedback (alert_id, action, reason, until, by)"
            " VALUES (:alert, :action, :reason, :until, :by)"
        ),
        {"alert": alert_id, "action": done.action, "reason": done.reason, "until": done.until, "by": by},
    )


def list_recent(connection: Connection, limit: int) -> Sequence[tuple[int, UUID]]:
    """Return the newest alerts' ids, newest first."""
    found = connection.execute(
        text("SELECT id, public_id FROM alert WHERE state <> 'withdrawn' ORDER BY id DESC LIMIT :limit"),
        {"limit": limit},
    )
    return [(row.id, row.public_id) for row in found]
