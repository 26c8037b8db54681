"""Endpoints webhooks go to, and pausing all sending; every change leaves an audit row."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from uuid import UUID

from sqlalchemy import Connection, text

from services.alerts.store.deliveries import PAUSED
from services.alerts.store.unsent import resend_to_endpoint


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Somewhere alerts are sent. `rep` None: every rep's alerts."""

    id: UUID
    channel: str
    address: str
    rep: str | None
    secret_number: int
    state: str
    state_reason: str | None


@dataclass(frozen=True, slots=True)
class Use:
    """What an endpoint is for. `on_unknown`: a delivery that may have arrived is tried again (retry), or held (hold).

    `is_for_operators`: it hears what goes wrong with deliveries, and of no alerts.
    """

    on_unknown: str = "retry"
    is_for_operators: bool = False


DEFAULT_USE = Use()

_COLUMNS = (
    "SELECT endpoint.id, channel, address, rep.external_id AS rep, secret_number, state, state_reason"
    " FROM endpoint LEFT JOIN rep ON rep.id = rep_id"
)


def all_endpoints(connection: Connection) -> Sequence[Endpoint]:
    """Return every endpoint, the oldest first."""
    rows = connection.execute(text(f"{_COLUMNS} ORDER BY endpoint.created_at, endpoint.id")).mappings()
    return [Endpoint(**row) for row in rows]


def by_address(connection: Connection, address: str) -> Endpoint | None:
    """Return the endpoint with this address or id."""
    row = connection.execute(
        text(f"{_COLUMNS} WHERE address = :address OR endpoint.id::text = :address"), {"address": address}
    ).mappings()
    found = row.one_or_none()
    return Endpoint(**found) if found else None


def add(connection: Connection, channel: str, address: str, rep: str | None, use: Use = DEFAULT_USE) -> bool:
    """Store an endpoint, or switch a known one on again and send what it missed. False when there is no such rep."""
    rep_id = None
    if rep is not None:
        rep_id = connection.scalar(text("SELECT id FROM rep WHERE external_id = :rep"), {"rep": rep})
        if rep_id is None:
            return False
    endpoint_id = connection.execute(
        text(
            "INSERT INTO endpoint (channel, address, rep_id, on_unknown, is_for_operators)"
            " VALUES (:channel, :address, :rep, :on_unknown, :is_for_operators)"
            " ON CONFLICT (channel, address) DO UPDATE SET state = 'on', state_reason = NULL, rep_id = excluded.rep_id,"
            " on_unknown = excluded.on_unknown, is_for_operators = excluded.is_for_operators RETURNING id"
        ),
        {"channel": channel, "address": address, "rep": rep_id} | asdict(use),
    ).scalar_one()
    connection.execute(
        text("DELETE FROM endpoint_health WHERE endpoint = CAST(:id AS text)"), {"id": str(endpoint_id)}
    )
    resend_to_endpoint(connection, endpoint_id)
    _note(connection, "add endpoint", f"{channel} {address}")
    return True


def rotate(connection: Connection, endpoint: Endpoint) -> int:
    """Give an endpoint its next secret; the one before stays valid until the next rotation. Returns its number."""
    number = connection.execute(
        text("UPDATE endpoint SET secret_number = secret_number + 1 WHERE id = :id RETURNING secret_number"),
        {"id": endpoint.id},
    ).scalar_one()
    _note(connection, "rotate endpoint", endpoint.address)
    return int(number)


def switch_off(connection: Connection, endpoint: Endpoint) -> None:
    """Send nothing more there. The row stays: deliveries refer to it."""
    connection.execute(
        text("UPDATE endpoint SET state = 'off', state_reason = 'removed by an operator' WHERE id = :id"),
        {"id": endpoint.id},
    )
    _note(connection, "remove endpoint", endpoint.address)


def set_paused(connection: Connection, *, paused: bool) -> None:
    """Pause or resume sending: while paused, deliveries wait and everything else goes on."""
    connection.execute(
        text(
            "INSERT INTO control (name, value, changed_by) VALUES (:name, to_jsonb(CAST(:paused AS boolean)),"
            " 'command')"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value, changed_at = now(), changed_by = 'command'"
        ),
        {"name": PAUSED, "paused": paused},
    )
    _note(connection, "pause sending" if paused else "resume sending", "all channels")


def release_waiting(connection: Connection) -> None:
    """Let deliveries that waited for the pause to end go at once."""
    connection.execute(
        text(
            "UPDATE task SET run_at = now() WHERE queue = 'alerts' AND kind = 'deliver' AND state = 'ready'"
            " AND error = 'sending is paused'"
        )
    )


def waiting(connection: Connection) -> int:
    """Return how many deliveries wait to be sent."""
    return int(connection.scalar(text("SELECT count(*) FROM delivery WHERE state = 'ready'")) or 0)


def _note(connection: Connection, action: str, subject: str) -> None:
    connection.execute(
        text("INSERT INTO audit (actor, action, object) VALUES ('command', :action, :subject)"),
        {"action": action, "subject": subject},
    )
