"""The health of endpoints and addresses: the breaker of each endpoint that fails, and addresses that do not exist.

A breaker opens when an endpoint is down, or after ten failures in succession. While it is open nothing is sent there;
then one message asks (half-open), once a minute for a day and every ten minutes after that. The first success closes it
and lets everything go that waited. All workers share it, and a restart forgets nothing.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

Endpoint = tuple[str, str]
"""What fails together: a channel with an endpoint's id, or with "" for whatever serves the channel to users."""

ENDPOINT = "coalesce(CAST(delivery.endpoint_id AS text), '')"
"""The second part of it, of a delivery."""

FAILURES_IN_SUCCESSION = 10

# A minute, and ten after a day of failing.
_PAUSE = "CASE WHEN now() - health.failing_since < interval '1 day' THEN interval '1 min' ELSE interval '10 min' END"

_GIVEN = (
    "unnest(CAST(:channels AS text[]), CAST(:endpoints AS text[]), CAST(:failures AS int[]),"
    " CAST(:errors AS text[]), CAST(:down AS boolean[])) AS given (channel, endpoint, failures, last_error, is_down)"
)


@dataclass(slots=True)
class Failing:
    """What a batch saw of an endpoint that fails."""

    failures: int = 0
    last_error: str = ""
    is_down: bool = False


_PROBE = text(
    f"UPDATE endpoint_health AS health SET open_until = now() + {_PAUSE}"  # noqa: S608 - our own
    " FROM unnest(CAST(:channels AS text[]), CAST(:endpoints AS text[])) AS asked (channel, endpoint)"
    " WHERE health.channel = asked.channel AND health.endpoint = asked.endpoint AND health.open_until <= now()"
    " RETURNING health.channel, health.endpoint"
)

_FAIL = text(
    "INSERT INTO endpoint_health AS health (channel, endpoint, failing_since, failures, last_error, open_until)"  # noqa: S608
    " SELECT channel, endpoint, now(), failures, last_error,"
    "  CASE WHEN is_down OR failures >= :limit THEN now() + interval '1 min' END"
    f" FROM {_GIVEN} ORDER BY channel, endpoint ON CONFLICT (channel, endpoint) DO UPDATE SET"
    " failures = health.failures + excluded.failures, last_error = excluded.last_error,"
    " open_until = CASE WHEN excluded.open_until IS NOT NULL OR health.failures + excluded.failures >= :limit"
    f"  THEN now() + {_PAUSE} ELSE health.open_until END"
    " RETURNING channel, endpoint, open_until"
)

_SUCCEED = text(
    "WITH closed AS (DELETE FROM endpoint_health AS health"  # noqa: S608
    "  USING unnest(CAST(:channels AS text[]), CAST(:endpoints AS text[])) AS asked (channel, endpoint)"
    "  WHERE health.channel = asked.channel AND health.endpoint = asked.endpoint"
    "  RETURNING health.channel, health.endpoint, health.open_until)"
    " UPDATE task SET run_at = now() FROM delivery JOIN closed ON closed.channel = delivery.channel"
    f"  AND closed.endpoint = {ENDPOINT}"
    " WHERE closed.open_until IS NOT NULL AND delivery.state = 'ready' AND delivery.due_at <= now()"
    " AND task.kind = 'deliver' AND task.key = CAST(delivery.id AS text) AND task.state = 'ready'"
)


def claim_probes(connection: Connection, endpoints: Collection[Endpoint]) -> set[Endpoint]:
    """Return those of these endpoints whose breaker is half-open and that this transaction may ask, by one message."""
    if not endpoints:
        return set()
    return {(row.channel, row.endpoint) for row in connection.execute(_PROBE, _columns(endpoints))}


def note_failures(
    connection: Connection, failing: Mapping[Endpoint, Failing]
) -> dict[Endpoint, datetime | None]:
    """Count failures. Returns until when the breaker of each is open; None: it is closed."""
    if not failing:
        return {}
    rows = connection.execute(
        _FAIL,
        _columns(failing)
        | {
            "failures": [each.failures for each in failing.values()],
            "errors": [each.last_error for each in failing.values()],
            "down": [each.is_down for each in failing.values()],
            "limit": FAILURES_IN_SUCCESSION,
        },
    )
    return {(row.channel, row.endpoint): row.open_until for row in rows}


def note_successes(connection: Connection, endpoints: Collection[Endpoint]) -> None:
    """Forget the failures of endpoints that answer again, and let go what waited for a breaker to close."""
    if endpoints:
        connection.execute(_SUCCEED, _columns(endpoints))


@dataclass(frozen=True, slots=True)
class Suppression:
    """One address, and what the mail server said of it."""

    channel: str
    address: str
    reason: str
    since: datetime


def suppress(connection: Connection, channel: str, address: str, reason: str) -> None:
    """Send nothing more to an address that does not exist."""
    connection.execute(
        text(
            "INSERT INTO suppressed_address (channel, address, reason) VALUES (:channel, lower(:address), :reason)"
            " ON CONFLICT (channel, address) DO UPDATE SET reason = excluded.reason, since = now()"
        ),
        {"channel": channel, "address": address, "reason": reason},
    )


def all_suppressions(connection: Connection) -> Sequence[Suppression]:
    """Return the list, by address."""
    rows = connection.execute(
        text("SELECT channel, address, reason, since FROM suppressed_address ORDER BY address, channel")
    )
    return [Suppression(**row) for row in rows.mappings()]


def unsuppress(connection: Connection, address: str) -> bool:
    """Take an address off the list. False when it is not on it."""
    removed = connection.execute(
        text("DELETE FROM suppressed_address WHERE address = lower(:address) RETURNING address"),
        {"address": address},
    )
    return bool(removed.all())


def _columns(endpoints: Iterable[Endpoint]) -> dict[str, list[object]]:
    known = list(endpoints)
    return {"channels": [each[0] for each in known], "endpoints": [each[1] for each in known]}
