"""Writing deliveries: one per alert and address, and why one is not to be sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, text

from services.alerts.channel import Channel, ChannelConfig

EXPIRES_AFTER = timedelta(hours=24)
MAIL = "email"
"""The channel that reaches a user without an endpoint of its own."""


@dataclass(frozen=True, slots=True)
class Sending:
    """How this installation sends: to nobody yet (shadow), or to those on the list of recipients; by which channels."""

    is_shadow: bool
    recipients: tuple[str, ...]
    config: ChannelConfig
    channels: Mapping[str, Channel]

    def allows(self, address: str) -> bool:
        """Whether an address is on the list: itself, its @domain, or * for everyone."""
        own = address.casefold()
        domain = "@" + own.rpartition("@")[2]
        return any(each == "*" or each.casefold() in (own, domain) for each in self.recipients)


_SAVE_DELIVERIES = text(
    'WITH notified AS (SELECT alert.id AS alert_id, "user".email, "user".rep_id,'
    "   1 + coalesce((SELECT max(notice) FROM delivery_item WHERE alert_id = alert.id), 0) AS notice"
    '  FROM alert JOIN "user" ON "user".id = alert.recipient_id WHERE alert.id = ANY(:alerts)),'
    " wanted AS ("
    "  SELECT gen_random_uuid() AS id, alert_id, notice, CAST(:mail AS text) AS channel, email AS recipient,"
    "   CAST(NULL AS uuid) AS endpoint_id FROM notified WHERE email IS NOT NULL"
    "  UNION ALL SELECT gen_random_uuid(), alert_id, notice, endpoint.channel, endpoint.address, endpoint.id"
    "   FROM notified JOIN endpoint ON endpoint.state = 'on'"
    "    AND (endpoint.rep_id IS NULL OR endpoint.rep_id = notified.rep_id)),"
    " made AS (INSERT INTO delivery (id, channel, recipient, endpoint_id, state, send_after, expires_at)"
    "  SELECT id, channel, recipient, endpoint_id, 'new', CAST(:send_after AS timestamptz),"
    "   now() + CAST(:expires_after AS interval) FROM wanted)"
    " INSERT INTO delivery_item (delivery_id, alert_id, notice, channel, recipient)"
    " SELECT id, alert_id, notice, channel, recipient FROM wanted RETURNING delivery_id AS id, channel, recipient"
)


def save_deliveries(
    connection: Connection,
    alert_ids: Sequence[int],
    sending: Sending,
    send_after: datetime | None,
    wait: timedelta,
) -> list[UUID]:
    """Store one delivery per alert and address, with the id it keeps for ever; those not to be sent say why.

    `wait` is how long they are not to be sent yet. Returns those to be sent.
    """
    if not alert_ids:
        return []
    rows = connection.execute(
        _SAVE_DELIVERIES,
        {
            "alerts": list(alert_ids),
            "mail": MAIL,
            "send_after": send_after,
            "expires_after": wait + EXPIRES_AFTER,
        },
    ).all()
    states = [state_of(sending.channels.get(row.channel), row.recipient, sending) for row in rows]
    connection.execute(
        text(
            "UPDATE delivery SET state = given.state, reason = given.reason FROM"
            " unnest(CAST(:ids AS uuid[]), CAST(:states AS text[]), CAST(:reasons AS text[]))"
            "  AS given (id, state, reason) WHERE delivery.id = given.id"
        ),
        {
            "ids": [row.id for row in rows],
            "states": [state for state, _ in states],
            "reasons": [reason for _, reason in states],
        },
    )
    return [row.id for row, (state, _) in zip(rows, states, strict=True) if state == "ready"]


def state_of(channel: Channel | None, recipient: str, sending: Sending) -> tuple[str, str | None]:
    """What a delivery that waits is, as this installation sends now, and why it is not to be sent, if so."""
    if sending.is_shadow:
        return "shadow", "shadow mode: nothing is sent"
    if channel is None:
        return "dead", "no such channel is installed"
    if fault := channel.missing(sending.config):
        return "not_allowed", fault
    if channel.needs_permission and not sending.allows(recipient):
        return "not_allowed", "the address is not on the list of recipients"
    return "ready", None
