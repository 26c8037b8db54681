"""Addresses that do not exist: nothing is sent there until somebody takes them off the list."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text


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


def remove(connection: Connection, address: str) -> bool:
    """Take an address off the list. False when it is not on it."""
    removed = connection.execute(
        text("DELETE FROM suppressed_address WHERE address = lower(:address) RETURNING address"),
        {"address": address},
    )
    return bool(removed.all())
