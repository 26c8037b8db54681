"""This file writes the deliveries an alert causes: one row per recipient, and why one is not to be sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, text

EXPIRES_AFTER = "24 hours"


@dataclass(frozen=True, slots=True)
class Sending:
    """How this installation sends: to nobody yet (shadow), or to those on the list of recipients."""

    is_shadow: bool
    recipients: tuple[str, ...]
    mails: bool

    def allows(self, address: str) -> bool:
        """Whether an address is on the list: itself, its @domain, or * for everyone."""
        own = address.casefold()
        domain = "@" + own.rpartition("@")[2]
        return any(each == "*" or each.casefold() in (own, domain) for each in self.recipients)


_SAVE_DELIVERIES = text(
    "WITH said AS (SELECT alert.id AS alert_id, alert.rep_id, 1 + coalesce((SELECT max(notice) FROM delivery"
    "   WHERE alert_id = alert.id), 0) AS notice FROM alert WHERE alert.id = ANY(:alerts)),"
    " wanted AS ("
    "  SELECT alert_id, notice, 'email' AS channel, rep.email AS recipient, CAST(NULL AS uuid) AS endpoint_id"
    "   FROM said JOIN rep ON rep.id = said.rep_id WHERE rep.email IS NOT NULL"
    "  UNION ALL SELECT alert_id, notice, endpoint.channel, endpoint.address, endpoint.id"
    "   FROM said JOIN endpoint ON endpoint.state = 'on' AND coalesce(endpoint.rep_id, said.rep_id) = said.rep_id)"
    " INSERT INTO delivery (alert_id, notice, channel, recipient, endpoint_id, state, expires_at)"
    " SELECT alert_id, notice, channel, recipient, endpoint_id, 'new', now() + CAST(:expires_after AS interval)"
    " FROM wanted ON CONFLICT DO NOTHING RETURNING id, channel, recipient"
)


def save_deliveries(connection: Connection, alert_ids: Sequence[int], sending: Sending) -> list[UUID]:
    """One row per alert and recipient, with the id it keeps for ever; those not to be sent say why."""
    if not alert_ids:
        return []
    rows = connection.execute(
        _SAVE_DELIVERIES, {"alerts": list(alert_ids), "expires_after": EXPIRES_AFTER}
    ).all()
    states = [state_of(row.channel, row.recipient, sending) for row in rows]
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


def state_of(channel: str, recipient: str, sending: Sending) -> tuple[str, str | None]:
    """What a delivery that waits is, as this installation sends now, and why it is not to be sent, if so."""
    if sending.is_shadow:
        return "shadow", "shadow mode: nothing is sent"
    if channel == "email" and not sending.mails:
        return "not_allowed", "no mail server is set"
    if channel == "email" and not sending.allows(recipient):
        return "not_allowed", "the address is not on the list of recipients"
    return "ready", None
