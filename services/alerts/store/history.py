"""What deciding needs: the signals that wait, and what went before."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta

from sqlalchemy import Connection, text

from services.alerts.candidate import Candidate, Episode, EpisodeKey, History
from services.alerts.schedule import next_morning, working_day
from services.alerts.store.recipients import Recipients
from shared.domain.signal import Severity

_WAITING = text(
    "SELECT signal.id AS signal_id, signal.kind, signal.customer_id, signal.occasion,"
    " CASE WHEN signal.customer_id IS NULL THEN signal.rep_id END AS rep_id, signal.subject, signal.order_id,"
    " signal.value, signal.quiet_days, signal.as_of, signal.expires_at, signal.severity, signal.is_selling,"
    " signal.is_proven, signal.product_id, signal.withdrawn_at IS NOT NULL AS is_withdrawn,"
    " coalesce(signal.order_version < sales_order.version, false) AS is_superseded,"
    " coalesce(customer.status = 'active' AND NOT customer.is_internal, true) AS is_contactable"
    " FROM signal LEFT JOIN customer ON customer.id = signal.customer_id"
    " LEFT JOIN sales_order ON sales_order.id = signal.order_id"
    " WHERE signal.occasion = ANY(:occasions) AND NOT EXISTS (SELECT FROM decision WHERE signal_id = signal.id)"
    " ORDER BY signal.id"
)


def waiting(
    connection: Connection, occasions: Sequence[str], recipients: Recipients, now: datetime
) -> list[Candidate]:
    """Return the signals of these occasions that have no verdict yet.

    What an order woke goes at once; what a day woke goes at seven in the recipient's morning.
    """
    found = []
    for row in connection.execute(_WAITING, {"occasions": list(occasions)}).mappings():
        recipient = recipients.of(row["customer_id"], row["rep_id"])
        send_after = next_morning(now, recipient.time_zone) if row["order_id"] is None else None
        values = {name: row[name] for name in row if name not in ("quiet_days", "severity")}
        found.append(
            Candidate(
                **values,
                severity=Severity(row["severity"]),
                quiet_for=timedelta(days=row["quiet_days"]),
                recipient_id=recipient.user_id,
                is_default_owner=recipient.is_default,
                send_after=send_after,
                business_day=working_day(send_after or now, recipient.time_zone),
            )
        )
    return found


_EPISODES = text(
    "SELECT episode.id, episode.customer_id, episode.rep_id, episode.kind, episode.subject, episode.number,"
    " episode.opened_at, episode.last_seen_at, episode.quiet_after, episode.holdout_bucket, episode.is_holdout,"
    " episode.value, episode.notified_at, episode.product_id,"
    " episode.closed_at IS NULL AS is_open, coalesce(latest.state = 'dismissed', false) AS is_dismissed,"
    " CASE WHEN latest.state = 'snoozed' THEN latest.snoozed_until END AS snoozed_until"
    " FROM unnest(CAST(:customers AS bigint[]), CAST(:reps AS bigint[]), CAST(:kinds AS text[]),"
    "  CAST(:subjects AS text[])) AS asked (customer_id, rep_id, kind, subject)"
    " JOIN LATERAL ("
    "  SELECT * FROM (SELECT * FROM episode WHERE episode.customer_id = asked.customer_id"
    "   AND episode.kind = asked.kind AND episode.subject = asked.subject ORDER BY number DESC LIMIT 1) of_customer"
    "  UNION ALL SELECT * FROM (SELECT * FROM episode WHERE episode.rep_id = asked.rep_id"
    "   AND episode.kind = asked.kind AND episode.subject = asked.subject ORDER BY number DESC LIMIT 1) of_rep"
    " ) episode ON true"
    " LEFT JOIN LATERAL (SELECT alert.state, alert.snoozed_until FROM decision JOIN alert ON alert.id = alert_id"
    "  WHERE decision.episode_id = episode.id ORDER BY alert.id DESC LIMIT 1) latest ON true"
)


def load_history(connection: Connection, candidates: Sequence[Candidate]) -> History:
    """Return what went before for these signals. Lock the recipients first, so that it stays true."""
    days = {(each.recipient_id, each.business_day) for each in candidates}
    return History(
        episodes=_episodes(connection, {each.key for each in candidates}),
        occasions_notified=_notified(connection, {each.occasion for each in candidates}),
        messages_today={recipient: _messages(connection, recipient, day) for recipient, day in sorted(days)},
        customers_sold_to_today=_sold_to(
            connection,
            {(each.customer_id, each.business_day) for each in candidates if each.customer_id is not None},
        ),
    )


def _episodes(connection: Connection, keys: Iterable[EpisodeKey]) -> dict[EpisodeKey, Episode]:
    wanted = list(keys)
    rows = connection.execute(
        _EPISODES,
        {
            "customers": [key[0] for key in wanted],
            "reps": [key[1] for key in wanted],
            "kinds": [key[2] for key in wanted],
            "subjects": [key[3] for key in wanted],
        },
    )
    found = [Episode(**row) for row in rows.mappings()]
    return {each.key: each for each in found}


def _notified(connection: Connection, occasions: Iterable[str]) -> frozenset[str]:
    """Occasions of which a message has gone, or may have, or whose alert the recipient has dealt with in the inbox."""
    rows = connection.execute(
        text(
            "SELECT DISTINCT alert.occasion FROM alert"
            " LEFT JOIN delivery_item ON delivery_item.alert_id = alert.id"
            " LEFT JOIN delivery ON delivery.id = delivery_item.delivery_id"
            " WHERE alert.occasion = ANY(:occasions)"
            " AND ((alert.state IN ('done', 'dismissed', 'snoozed') AND alert.notified_at IS NOT NULL)"
            "  OR delivery.state = 'sent' OR EXISTS (SELECT FROM attempt"
            "   WHERE delivery_id = delivery.id AND (outcome IS NULL OR outcome IN ('sent', 'unknown'))))"
        ),
        {"occasions": sorted(occasions)},
    )
    return frozenset(rows.scalars())


def _messages(connection: Connection, recipient_id: int, day: date) -> int:
    """How many messages the recipient has had that day; urgent ones are not counted."""
    count = connection.scalar(
        text(
            "SELECT count(*) FROM alert WHERE recipient_id = :recipient AND business_day = :day"
            " AND notified_at IS NOT NULL AND severity <> 'urgent' AND state <> 'withdrawn'"
        ),
        {"recipient": recipient_id, "day": day},
    )
    return int(count or 0)


def _sold_to(connection: Connection, customer_days: Iterable[tuple[int, date]]) -> frozenset[int]:
    """Customers about whom a selling message has been drawn up that day."""
    wanted = sorted(customer_days)
    rows = connection.execute(
        text(
            "SELECT DISTINCT alert.customer_id"
            " FROM unnest(CAST(:customers AS bigint[]), CAST(:days AS date[])) AS asked (customer_id, business_day)"
            " JOIN alert USING (customer_id, business_day)"
            " WHERE alert.notified_at IS NOT NULL AND is_selling AND state <> 'withdrawn'"
        ),
        {"customers": [each[0] for each in wanted], "days": [each[1] for each in wanted]},
    )
    return frozenset(rows.scalars())
