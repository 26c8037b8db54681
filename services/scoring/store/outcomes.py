"""Outcomes: what was said and is over, what became of it, and what was said beside what was seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, text

from services.scoring.roi import Seen
from services.scoring.store import as_json
from services.scoring.store.signals import Row

SETTLED_DAYS = 14
"""So long after its horizon an outcome is looked up again each night: orders come late, and are amended."""

REMEMBERED_DAYS = 365
"""What was said longer ago is no longer looked up for the first time."""

_IS_NOTIFIED = "decision.verdict = 'notify' AND alert.state IS DISTINCT FROM 'withdrawn'"

# Of an episode, the first signal that somebody was notified of, else its first. What an order said that is no trade
# any more is left out: its premise fell.
_SAID = text(f"""
WITH asked AS (SELECT * FROM unnest(CAST(:kinds AS text[]), CAST(:days AS integer[])) AS asked (kind, days)),
chosen AS (
    SELECT DISTINCT ON (coalesce(decision.episode_id, -signal.id)) signal.id, decision.episode_id, signal.kind,
           signal.customer_id, signal.rep_id, signal.subject, signal.product_id, signal.order_id, signal.as_of,
           signal.probability, signal.basis, signal.stake, signal.value, signal.facts, signal.detail, decision.reason,
           {_IS_NOTIFIED} AS is_notified,
           (signal.as_of AT TIME ZONE :zone)::date + asked.days AS over_on
    FROM signal JOIN asked USING (kind) JOIN decision ON decision.signal_id = signal.id
    LEFT JOIN alert ON alert.id = decision.alert_id LEFT JOIN sales_order ON sales_order.id = signal.order_id
    WHERE signal.as_of >= CAST(:today AS date) - {REMEMBERED_DAYS}
      AND (signal.order_id IS NULL OR sales_order.is_counted)
    ORDER BY coalesce(decision.episode_id, -signal.id),
             ({_IS_NOTIFIED}) DESC, signal.id
)
SELECT chosen.*, held.signal_id IS NOT NULL AS is_observed FROM chosen
LEFT JOIN outcome AS held ON held.signal_id = chosen.id
WHERE over_on <= :today AND (held.signal_id IS NULL OR over_on >= CAST(:today AS date) - {SETTLED_DAYS})
  AND NOT EXISTS (SELECT FROM outcome AS other
                  WHERE other.episode_id = chosen.episode_id AND other.signal_id <> chosen.id)
ORDER BY chosen.as_of, chosen.id
""")  # noqa: S608 (constants of this file)

_JUDGED = text(
    "SELECT kind, customer_id, rep_id, subject, max(as_of) AS as_of FROM outcome WHERE kind = ANY(:kinds)"
    " GROUP BY kind, customer_id, rep_id, subject"
)

_COLUMNS = (
    "signal_id, episode_id, kind, customer_id, rep_id, subject, as_of, horizon_days, is_notified, reason, probability,"
    " basis, stake, value, happened, confirmed, revenue, margin, observed_at"
)
_SEEN = "{0}.is_notified, {0}.reason, {0}.happened, {0}.confirmed, {0}.revenue, {0}.margin"

_SAVE = text(
    f"INSERT INTO outcome ({_COLUMNS})"  # noqa: S608 (our own words)
    f" SELECT {_COLUMNS} FROM json_populate_recordset(CAST(NULL AS outcome), CAST(:rows AS json))"
    " ON CONFLICT (signal_id) DO UPDATE SET is_notified = excluded.is_notified, reason = excluded.reason,"
    " happened = excluded.happened, confirmed = excluded.confirmed, revenue = excluded.revenue,"
    " margin = excluded.margin, observed_at = excluded.observed_at"
    f" WHERE ({_SEEN.format('outcome')}) IS DISTINCT FROM ({_SEEN.format('excluded')})"
    " RETURNING kind, xmax = 0 AS is_new"
)

_SAID_AND_SEEN = text(
    "SELECT kind, is_notified, count(*) AS outcomes, count(happened) AS known,"
    " avg(probability) FILTER (WHERE happened IS NOT NULL) AS said, avg(happened::integer)::float8 AS seen,"
    " sum(margin) AS margin FROM outcome GROUP BY kind, is_notified ORDER BY kind, is_notified"
)


@dataclass(frozen=True, slots=True)
class Said:
    """What was said, and whether anybody was told; `is_observed`: it has an outcome already."""

    signal_id: int
    episode_id: int | None
    kind: str
    customer_id: int | None
    rep_id: int | None
    subject: str
    product_id: int | None
    order_id: int | None
    as_of: datetime
    is_observed: bool
    facts: Mapping[str, Any] | None
    detail: Mapping[str, Any]
    stored: Row

    @property
    def key(self) -> tuple[str, int | None, int | None, str]:
        """What the question was about."""
        return self.kind, self.customer_id, self.rep_id, self.subject


@dataclass(frozen=True, slots=True)
class SaidAndSeen:
    """Of the outcomes of a kind that were notified, or held: how many are known, the mean chance said, and seen."""

    is_notified: bool
    outcomes: int
    known: int
    said: float | None
    seen: float | None


def said(connection: Connection, days: Mapping[str, int], today: date, zone: str) -> list[Said]:
    """Return what was said of kinds, each with the days of its horizon, that is over and not settled yet."""
    asked = {"kinds": list(days), "days": list(days.values()), "today": today, "zone": zone}
    copied = (
        "episode_id", "kind", "customer_id", "rep_id", "subject", "as_of", "is_notified", "reason", "probability",
        "basis", "stake", "value",
    )  # fmt: skip
    found = []
    for row in connection.execute(_SAID, asked).mappings():
        stored = {name: row[name] for name in copied}
        found.append(
            Said(
                signal_id=row["id"],
                episode_id=row["episode_id"],
                kind=row["kind"],
                customer_id=row["customer_id"],
                rep_id=row["rep_id"],
                subject=row["subject"],
                product_id=row["product_id"],
                order_id=row["order_id"],
                as_of=row["as_of"],
                is_observed=row["is_observed"],
                facts=row["facts"],
                detail=row["detail"],
                stored={**stored, "signal_id": row["id"], "horizon_days": days[row["kind"]]},
            )
        )
    return found


def last_observed(connection: Connection, kinds: Sequence[str]) -> dict[tuple[object, ...], datetime]:
    """Return by key (kind, customer, rep, subject) when what was last observed of it had been said."""
    rows = connection.execute(_JUDGED, {"kinds": list(kinds)})
    return {(row.kind, row.customer_id, row.rep_id, row.subject): row.as_of for row in rows}


def save(connection: Connection, rows: Sequence[Row]) -> list[str]:
    """Store outcomes, and what has changed of those stored already; return the kind of each that is new."""
    if not rows:
        return []
    return [row.kind for row in connection.execute(_SAVE, {"rows": as_json(rows)}) if row.is_new]


# Kinds of which nobody is left alone are no comparison, nor are the segments that are exempt.
_COMPARED = text("""
SELECT outcome.kind, concat_ws('/', coalesce('customer ' || outcome.customer_id, 'rep ' || outcome.rep_id),
       extract(year FROM outcome.as_of AT TIME ZONE :zone), extract(quarter FROM outcome.as_of AT TIME ZONE :zone))
       AS unit,
       outcome.is_notified, coalesce(margin, revenue * :assumed_margin, 0)::float8 AS margin, value::float8 AS gain,
       happened
FROM outcome LEFT JOIN customer ON customer.id = outcome.customer_id
WHERE (is_notified OR reason = 'held_out') AND lower(coalesce(customer.segment, '')) <> ALL(:exempt)
  AND kind IN (SELECT kind FROM outcome WHERE reason = 'held_out')
""")


def compared(
    connection: Connection, zone: str, assumed_margin: float, exempt: Sequence[str]
) -> dict[str, list[Seen]]:
    """Return by kind the outcomes of customers who were told of and of those left alone on purpose.

    Where no cost is known, the margin is the revenue at `assumed_margin`.
    """
    asked = {"zone": zone, "assumed_margin": assumed_margin, "exempt": [each.casefold() for each in exempt]}
    found: dict[str, list[Seen]] = {}
    for row in connection.execute(_COMPARED, asked):
        seen = Seen(row.unit, row.is_notified, row.margin, row.gain, row.happened)
        found.setdefault(row.kind, []).append(seen)
    return found


def said_and_seen(connection: Connection) -> dict[str, list[SaidAndSeen]]:
    """Return by kind what was said beside what was seen, of what was held and of what was notified."""
    found: dict[str, list[SaidAndSeen]] = {}
    for row in connection.execute(_SAID_AND_SEEN):
        found.setdefault(row.kind, []).append(
            SaidAndSeen(row.is_notified, row.outcomes, row.known, row.said, row.seen)
        )
    return found
