"""Operators' notices: drawing them up by another way than the one that fails, and watching for endpoints that fail."""

import logging
from datetime import timedelta
from uuid import uuid4

from sqlalchemy import Connection, text

from services.alerts import notices
from services.alerts.channel import Sending
from services.alerts.notices import Notice
from services.alerts.store.deliveries import NAME
from services.alerts.store.health import ENDPOINT, Endpoint
from shared import tasks

log = logging.getLogger(__name__)

LASTS = timedelta(days=4)

_WAS_TOLD = text(
    "SELECT EXISTS (SELECT FROM delivery WHERE operator_notice IS NOT NULL AND operator_notice->>'about' = :about"
    " AND operator_notice->>'cause' = :cause AND created_at > now() - CAST(:apart AS interval))"
)

_ENDPOINTS = text(
    "SELECT channel, CAST(id AS text) AS recipient, id FROM endpoint WHERE is_for_operators AND state = 'on'"
    " AND CAST(id AS text) <> :failing"
)

_SAVE = text(
    "INSERT INTO delivery (id, channel, recipient, endpoint_id, state, reason, expires_at, operator_notice)"
    " VALUES (:id, :channel, :recipient, :endpoint_id, :state, :reason, now() + :lasts,"
    " jsonb_build_object('about', CAST(:about AS text), 'cause', CAST(:cause AS text),"
    "  'subject', CAST(:subject AS text), 'text', CAST(:text AS text)))"
)


def save_notice(connection: Connection, notice: Notice, about: Endpoint, sending: Sending) -> None:
    """Store a notice for every operator that can be reached another way than the one it is about."""
    channel, endpoint = about
    named = f"{channel}:{endpoint}"
    asked = {"about": named, "cause": notice.cause}
    if notice.apart and connection.scalar(_WAS_TOLD, asked | {"apart": notice.apart}):
        return
    ways = [
        (each.name, operator, None)
        for each in sending.channels.values()
        if each.is_for_users and (each.name, "") != about
        for operator in sending.operators
    ]
    ways += [tuple(row) for row in connection.execute(_ENDPOINTS, {"failing": endpoint})]
    if not ways:
        log.error("%s; nobody can be told another way (TIPOFF_OPERATORS)", notice.subject)
        return
    log.warning("%s", notice.subject)
    ready = []
    for way, recipient, endpoint_id in ways:
        state, reason = sending.state_of(way, recipient)
        delivery_id = uuid4()
        connection.execute(
            _SAVE,
            asked
            | {"id": delivery_id, "channel": way, "recipient": recipient, "endpoint_id": endpoint_id}
            | {
                "state": state,
                "reason": reason,
                "lasts": LASTS,
                "subject": notice.subject,
                "text": notice.text,
            },
        )
        if state == "ready":
            ready.append(str(delivery_id))
    tasks.put(connection, "alerts", "deliver", ready)


_WAITING = (
    " (SELECT count(*) FROM delivery WHERE state = 'ready' AND delivery.channel = health.channel"  # noqa: S608
    f"  AND {ENDPOINT} = health.endpoint) AS waiting"
)

_NEWLY_FAILING = text(
    "UPDATE endpoint_health AS health SET noticed = :name WHERE failing_since < now() - CAST(:after AS interval)"  # noqa: S608
    f" AND coalesce(noticed, '') <> ALL(CAST(:told AS text[])) RETURNING channel, endpoint, last_error, {_WAITING}"
)

_DISABLE = text(
    "UPDATE endpoint SET state = 'off', state_reason = 'it has failed for five days: ' || health.last_error"  # noqa: S608
    " FROM endpoint_health AS health WHERE CAST(endpoint.id AS text) = health.endpoint AND endpoint.state = 'on'"
    " AND health.failing_since < now() - CAST(:after AS interval) AND health.failures >= :failures"
    f" RETURNING health.channel, health.endpoint, health.last_error, {_WAITING}"
)


def name_of(connection: Connection, endpoint: Endpoint) -> str:
    """What fails, as operators know it: an endpoint's name, else the channel."""
    channel, endpoint_id = endpoint
    named = text(f"SELECT {NAME} FROM endpoint WHERE CAST(id AS text) = :id")  # noqa: S608 - our own
    return (endpoint_id and connection.scalar(named, {"id": endpoint_id})) or channel


def watch(connection: Connection, sending: Sending) -> None:
    """Tell operators of endpoints that have failed for an hour and for a day; switch off those that did for five."""
    names = list(notices.FAILING)
    for place, (name, after) in enumerate(notices.FAILING.items()):
        found = connection.execute(_NEWLY_FAILING, {"name": name, "after": after, "told": names[place:]})
        for row in found.all():
            notice = notices.failing(
                name_of(connection, (row.channel, row.endpoint)),
                row.channel,
                name,
                row.last_error,
                row.waiting,
            )
            save_notice(connection, notice, (row.channel, row.endpoint), sending)
    given = {"after": notices.DISABLED_AFTER, "failures": notices.DISABLED_AFTER_FAILURES}
    for row in connection.execute(_DISABLE, given).all():
        notice = notices.disabled(
            name_of(connection, (row.channel, row.endpoint)), row.last_error, row.waiting
        )
        save_notice(connection, notice, (row.channel, row.endpoint), sending)
