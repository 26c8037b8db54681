"""Drawing deliveries up: of one alert, or of several that are gathered for one recipient.

What a day found is one list at seven in the recipient's morning. Of a storm, such as one product mispriced on hundreds
of orders, the first alert goes at once; those that follow wait together, and are one message when the interval is over.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, text

from services.alerts.channel import Sending
from services.alerts.policy import real_delay
from shared import tasks
from shared.clock import real_now

REMINDER_LASTS = timedelta(days=4)
AT_ONCE = 5
"""So many causes a recipient is told of at once within an interval; what follows waits together, whatever its cause."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A message that an alert is to be sent with.

    `wait` is how long it is not sent yet, `lasts` how long it is true: real time, whatever the business clock shows.
    `cause`: what it shares with others of a storm; None: it is sent alone, or with the others of `send_after`.
    """

    alert_id: int
    send_after: datetime | None
    wait: timedelta
    lasts: timedelta
    cause: str | None = None

    @property
    def group_key(self) -> str | None:
        """What gathers it with others for one recipient."""
        return self.cause if self.send_after is None else f"morning:{self.send_after.isoformat()}"


_ADDRESSES = text(
    'WITH notified AS (SELECT alert.id AS alert_id, "user".email, "user".rep_id,'
    "   1 + coalesce((SELECT max(notice) FROM delivery_item WHERE alert_id = alert.id), 0) AS notice"
    '  FROM alert JOIN "user" ON "user".id = alert.recipient_id WHERE alert.id = ANY(:alerts))'
    " SELECT alert_id, notice, channel, email AS recipient, CAST(NULL AS uuid) AS endpoint_id FROM notified"
    "  CROSS JOIN unnest(CAST(:user_channels AS text[])) AS channel WHERE email IS NOT NULL"
    " UNION ALL SELECT alert_id, notice, endpoint.channel, CAST(endpoint.id AS text), endpoint.id FROM notified"
    "  JOIN endpoint ON endpoint.state = 'on' AND NOT endpoint.is_for_operators"
    "   AND (endpoint.rep_id IS NULL OR endpoint.rep_id = notified.rep_id)"
)

# For each draft: a delivery that waits and takes more; how long the last of its cause is past; how many causes the
# recipient was told of within the interval; and the delivery in which a storm of many causes waits.
_GATHERED = text(
    "SELECT asked.place, waiting.id AS waiting, same.ago AS same_ago, several.number, storm.id AS storm"
    " FROM unnest(CAST(:places AS int[]), CAST(:channels AS text[]), CAST(:recipients AS text[]),"
    "  CAST(:keys AS text[])) AS asked (place, channel, recipient, group_key)"
    " LEFT JOIN LATERAL (SELECT id FROM delivery WHERE channel = asked.channel AND recipient = asked.recipient"
    "  AND group_key = asked.group_key AND state = 'ready'"
    "  AND NOT EXISTS (SELECT FROM attempt WHERE delivery_id = delivery.id)"
    "  ORDER BY created_at LIMIT 1 FOR UPDATE SKIP LOCKED) AS waiting ON true"
    " LEFT JOIN LATERAL (SELECT now() - max(due_at) AS ago FROM delivery WHERE channel = asked.channel"
    "  AND recipient = asked.recipient AND group_key = asked.group_key AND due_at > now() - CAST(:apart AS interval))"
    "  AS same ON true"
    " LEFT JOIN LATERAL (SELECT count(DISTINCT group_key) AS number FROM delivery WHERE channel = asked.channel"
    "  AND recipient = asked.recipient AND group_key NOT LIKE 'morning:%' AND group_key <> 'storm'"
    "  AND due_at > now() - CAST(:apart AS interval)) AS several ON true"
    " LEFT JOIN LATERAL (SELECT id FROM delivery WHERE channel = asked.channel AND recipient = asked.recipient"
    "  AND group_key = 'storm' AND state = 'ready'"
    "  AND NOT EXISTS (SELECT FROM attempt WHERE delivery_id = delivery.id)"
    "  ORDER BY created_at LIMIT 1 FOR UPDATE SKIP LOCKED) AS storm ON true ORDER BY asked.place"
)

_SAVE = text(
    "INSERT INTO delivery"
    " (id, channel, recipient, endpoint_id, state, reason, send_after, due_at, expires_at, group_key)"
    " SELECT id, channel, recipient, endpoint_id, state, reason, send_after, now() + wait, now() + lasts, group_key"
    " FROM unnest(CAST(:ids AS uuid[]), CAST(:channels AS text[]), CAST(:recipients AS text[]),"
    "  CAST(:endpoint_ids AS uuid[]), CAST(:states AS text[]), CAST(:reasons AS text[]),"
    "  CAST(:send_afters AS timestamptz[]), CAST(:waits AS interval[]), CAST(:last AS interval[]),"
    "  CAST(:keys AS text[])) AS given (id, channel, recipient, endpoint_id, state, reason, send_after, wait, lasts,"
    "  group_key)"
    " ON CONFLICT (id) DO UPDATE SET expires_at = greatest(delivery.expires_at, excluded.expires_at)"
)

_SAVE_ITEMS = text(
    "INSERT INTO delivery_item (delivery_id, alert_id, notice, channel, recipient)"
    " SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:alert_ids AS bigint[]), CAST(:notices AS smallint[]),"
    "  CAST(:channels AS text[]), CAST(:recipients AS text[]))"
    " ON CONFLICT (delivery_id, alert_id) DO NOTHING"
)

STORM = "storm"
"""The group of what waits together whatever its cause."""


@dataclass(slots=True)
class _Draft:
    """One delivery to one address, and the alerts it is about, each with how many times it was sent."""

    channel: str
    recipient: str
    endpoint_id: UUID | None
    group_key: str | None
    send_after: datetime | None
    wait: timedelta
    lasts: timedelta
    items: dict[int, int] = field(default_factory=dict)
    id: UUID = field(default_factory=uuid4)
    is_new: bool = True


def save_deliveries(
    connection: Connection, notices: Sequence[Notice], sending: Sending
) -> dict[UUID, timedelta]:
    """Store deliveries, each with the id it keeps for ever; those not to be sent have the reason.

    An alert is gathered with others for the same address or has a delivery of its own. Returns those that are new and
    to be sent, each with how long it is to wait.
    """
    by_alert = {each.alert_id: each for each in notices}
    if not by_alert:
        return {}
    user_channels = sorted(each.name for each in sending.channels.values() if each.is_for_users)
    rows = connection.execute(_ADDRESSES, {"alerts": list(by_alert), "user_channels": user_channels}).all()
    drafts = _gathered(connection, _drafts(rows, by_alert), sending.group_interval)
    states = [sending.state_of(each.channel, each.recipient) for each in drafts]
    if drafts:
        _save(connection, drafts, states)
    return {
        each.id: each.wait
        for each, (state, _) in zip(drafts, states, strict=True)
        if state == "ready" and each.is_new
    }


def remind(connection: Connection, alert_id: int, at: datetime, sending: Sending, now: datetime) -> None:
    """Tell of an alert again on the morning it was put off to, in that morning's list."""
    wait = real_delay(at, now, sending.clock_pace)
    notice = Notice(alert_id, send_after=at, wait=wait, lasts=wait + REMINDER_LASTS)
    put_tasks(connection, save_deliveries(connection, [notice], sending))


def put_tasks(connection: Connection, waits: Mapping[UUID, timedelta]) -> None:
    """Put the tasks that send deliveries, each after its time."""
    by_wait: defaultdict[timedelta, list[str]] = defaultdict(list)
    for delivery_id, wait in waits.items():
        by_wait[wait].append(str(delivery_id))
    for wait, keys in by_wait.items():
        tasks.put(connection, "alerts", "deliver", keys, run_at=real_now() + wait if wait else None)


def withdraw_reminders(connection: Connection, alert_id: int) -> None:
    """Take an alert out of what waits for a morning and was not begun; a list without alerts is not sent."""
    connection.execute(
        text(
            "DELETE FROM delivery_item USING delivery WHERE delivery.id = delivery_id AND alert_id = :alert"
            " AND notice > 1 AND delivery.state = 'ready' AND delivery.send_after IS NOT NULL"
            " AND NOT EXISTS (SELECT FROM attempt WHERE attempt.delivery_id = delivery.id)"
        ),
        {"alert": alert_id},
    )


def _save(connection: Connection, drafts: Sequence[_Draft], states: Sequence[tuple[str, str | None]]) -> None:
    connection.execute(
        _SAVE,
        {
            "ids": [each.id for each in drafts],
            "channels": [each.channel for each in drafts],
            "recipients": [each.recipient for each in drafts],
            "endpoint_ids": [each.endpoint_id for each in drafts],
            "states": [state for state, _ in states],
            "reasons": [reason for _, reason in states],
            "send_afters": [each.send_after for each in drafts],
            "waits": [each.wait for each in drafts],
            "last": [each.lasts for each in drafts],
            "keys": [each.group_key for each in drafts],
        },
    )
    items = [(each, alert_id, notice) for each in drafts for alert_id, notice in each.items.items()]
    connection.execute(
        _SAVE_ITEMS,
        {
            "ids": [each.id for each, _, _ in items],
            "alert_ids": [alert_id for _, alert_id, _ in items],
            "notices": [notice for _, _, notice in items],
            "channels": [each.channel for each, _, _ in items],
            "recipients": [each.recipient for each, _, _ in items],
        },
    )


def _drafts(rows: Iterable[Any], by_alert: Mapping[int, Notice]) -> list[_Draft]:
    """One draft per address and group; what gathers with nothing has a draft of its own."""
    drafts: dict[tuple[object, ...], _Draft] = {}
    for row in rows:
        notice = by_alert[row.alert_id]
        key = notice.group_key
        draft = drafts.setdefault(
            (row.channel, row.recipient, row.endpoint_id, key or row.alert_id),
            _Draft(
                row.channel, row.recipient, row.endpoint_id, key, notice.send_after, notice.wait, notice.lasts
            ),
        )
        draft.items[row.alert_id] = row.notice
        draft.lasts = max(draft.lasts, notice.lasts)
    return list(drafts.values())


def _gathered(connection: Connection, drafts: Sequence[_Draft], interval: timedelta) -> list[_Draft]:
    """Join drafts to deliveries that wait already; let those of a storm wait until the interval is over."""
    gathering = [place for place, each in enumerate(drafts) if each.group_key is not None]
    if not gathering:
        return list(drafts)
    found = connection.execute(
        _GATHERED,
        {
            "places": gathering,
            "channels": [drafts[place].channel for place in gathering],
            "recipients": [drafts[place].recipient for place in gathering],
            "keys": [drafts[place].group_key for place in gathering],
            "apart": interval,
        },
    )
    at_once: Counter[tuple[str, str]] = Counter()
    storms: dict[tuple[str, str], _Draft] = {}
    for row in found:
        draft = drafts[row.place]
        address = draft.channel, draft.recipient
        if row.waiting is not None:
            draft.id, draft.is_new = row.waiting, False
        elif draft.send_after is None and row.same_ago is not None:
            draft.wait = max(interval - row.same_ago, timedelta(0))
        elif draft.send_after is None and row.number + at_once[address] < AT_ONCE:
            at_once[address] += 1
        elif draft.send_after is None and address in storms:
            storms[address].items |= draft.items
            draft.items = {}
        elif draft.send_after is None:
            storms[address] = draft
            draft.group_key, draft.wait = STORM, interval
            if row.storm is not None:
                draft.id, draft.is_new = row.storm, False
    return [each for each in drafts if each.items]
