"""Endpoints, their addresses sealed, and pausing all sending; every change leaves an audit row."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from sqlalchemy import Connection, text

from services.alerts.store import deliveries
from services.alerts.store.deliveries import NAME, PAUSED, address_place
from services.alerts.store.unsent import Which, note, resend
from shared.sealing import Sealer, is_sealed


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Somewhere alerts are sent. `rep` None: every rep's alerts. `sealed_address`: see `address_of`."""

    id: UUID
    name: str
    channel: str
    sealed_address: str
    sealed_secret: str | None
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


@dataclass(frozen=True, slots=True)
class NewEndpoint:
    """An endpoint to store. `name` None: channel and host. `signing_secret` verifies what the receiver sends us."""

    channel: str
    address: str = field(repr=False)
    rep: str | None = None
    name: str | None = None
    signing_secret: str | None = field(default=None, repr=False)
    use: Use = DEFAULT_USE


class NotStored(Exception):
    """An endpoint cannot be stored as it is; the message says why."""


_COLUMNS = (
    f"SELECT endpoint.id, {NAME} AS name, channel, address AS sealed_address, signing_secret AS sealed_secret,"  # noqa: S608
    " rep.external_id AS rep, secret_number, state, state_reason FROM endpoint LEFT JOIN rep ON rep.id = rep_id"
)


def all_endpoints(connection: Connection) -> Sequence[Endpoint]:
    """Return every endpoint, the oldest first."""
    rows = connection.execute(text(f"{_COLUMNS} ORDER BY endpoint.created_at, endpoint.id")).mappings()
    return [Endpoint(**row) for row in rows]


def find(connection: Connection, asked: str, sealer: Sealer) -> Endpoint | None:
    """Return the endpoint with this name, id or address."""
    rows = connection.execute(
        text(
            f"{_COLUMNS} WHERE {NAME} = :asked OR CAST(endpoint.id AS text) = :asked"
            " OR address_digest = ANY(CAST(:digests AS text[])) OR address = :asked"
            " ORDER BY endpoint.created_at LIMIT 1"
        ),
        {"asked": asked, "digests": sealer.digests(asked)},
    )
    found = rows.mappings().one_or_none()
    return Endpoint(**found) if found else None


def address_of(endpoint: Endpoint, sealer: Sealer) -> str:
    """Return the address of an endpoint. Raises Unsealable."""
    return sealer.open(endpoint.sealed_address, address_place(endpoint.id))


def signing_secret_of(endpoint: Endpoint, sealer: Sealer) -> str | None:
    """Return what verifies what an endpoint's receiver sends us. Raises Unsealable."""
    if endpoint.sealed_secret is None:
        return None
    return sealer.open(endpoint.sealed_secret, _secret_place(endpoint.id))


def add(connection: Connection, new: NewEndpoint, sealer: Sealer) -> UUID:
    """Store an endpoint, or switch a known one on again and send what it missed. Raises NotStored."""
    rep_id = None
    if new.rep is not None:
        rep_id = connection.scalar(text("SELECT id FROM rep WHERE external_id = :rep"), {"rep": new.rep})
        if rep_id is None:
            raise NotStored(f"there is no rep {new.rep!r}")
    known = connection.execute(
        text(
            "SELECT id, name FROM endpoint WHERE channel = :channel"
            " AND (address_digest = ANY(CAST(:digests AS text[])) OR address = :address) FOR UPDATE"
        ),
        {"channel": new.channel, "digests": sealer.digests(new.address), "address": new.address},
    ).one_or_none()
    endpoint_id = known.id if known else uuid4()
    name = new.name or (known and known.name) or _free_name(connection, new.channel, new.address)
    if new.name and _owner_of(connection, new.name) not in (None, endpoint_id):
        raise NotStored(f"another endpoint is named {new.name!r}")
    secret = new.signing_secret and sealer.seal(new.signing_secret, _secret_place(endpoint_id))
    connection.execute(
        text(
            "INSERT INTO endpoint"
            " (id, name, channel, address, address_digest, signing_secret, rep_id, on_unknown, is_for_operators)"
            " VALUES (:id, :name, :channel, :address, :digest, :secret, :rep, :on_unknown, :is_for_operators)"
            " ON CONFLICT (id) DO UPDATE SET state = 'on', state_reason = NULL, name = excluded.name,"
            " address = excluded.address, address_digest = excluded.address_digest,"
            " signing_secret = coalesce(excluded.signing_secret, endpoint.signing_secret), rep_id = excluded.rep_id,"
            " on_unknown = excluded.on_unknown, is_for_operators = excluded.is_for_operators"
        ),
        {
            "id": endpoint_id,
            "name": name,
            "channel": new.channel,
            "address": sealer.seal(new.address, address_place(endpoint_id)),
            "digest": sealer.digests(new.address)[0],
            "secret": secret,
            "rep": rep_id,
        }
        | asdict(new.use),
    )
    connection.execute(
        text("DELETE FROM endpoint_health WHERE endpoint = CAST(:id AS text)"), {"id": str(endpoint_id)}
    )
    resend(connection, Which(states=("dead",), endpoint_id=endpoint_id))
    note(connection, "add endpoint", f"{name} ({endpoint_id})")
    return endpoint_id


def seal_stored(connection: Connection, sealer: Sealer, *, again: bool = False) -> int:
    """Seal what is not sealed yet, or `again` what another key sealed; name what has no name. Returns how many changed.

    Deliveries and the audit that hold an address are given the endpoint's id in its place. Raises Unsealable for what
    none of the keys opens.
    """
    changed = 0
    rows = connection.execute(
        text("SELECT id, channel, name, address, signing_secret FROM endpoint ORDER BY id FOR UPDATE")
    ).all()
    for row in rows:
        if is_sealed(row.address) and (not again or sealer.is_current(row.address)):
            continue
        address = sealer.open(row.address, address_place(row.id))
        secret = row.signing_secret and sealer.open(row.signing_secret, _secret_place(row.id))
        connection.execute(
            text(
                "UPDATE endpoint SET name = :name, address = :address, address_digest = :digest,"
                " signing_secret = :secret WHERE id = :id"
            ),
            {
                "id": row.id,
                "name": row.name or _free_name(connection, row.channel, address),
                "address": sealer.seal(address, address_place(row.id)),
                "digest": sealer.digests(address)[0],
                "secret": secret and sealer.seal(secret, _secret_place(row.id)),
            },
        )
        _forget_address(connection, row.id, address)
        changed += 1
    return changed


def _forget_address(connection: Connection, endpoint_id: UUID, address: str) -> None:
    """Have the endpoint's id stand where its address stood."""
    given = {"id": endpoint_id, "address": address}
    connection.execute(
        text(
            "UPDATE delivery SET recipient = CAST(endpoint_id AS text)"
            " WHERE endpoint_id = :id AND recipient <> CAST(endpoint_id AS text)"
        ),
        given,
    )
    connection.execute(
        text(
            "UPDATE delivery_item SET recipient = delivery.recipient FROM delivery"
            " WHERE delivery.id = delivery_id AND endpoint_id = :id AND delivery_item.recipient <> delivery.recipient"
        ),
        given,
    )
    connection.execute(
        text(
            "UPDATE audit SET object = replace(object, :address, CAST(:id AS text)) WHERE strpos(object, :address) > 0"
        ),
        given,
    )


def _free_name(connection: Connection, channel: str, address: str) -> str:
    """Channel and host, with a number where that name is taken."""
    name = f"{channel} {urlsplit(address).hostname or 'without a host'}"
    number = 1
    while _owner_of(connection, name if number == 1 else f"{name} {number}") is not None:
        number += 1
    return name if number == 1 else f"{name} {number}"


def _owner_of(connection: Connection, name: str) -> UUID | None:
    found: UUID | None = connection.scalar(text("SELECT id FROM endpoint WHERE name = :name"), {"name": name})
    return found


def _secret_place(endpoint_id: UUID) -> str:
    return f"endpoint/{endpoint_id}/signing_secret"


def rotate(connection: Connection, endpoint: Endpoint) -> int:
    """Give an endpoint its next secret; the one before stays valid until the next rotation. Returns its number."""
    number = connection.execute(
        text("UPDATE endpoint SET secret_number = secret_number + 1 WHERE id = :id RETURNING secret_number"),
        {"id": endpoint.id},
    ).scalar_one()
    note(connection, "rotate endpoint", f"{endpoint.name} ({endpoint.id})")
    return int(number)


def switch_off(connection: Connection, endpoint: Endpoint) -> None:
    """Send nothing more there. The row stays: deliveries refer to it."""
    deliveries.switch_off(connection, endpoint.id, "removed by an operator")
    note(connection, "remove endpoint", f"{endpoint.name} ({endpoint.id})")


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
    note(connection, "pause sending" if paused else "resume sending", "all channels")


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
