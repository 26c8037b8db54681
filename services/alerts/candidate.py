"""What deciding works on: a signal as a candidate for a message, what went before, and what becomes of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from shared.domain.signal import Severity

EpisodeKey = tuple[int | None, int | None, str, str]
"""(customer, rep, kind, subject): what an episode is about. The rep is None where there is a customer."""


class Verdict(StrEnum):
    """Where a signal goes: into a message now, into the next list, into the inbox only, or nowhere."""

    NOTIFY = "notify"
    DIGEST = "digest"
    INBOX_ONLY = "inbox_only"
    SUPPRESSED = "suppressed"


class Reason(StrEnum):
    """Why. Stored beside every signal, shown to the rep, and a metric label."""

    FIRST_TIME = "first_time"
    MUCH_MORE_MONEY = "much_more_money"
    SHADOW_MODE = "shadow_mode"
    NOT_IN_TOP_THREE = "not_in_top_three"
    OVER_CUSTOMER_LIMIT = "over_customer_limit"
    OVER_BUDGET = "over_budget"
    TOO_WEAK = "too_weak"
    UNPROVEN_MODEL = "unproven_model"
    AMENDED = "amended"
    WITHIN_REPEAT_INTERVAL = "within_repeat_interval"
    NOTIFIED_BY_STRONGER_SIGNAL = "notified_by_stronger_signal"
    HELD_OUT = "held_out"
    DISMISSED_BY_REP = "dismissed_by_rep"
    SNOOZED_BY_REP = "snoozed_by_rep"
    CUSTOMER_NOT_CONTACTABLE = "customer_not_contactable"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A signal that waits for its verdict. `value` is the expected margin in base currency.

    It is about a customer, or about a rep (`rep_id`). `send_after` None: its message goes at once.
    """

    signal_id: int
    kind: str
    occasion: str
    subject: str
    recipient_id: int
    value: Decimal
    quiet_for: timedelta
    as_of: datetime
    expires_at: datetime
    business_day: date
    customer_id: int | None = None
    rep_id: int | None = None
    order_id: int | None = None
    send_after: datetime | None = None
    severity: Severity = Severity.NORMAL
    is_selling: bool = True
    is_proven: bool = True
    is_withdrawn: bool = False
    is_superseded: bool = False
    is_contactable: bool = True
    is_default_owner: bool = False
    product_id: int | None = None

    @property
    def key(self) -> EpisodeKey:
        """What its episode is about."""
        return self.customer_id, self.rep_id, self.kind, self.subject

    @property
    def is_urgent(self) -> bool:
        """Whether it may not wait."""
        return self.severity is Severity.URGENT


@dataclass(frozen=True, slots=True)
class Episode:
    """One open question about a customer or a rep. `value` is as last notified, else as last seen."""

    customer_id: int | None
    kind: str
    subject: str
    number: int
    opened_at: datetime
    last_seen_at: datetime
    quiet_after: datetime
    holdout_bucket: int
    is_holdout: bool
    value: Decimal
    rep_id: int | None = None
    notified_at: datetime | None = None
    product_id: int | None = None
    id: int | None = None
    is_open: bool = True
    is_dismissed: bool = False
    snoozed_until: datetime | None = None

    @property
    def key(self) -> EpisodeKey:
        """What it is about."""
        return self.customer_id, self.rep_id, self.kind, self.subject


@dataclass(frozen=True, slots=True)
class History:
    """What went before: the newest episode of each key, the occasions somebody was notified of, today's messages."""

    episodes: Mapping[EpisodeKey, Episode] = field(default_factory=dict)
    occasions_notified: frozenset[str] = frozenset()
    messages_today: Mapping[int, int] = field(default_factory=dict)
    customers_sold_to_today: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of one signal. `rank` is its place among the points of its message, from 1."""

    candidate: Candidate
    verdict: Verdict
    reason: Reason
    rank: int | None = None

    @property
    def is_notified(self) -> bool:
        """Whether the recipient is told: by a message, or in shadow mode by the inbox in its place."""
        return self.rank is not None
