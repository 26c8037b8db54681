"""What deciding starts from: who gets the alerts, the signals that wait, and what went before.

Recipients are locked while a batch spends their budget of the day.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Connection, text

from services.alerts.decide import KIND_LIMIT, Episode, History
from services.alerts.policy import Candidate, Policy, next_morning, working_day
from services.alerts.store import dismissals
from shared.domain.signal import Action, Severity

NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Recipient:
    """The user alerts go to, and the rep that user is. `is_default`: nobody owns the customer."""

    user_id: int
    rep_id: int
    time_zone: str
    is_default: bool = False


@dataclass(frozen=True, slots=True)
class Recipients:
    """Whom alerts go to, by the customer or the rep they are about."""

    by_customer: Mapping[int, Recipient]
    by_rep: Mapping[int, Recipient]

    def of(self, customer_id: int | None, rep_id: int | None) -> Recipient:
        """The recipient of an alert about this customer, else about this rep."""
        if customer_id is not None:
            return self.by_customer[customer_id]
        if rep_id is None:
            raise ValueError("an alert is about a customer or a rep")
        return self.by_rep[rep_id]


def ensure_users(connection: Connection) -> None:
    """Make sure that there is a default owner, and that every rep is a user."""
    connection.execute(
        text(
            "INSERT INTO rep (external_id, name, is_default_owner)"
            " SELECT :nobody, 'Nobody yet', true WHERE NOT EXISTS (SELECT FROM rep WHERE is_default_owner)"
            " ON CONFLICT DO NOTHING"
        ),
        {"nobody": NOBODY},
    )
    connection.execute(
        text(
            "INSERT INTO \"user\" (name, email, role, rep_id, time_zone) SELECT name, email, 'rep', id, time_zone"
            ' FROM rep WHERE NOT EXISTS (SELECT FROM "user" WHERE "user".rep_id = rep.id) ON CONFLICT DO NOTHING'
        )
    )


_ABOUT = text(
    "SELECT customer_id, rep_id FROM signal WHERE occasion = ANY(:occasions)"
    " UNION SELECT customer_id, NULL FROM sales_order WHERE id = ANY(:orders) AND customer_id IS NOT NULL"
)


def recipients_of(
    connection: Connection, occasions: Sequence[str], order_ids: Sequence[int], day: date
) -> Recipients:
    """Return who gets the alerts about everybody these occasions speak of."""
    about = connection.execute(_ABOUT, {"occasions": list(occasions), "orders": list(order_ids)}).all()
    reps = {row.rep_id for row in about if row.customer_id is None and row.rep_id is not None}
    users = connection.execute(
        text('SELECT id, rep_id, time_zone FROM "user" WHERE rep_id = ANY(:reps)'), {"reps": sorted(reps)}
    )
    return Recipients(
        by_customer=owners_of(
            connection, (row.customer_id for row in about if row.customer_id is not None), day
        ),
        by_rep={row.rep_id: Recipient(row.id, row.rep_id, row.time_zone) for row in users},
    )


def owners_of(connection: Connection, customer_ids: Iterable[int], day: date) -> Mapping[int, Recipient]:
    """Return each customer's owner on that day: its own rep, else its territory's, else the default owner."""
    rows = connection.execute(
        text(
            'SELECT customer.id AS customer_id, "user".id AS user_id, "user".rep_id, "user".time_zone,'
            " owner.rep_id IS NULL AS is_default"
            " FROM customer LEFT JOIN LATERAL ("
            "  SELECT rep_id FROM assignment WHERE valid_from <= :day"
            "   AND (customer_id = customer.id OR territory_id = customer.territory_id)"
            "  ORDER BY customer_id IS NULL, valid_from DESC LIMIT 1) owner ON true"
            ' JOIN "user" ON "user".rep_id = coalesce(owner.rep_id, (SELECT id FROM rep WHERE is_default_owner))'
            " WHERE customer.id = ANY(:ids)"
        ),
        {"ids": sorted(set(customer_ids)), "day": day},
    )
    return {
        row.customer_id: Recipient(row.user_id, row.rep_id, row.time_zone, row.is_default) for row in rows
    }


def lock(connection: Connection, recipients: Recipients) -> None:
    """Hold these users until the transaction ends, always in the same order: their budgets are ours alone."""
    users = {each.user_id for each in (*recipients.by_customer.values(), *recipients.by_rep.values())}
    connection.execute(
        text('SELECT id FROM "user" WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE'),
        {"ids": sorted(users)},
    )


_WAITING = text(
    "SELECT signal.id AS signal_id, signal.kind, signal.customer_id, signal.occasion,"
    " CASE WHEN signal.customer_id IS NULL THEN signal.rep_id END AS rep_id, signal.subject, signal.order_id,"
    " customer.segment,"
    " signal.value, signal.stake, signal.quiet_days, signal.as_of, signal.expires_at, signal.severity, signal.action,"
    " signal.is_selling,"
    " signal.is_proven, signal.is_inbox_only, signal.product_id, signal.withdrawn_at IS NOT NULL AS is_withdrawn,"
    " coalesce(signal.order_version < sales_order.version, false) AS is_superseded,"
    " coalesce(customer.status = 'active' AND NOT customer.is_internal, true) AS is_contactable,"
    # Of several, the complaint: by name it comes first.
    " (SELECT min(hold.kind) FROM hold WHERE hold.customer_id = signal.customer_id"
    "  AND hold.valid_from <= :day AND coalesce(hold.valid_to >= :day, true)) AS hold"
    " FROM signal LEFT JOIN customer ON customer.id = signal.customer_id"
    " LEFT JOIN sales_order ON sales_order.id = signal.order_id"
    " WHERE signal.occasion = ANY(:occasions) AND NOT EXISTS (SELECT FROM decision WHERE signal_id = signal.id)"
    " ORDER BY signal.id"
)


def waiting(
    connection: Connection, occasions: Sequence[str], recipients: Recipients, now: datetime
) -> list[Candidate]:
    """Return the signals of these occasions that have no decision yet.

    What is about an order is sent at once; what is about a day, at seven in the recipient's morning.
    """
    found = []
    for row in connection.execute(_WAITING, {"occasions": list(occasions), "day": now.date()}).mappings():
        recipient = recipients.of(row["customer_id"], row["rep_id"])
        send_after = next_morning(now, recipient.time_zone) if row["order_id"] is None else None
        values = {name: row[name] for name in row if name not in ("quiet_days", "severity", "action")}
        found.append(
            Candidate(
                **values,
                severity=Severity(row["severity"]),
                action=Action(row["action"]),
                episode_ttl=timedelta(days=row["quiet_days"]),
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
    " episode.value, episode.notified_at, episode.product_id, episode.closed_at,"
    " episode.closed_at IS NULL AS is_open,"
    " EXISTS (SELECT FROM dismissal WHERE episode_id = episode.id AND ended_at IS NULL AND until > since)"
    "  AS was_dismissed,"
    " CASE WHEN latest.state = 'snoozed' THEN latest.snoozed_until END AS snoozed_until,"
    " (SELECT signal.stake FROM episode AS same JOIN decision ON decision.episode_id = same.id"
    "  JOIN signal ON signal.id = signal_id JOIN alert ON alert.id = alert_id"
    "  WHERE same.kind = episode.kind AND same.subject = episode.subject"
    "   AND (same.customer_id = episode.customer_id OR same.rep_id = episode.rep_id)"
    "   AND decision.rank IS NOT NULL AND alert.state <> 'withdrawn'"
    "  ORDER BY decision.decided_at DESC, signal_id DESC LIMIT 1) AS stake"
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


# Occasions of which a message has gone, or may have, or whose alert the recipient has dealt with in the inbox.
_NOTIFIED = text(
    "SELECT DISTINCT alert.occasion FROM alert"
    " LEFT JOIN delivery_item ON delivery_item.alert_id = alert.id"
    " LEFT JOIN delivery ON delivery.id = delivery_item.delivery_id"
    " WHERE alert.occasion = ANY(:occasions)"
    " AND ((alert.state IN ('done', 'dismissed', 'snoozed') AND alert.notified_at IS NOT NULL)"
    "  OR delivery.state = 'sent' OR EXISTS (SELECT FROM attempt"
    "   WHERE delivery_id = delivery.id AND (outcome IS NULL OR outcome IN ('sent', 'unknown'))))"
)

# How many messages recipients have had on these days; urgent ones and mistakes on orders are not counted.
_MESSAGES = text(
    "SELECT recipient_id, count(*) AS messages"
    " FROM unnest(CAST(:recipients AS bigint[]), CAST(:days AS date[])) AS asked (recipient_id, business_day)"
    " JOIN alert USING (recipient_id, business_day)"
    " WHERE notified_at IS NOT NULL AND severity <> 'urgent' AND state <> 'withdrawn'"
    " AND (alert.order_id IS NULL OR NOT EXISTS (SELECT FROM decision JOIN signal ON signal.id = signal_id"
    "  WHERE alert_id = alert.id AND rank IS NOT NULL AND action = 'correction')) GROUP BY recipient_id"
)

# Customers about whom a selling message has been drawn up on these days.
_SOLD_TO = text(
    "SELECT DISTINCT alert.customer_id"
    " FROM unnest(CAST(:customers AS bigint[]), CAST(:days AS date[])) AS asked (customer_id, business_day)"
    " JOIN alert USING (customer_id, business_day)"
    " WHERE alert.notified_at IS NOT NULL AND is_selling AND state <> 'withdrawn'"
)


# Graver questions about these customers that are open: found by a model that has proven itself.
_OPEN_KINDS = text(
    "SELECT episode.customer_id, episode.kind FROM episode"
    " JOIN LATERAL (SELECT is_proven FROM signal WHERE signal.customer_id = episode.customer_id"
    "  AND signal.kind = episode.kind AND signal.subject = episode.subject ORDER BY signal.id DESC LIMIT 1) AS last"
    "  ON last.is_proven"
    " WHERE episode.customer_id = ANY(:customers) AND episode.kind = ANY(:kinds) AND episode.closed_at IS NULL"
)


_NOTIFIED_LATELY = text(
    "SELECT customer_id, kind, max(value) AS value FROM episode"
    " WHERE customer_id = ANY(:customers) AND kind = ANY(:kinds) AND notified_at > :since GROUP BY 1, 2"
)


def load_history(
    connection: Connection, candidates: Sequence[Candidate], policy: Policy, now: datetime
) -> History:
    """Return what went before for these signals. Lock the recipients first, so that it stays true."""
    keys = list({each.key for each in candidates})
    recipient_days = sorted({(each.recipient_id, each.business_day) for each in candidates})
    customer_days = sorted(
        {(each.customer_id, each.business_day) for each in candidates if each.customer_id is not None}
    )
    columns = ("customers", "reps", "kinds", "subjects")
    episodes = connection.execute(
        _EPISODES, {name: [key[place] for key in keys] for place, name in enumerate(columns)}
    )
    notified = connection.scalars(_NOTIFIED, {"occasions": sorted({each.occasion for each in candidates})})
    messages = connection.execute(
        _MESSAGES,
        {"recipients": [each[0] for each in recipient_days], "days": [each[1] for each in recipient_days]},
    )
    sold_to = connection.scalars(
        _SOLD_TO,
        {"customers": [each[0] for each in customer_days], "days": [each[1] for each in customer_days]},
    )
    open_kinds = connection.execute(
        _OPEN_KINDS,
        {
            "customers": sorted({customer for customer, _ in customer_days}),
            "kinds": [each.by for each in policy.inhibitions],
        },
    )
    notified_lately = connection.execute(
        _NOTIFIED_LATELY,
        {
            "customers": sorted({customer for customer, _ in customer_days}),
            "kinds": sorted({each.kind for each in candidates if each.order_id is None}),
            "since": now - KIND_LIMIT,
        },
    )
    return History(
        dismissals=dismissals.live(
            connection,
            {customer for customer, _ in customer_days},
            {each.rep_id for each in candidates if each.rep_id is not None},
            now,
        ),
        notified_lately={(row.customer_id, row.kind): row.value for row in notified_lately},
        open_kinds=frozenset((row.customer_id, row.kind) for row in open_kinds),
        episodes={each.key: each for each in (Episode(**row) for row in episodes.mappings())},
        occasions_notified=frozenset(notified),
        messages_today={row.recipient_id: row.messages for row in messages},
        customers_sold_to_today=frozenset(sold_to),
    )
