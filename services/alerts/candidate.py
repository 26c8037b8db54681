"""This file says what deciding needs to know: a signal as a candidate for a message, and what went before."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

EpisodeKey = tuple[int, str, str]
"""(customer, kind, subject): what an episode is about."""


class Verdict(StrEnum):
    """Where a signal goes: into a message, into the inbox only, or nowhere."""

    SEND = "send"
    KEEP = "keep"
    DROP = "drop"


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
    STILL_QUIET = "still_quiet"
    SAID_BY_BETTER = "said_by_better"
    HELD_OUT = "held_out"
    DISMISSED_BY_REP = "dismissed_by_rep"
    SNOOZED_BY_REP = "snoozed_by_rep"
    CUSTOMER_NOT_CONTACTABLE = "customer_not_contactable"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A signal that waits for its verdict. `value` is the expected margin in base currency."""

    signal_id: int
    kind: str
    customer_id: int
    subject: str
    order_id: int
    rep_id: int
    value: Decimal
    quiet_for: timedelta
    as_of: datetime
    expires_at: datetime
    business_day: date
    is_urgent: bool = False
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
        return self.customer_id, self.kind, self.subject


@dataclass(frozen=True, slots=True)
class Episode:
    """One open question about a customer. `value` is as last said, else as last seen; `sent_at` is the last notice."""

    customer_id: int
    kind: str
    subject: str
    number: int
    opened_at: datetime
    last_seen_at: datetime
    quiet_after: datetime
    holdout_bucket: int
    is_holdout: bool
    value: Decimal
    sent_at: datetime | None = None
    product_id: int | None = None
    id: int | None = None
    is_open: bool = True
    is_dismissed: bool = False
    snoozed_until: datetime | None = None

    @property
    def key(self) -> EpisodeKey:
        """What it is about."""
        return self.customer_id, self.kind, self.subject


@dataclass(frozen=True, slots=True)
class History:
    """What went before: the newest episode of each key, what was said of these orders, and today's messages."""

    episodes: Mapping[EpisodeKey, Episode] = field(default_factory=dict)
    orders_said: frozenset[int] = frozenset()
    messages_today: Mapping[int, int] = field(default_factory=dict)
    customers_sold_to_today: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of one signal. `rank` is its place among the points of its message, from 1."""

    candidate: Candidate
    verdict: Verdict
    reason: Reason
    rank: int | None = None
