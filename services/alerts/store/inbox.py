"""The inbox: its lists, one alert by its id, and what reps do with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Connection, text

from services.alerts.store import dismissals
from services.alerts.store.record import Change, of_alert, record_change

LONGEST_LIST = 200

_AWAKE = "(alert.state = 'open' OR (alert.state = 'snoozed' AND alert.snoozed_until <= :now))"
VIEWS = {
    "to-call": f"alert.notified_at IS NOT NULL AND {_AWAKE}",
    "not-sent": f"alert.notified_at IS NULL AND {_AWAKE}",
    "snoozed": "alert.state = 'snoozed' AND alert.snoozed_until > :now",
    "done": "alert.state IN ('done', 'dismissed', 'withdrawn')",
}
"""The four views of the inbox, each by what makes an alert stand in it."""

_ORDER = {
    "to-call": "alert.severity = 'urgent' DESC, alert.value DESC, alert.id",
    "not-sent": "alert.value DESC, alert.id",
    "snoozed": "alert.snoozed_until, alert.id",
    "done": "alert.closed_at DESC NULLS LAST, alert.id DESC",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One alert as a line of the list. `alike`: how many alerts of the list share its kind and product."""

    public_id: UUID
    customer: str
    rep: str
    is_default_owner: bool
    headline: str
    margin: Decimal
    is_estimated: bool
    points: int
    alike: int
    verdict: str
    reason: str
    state: str
    severity: str
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
    recipient_id: int
    recipient: str
    time_zone: str
    customer: str
    close_reason: str | None = None


def rows_of(connection: Connection, view: str, rep: str | None, now: datetime) -> list[Row]:
    """Return one view, the most valuable first; `rep` is a rep's outside id."""
    found = connection.execute(
        text(
            "SELECT alert.public_id, coalesce(customer.name, 'Customer ' || customer.id, about.name) AS customer,"  # noqa: S608
            ' "user".name AS rep,'
            " alert.is_default_owner, best.headline, best.stake AS margin, best.is_estimated, best.points,"
            " CASE WHEN group_key IS NULL THEN 1 ELSE count(*) OVER (PARTITION BY group_key) END AS alike,"
            " alert.verdict, alert.reason, alert.state, alert.severity, alert.as_of, alert.amended_at,"
            " alert.snoozed_until, alert.close_reason,"
            ' "user".time_zone FROM alert JOIN "user" ON "user".id = alert.recipient_id'
            ' LEFT JOIN rep ON rep.id = "user".rep_id LEFT JOIN rep AS about ON about.id = alert.about_rep_id'
            " LEFT JOIN customer ON customer.id = alert.customer_id"
            " JOIN LATERAL (SELECT headline, stake,"
            "   assumed_margin AS is_estimated,"
            "   coalesce(nullif(count(rank) OVER (), 0), count(*) OVER ()) AS points"
            "  FROM decision JOIN signal ON signal.id = signal_id WHERE decision.alert_id = alert.id"
            "  ORDER BY signal.withdrawn_at IS NOT NULL, rank NULLS LAST, signal.value DESC LIMIT 1) best ON true"
            f" WHERE {VIEWS[view]} AND (CAST(:rep AS text) IS NULL OR rep.external_id = :rep)"
            f" ORDER BY {_ORDER[view]} LIMIT :longest"
        ),
        {"rep": rep, "now": now, "longest": LONGEST_LIST},
    )
    return [Row(**row) for row in found.mappings()]


def counts(connection: Connection, rep: str | None, now: datetime) -> dict[str, int]:
    """Return how many alerts stand in each view."""
    columns = ", ".join(f'count(*) FILTER (WHERE {fits}) AS "{view}"' for view, fits in VIEWS.items())
    row = connection.execute(
        text(
            f'SELECT {columns} FROM alert JOIN "user" ON "user".id = alert.recipient_id'  # noqa: S608
            ' LEFT JOIN rep ON rep.id = "user".rep_id'
            " WHERE CAST(:rep AS text) IS NULL OR rep.external_id = :rep"
        ),
        {"rep": rep, "now": now},
    ).one()
    return dict(zip(VIEWS, row, strict=True))


def reps(connection: Connection) -> list[Rep]:
    """Return everybody who has ever had an alert, by name."""
    found = connection.execute(
        text(
            "SELECT external_id AS id, name FROM rep WHERE EXISTS ("
            '  SELECT FROM alert JOIN "user" ON "user".id = alert.recipient_id WHERE "user".rep_id = rep.id)'
            " ORDER BY name, external_id"
        )
    )
    return [Rep(**row) for row in found.mappings()]


_FIND = (
    'SELECT alert.id, alert.state, alert.recipient_id, "user".name AS recipient, "user".time_zone, alert.close_reason,'
    " coalesce(customer.name, 'Customer ' || customer.id, about.name) AS customer"
    ' FROM alert JOIN "user" ON "user".id = alert.recipient_id LEFT JOIN rep AS about ON about.id = about_rep_id'
    " LEFT JOIN customer ON customer.id = alert.customer_id"
    " WHERE public_id = :public_id"
)


def find(connection: Connection, public_id: UUID, *, hold: bool = False) -> Found | None:
    """Return the alert with this public id; `hold` locks it until the transaction ends."""
    query = text(f"{_FIND} FOR UPDATE OF alert" if hold else _FIND)
    found = connection.execute(query, {"public_id": public_id}).mappings().one_or_none()
    return Found(**found) if found else None


@dataclass(frozen=True, slots=True)
class AlertAction:
    """What a person does with an alert: called, won, lost, snooze, dismiss or undo; the state it comes to and why.

    `dismissal`: the word of the reason why it is not useful (services/alerts/dismissals.py).
    """

    action: str
    state: str
    reason: str | None = None
    until: datetime | None = None
    dismissal: str | None = None


def act(
    connection: Connection,
    alert_id: int,
    done: AlertAction,
    now: datetime,
    *,
    by: str,
    actor_id: int | None = None,
) -> None:
    """Store what was done and keep a record of it. `actor_id`: the user who acted, None while nobody signs in."""
    is_closed = done.state in ("done", "dismissed")
    reason = done.reason
    if done.action == "undo":
        dismissals.undo(connection, alert_id, now)
    if done.dismissal is not None:
        reason = f"{done.reason}. {dismissals.dismiss(connection, alert_id, done.dismissal, now).told(now)}"
    connection.execute(
        text(
            "UPDATE alert SET state = :state, snoozed_until = :until, close_reason = :reason, closed_at = :closed_at"
            " WHERE id = :id"
        ),
        {
            "id": alert_id,
            "state": done.state,
            "until": done.until,
            "reason": reason if is_closed else None,
            "closed_at": now if is_closed else None,
        },
    )
    connection.execute(
        text(
            "INSERT INTO feedback (alert_id, action, reason, until, by, actor_id)"
            " VALUES (:alert, :action, :reason, :until, :by, :actor_id)"
        ),
        {
            "alert": alert_id,
            "action": done.action,
            "reason": done.reason,
            "until": done.until,
            "by": by,
            "actor_id": actor_id,
        },
    )
    state = "notified" if done.state == "open" else done.state
    change = Change(state, now, actor=by, actor_id=actor_id, reason=done.reason)
    record_change(connection, of_alert(connection, alert_id), change)


def list_recent(connection: Connection, limit: int) -> Sequence[tuple[int, UUID]]:
    """Return the newest alerts' ids, newest first."""
    found = connection.execute(
        text("SELECT id, public_id FROM alert WHERE state <> 'withdrawn' ORDER BY id DESC LIMIT :limit"),
        {"limit": limit},
    )
    return [(row.id, row.public_id) for row in found]
