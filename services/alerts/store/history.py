"""This file reads what deciding needs: the signals that wait, and what went before."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from services.alerts.candidate import Candidate, Episode, EpisodeKey, History
from services.alerts.schedule import working_day
from services.alerts.store.owners import Owner

_WAITING = text(
    "SELECT signal.id AS signal_id, signal.kind, signal.customer_id, signal.subject, signal.order_id,"
    " signal.value, signal.quiet_days, signal.as_of, signal.expires_at, signal.severity = 'urgent' AS is_urgent,"
    " signal.is_selling,"
    " signal.is_proven, signal.product_id, signal.withdrawn_at IS NOT NULL AS is_withdrawn,"
    " coalesce(signal.order_version < sales_order.version, false) AS is_superseded,"
    " (customer.status = 'active' AND NOT customer.is_internal) AS is_contactable"
    " FROM signal JOIN customer ON customer.id = signal.customer_id"
    " LEFT JOIN sales_order ON sales_order.id = signal.order_id"
    " WHERE signal.occasion = ANY(:occasions) AND NOT EXISTS (SELECT FROM decision WHERE signal_id = signal.id)"
    " ORDER BY signal.id"
)


def waiting(
    connection: Connection, order_ids: Sequence[int], owners: Mapping[int, Owner], now: datetime
) -> list[Candidate]:
    """Return the signals of these orders that have no verdict yet."""
    rows = connection.execute(_WAITING, {"occasions": [f"order:{each}" for each in order_ids]}).mappings()
    found = []
    for row in rows:
        owner = owners[row["customer_id"]]
        values = {name: row[name] for name in row if name != "quiet_days"}
        found.append(
            Candidate(
                **values,
                quiet_for=timedelta(days=row["quiet_days"]),
                rep_id=owner.rep_id,
                is_default_owner=owner.is_default,
                business_day=working_day(now, owner.time_zone),
            )
        )
    return found


_EPISODES = text(
    "SELECT DISTINCT ON (episode.customer_id, episode.kind, episode.subject) episode.id, episode.customer_id,"
    " episode.kind, episode.subject, episode.number, episode.opened_at, episode.last_seen_at, episode.quiet_after,"
    " episode.holdout_bucket, episode.is_holdout, episode.value, episode.sent_at, episode.product_id,"
    " episode.state = 'open' AS is_open, coalesce(latest.state = 'dismissed', false) AS is_dismissed,"
    " CASE WHEN latest.state = 'snoozed' THEN latest.snoozed_until END AS snoozed_until"
    " FROM unnest(CAST(:customers AS bigint[]), CAST(:kinds AS text[]), CAST(:subjects AS text[]))"
    "  AS asked (customer_id, kind, subject)"
    " JOIN episode USING (customer_id, kind, subject)"
    " LEFT JOIN LATERAL (SELECT alert.state, alert.snoozed_until FROM decision JOIN alert ON alert.id = alert_id"
    "  WHERE decision.episode_id = episode.id ORDER BY alert.id DESC LIMIT 1) latest ON true"
    " ORDER BY episode.customer_id, episode.kind, episode.subject, episode.number DESC"
)


def load_history(connection: Connection, candidates: Sequence[Candidate]) -> History:
    """Return what went before for these signals. Lock the reps first, so that it stays true."""
    days = {(each.rep_id, each.business_day) for each in candidates}
    return History(
        episodes=_episodes(connection, {each.key for each in candidates}),
        orders_said=_orders_said(connection, {each.order_id for each in candidates}),
        messages_today={rep: _messages(connection, rep, day) for rep, day in sorted(days)},
        customers_sold_to_today=_sold_to(
            connection, {(each.customer_id, each.business_day) for each in candidates}
        ),
    )


def _episodes(connection: Connection, keys: Iterable[EpisodeKey]) -> dict[EpisodeKey, Episode]:
    wanted = sorted(keys)
    rows = connection.execute(
        _EPISODES,
        {
            "customers": [key[0] for key in wanted],
            "kinds": [key[1] for key in wanted],
            "subjects": [key[2] for key in wanted],
        },
    )
    found = [Episode(**row) for row in rows.mappings()]
    return {each.key: each for each in found}


_SAID = "(alert.verdict = 'send' OR alert.reason = 'shadow_mode')"


def _orders_said(connection: Connection, order_ids: Iterable[int]) -> frozenset[int]:
    """Orders of which a message has gone, or may have, or whose message the rep has dealt with in the inbox."""
    rows = connection.execute(
        text(
            "SELECT DISTINCT alert.order_id FROM alert LEFT JOIN delivery ON delivery.alert_id = alert.id"  # noqa: S608
            f" WHERE alert.order_id = ANY(:orders) AND ((alert.state IN ('done', 'dismissed', 'snoozed') AND {_SAID})"
            "  OR delivery.state = 'sent' OR EXISTS (SELECT FROM attempt"
            "   WHERE delivery_id = delivery.id AND (outcome IS NULL OR outcome IN ('sent', 'unknown'))))"
        ),
        {"orders": sorted(order_ids)},
    )
    return frozenset(rows.scalars())


def _messages(connection: Connection, rep_id: int, day: object) -> int:
    """How many messages the rep has had that day; urgent ones are not counted."""
    count = connection.scalar(
        text(
            f"SELECT count(*) FROM alert WHERE rep_id = :rep AND business_day = :day AND {_SAID}"  # noqa: S608
            " AND NOT is_urgent AND state <> 'withdrawn'"
        ),
        {"rep": rep_id, "day": day},
    )
    return int(count or 0)


def _sold_to(connection: Connection, customer_days: Iterable[tuple[int, object]]) -> frozenset[int]:
    """Customers of whom a selling message has been drawn up that day."""
    wanted = sorted(customer_days, key=str)
    rows = connection.execute(
        text(
            "SELECT DISTINCT alert.customer_id"  # noqa: S608
            " FROM unnest(CAST(:customers AS bigint[]), CAST(:days AS date[])) AS asked (customer_id, business_day)"
            f" JOIN alert USING (customer_id, business_day) WHERE {_SAID} AND is_selling AND state <> 'withdrawn'"
        ),
        {"customers": [each[0] for each in wanted], "days": [each[1] for each in wanted]},
    )
    return frozenset(rows.scalars())
