"""The policy: a table of rules read from top to bottom. The first that fits a signal holds, the last fits all.

Working days and mornings where the recipient lives say when to send.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo

from shared.domain.signal import Action, Severity

SATURDAY = 5

EpisodeKey = tuple[int | None, int | None, str, str]
"""(customer, rep, kind, subject): what an episode is about. The rep is None where there is a customer."""


class Verdict(StrEnum):
    """Where a signal goes: into a message, into the inbox only, or nowhere."""

    NOTIFY = "notify"
    INBOX_ONLY = "inbox_only"
    SUPPRESSED = "suppressed"


class Reason(StrEnum):
    """Why. Stored beside every signal, shown to the rep, and a metric label."""

    FIRST_TIME = "first_time"
    MUCH_MORE_MONEY = "much_more_money"
    SHADOW_MODE = "shadow_mode"
    BESIDE_A_MISTAKE = "beside_a_mistake"
    NOT_IN_TOP_THREE = "not_in_top_three"
    OVER_CUSTOMER_LIMIT = "over_customer_limit"
    OVER_KIND_LIMIT = "over_kind_limit"
    OVER_BUDGET = "over_budget"
    TOO_WEAK = "too_weak"
    UNPROVEN_MODEL = "unproven_model"
    FOR_THE_INBOX = "for_the_inbox"
    AMENDED = "amended"
    WITHIN_REPEAT_INTERVAL = "within_repeat_interval"
    NOTIFIED_BY_STRONGER_SIGNAL = "notified_by_stronger_signal"
    HELD_OUT = "held_out"
    DISMISSED_BY_REP = "dismissed_by_rep"
    SNOOZED_BY_REP = "snoozed_by_rep"
    CUSTOMER_NOT_CONTACTABLE = "customer_not_contactable"
    OPEN_COMPLAINT = "open_complaint"
    CREDIT_HOLD = "credit_hold"
    ON_HOLD = "on_hold"
    INHIBITED = "inhibited"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    WITHDRAWN = "withdrawn"


WHY_HELD = {"complaint": Reason.OPEN_COMPLAINT, "credit_hold": Reason.CREDIT_HOLD}
"""The reason by the kind of hold; others have one together."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A signal that waits for its decision. `value` is its gain: the extra margin that acting is expected to bring.

    `stake` is the margin that it is about.

    It is about a customer, or about a rep (`rep_id`). `send_after` None: its message goes at once. `hold` is the kind
    of hold open on the customer, during which nothing is sold to it. `is_inbox_only`: its kind is never sent.
    """

    signal_id: int
    kind: str
    occasion: str
    subject: str
    recipient_id: int
    value: Decimal
    episode_ttl: timedelta
    as_of: datetime
    expires_at: datetime
    business_day: date
    customer_id: int | None = None
    rep_id: int | None = None
    order_id: int | None = None
    send_after: datetime | None = None
    severity: Severity = Severity.NORMAL
    action: Action = Action.CALL
    is_selling: bool = True
    is_proven: bool = True
    is_inbox_only: bool = False
    is_withdrawn: bool = False
    is_superseded: bool = False
    is_contactable: bool = True
    hold: str | None = None
    is_default_owner: bool = False
    segment: str | None = None
    product_id: int | None = None
    stake: Decimal | None = None

    @property
    def group_key(self) -> str | None:
        """What the alerts of one storm share: the kind and the product, where it is about one."""
        return None if self.product_id is None else f"{self.kind}/product:{self.product_id}"

    @property
    def key(self) -> EpisodeKey:
        """What its episode is about."""
        return self.customer_id, self.rep_id, self.kind, self.subject

    @property
    def is_urgent(self) -> bool:
        """Whether it may not wait."""
        return self.severity is Severity.URGENT

    @property
    def is_mistake(self) -> bool:
        """Whether it is a mistake on an order, to be put right. Prices that are low as a habit are none."""
        return self.action is Action.CORRECTION and self.order_id is not None


@dataclass(frozen=True, slots=True)
class Rule:
    """What holds for the signals it fits. None fits either way."""

    name: str
    holdout_percent: int
    severity: Severity | None = None
    is_mistake: bool | None = None
    is_selling: bool | None = None
    counts_in_budget: bool = True

    def fits(self, candidate: Candidate) -> bool:
        """Whether this rule speaks about that signal."""
        return (
            self.severity in (None, candidate.severity)
            and self.is_mistake in (None, candidate.is_mistake)
            and self.is_selling in (None, candidate.is_selling)
        )


@dataclass(frozen=True, slots=True)
class Inhibition:
    """While a question of the kind `by` is open about a customer, these kinds are not spoken of, nor what sells."""

    by: str
    kinds: tuple[str, ...]
    is_selling_inhibited: bool = False

    def fits(self, candidate: Candidate) -> bool:
        """Whether it hides that signal; what is urgent is never hidden."""
        if candidate.is_urgent or candidate.kind == self.by:
            return False
        return candidate.kind in self.kinds or (self.is_selling_inhibited and candidate.is_selling)


INHIBITIONS = (
    Inhibition("going_quiet", ("spend_drop", "stopped_item", "stopped_category"), is_selling_inhibited=True),
    Inhibition("margin_erosion", ("discount_outlier", "cost_not_passed_on")),
)
"""Who may be leaving is asked why, not sold to; who pays too little for everything is not told item by item."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules, and the limits that hold across signals. The costs of a call and a correction: base currency.

    `holdout_exempt`: segments of which nobody is held out, in lower case.
    """

    rules: tuple[Rule, ...]
    messages_per_rep: int
    call_cost: Decimal
    correction_cost: Decimal
    inhibitions: tuple[Inhibition, ...] = INHIBITIONS
    holdout_exempt: tuple[str, ...] = ()
    points_per_message: int = 3
    resend_growth: Decimal = Decimal("1.5")
    is_shadow: bool = False

    def rule_for(self, candidate: Candidate) -> Rule:
        """Return the first rule that fits."""
        return next(rule for rule in self.rules if rule.fits(candidate))

    def holds_out(self, candidate: Candidate, bucket: int) -> bool:
        """Whether a customer with this bucket is left alone about that, though a message would be sent now."""
        is_exempt = candidate.segment is not None and candidate.segment.casefold() in self.holdout_exempt
        return not is_exempt and bucket < self.rule_for(candidate).holdout_percent

    def merits_message(self, candidate: Candidate) -> bool:
        """Whether a signal is reason enough for a message: it brings what acting costs. A mention takes a call."""
        if candidate.action is Action.TALKING_POINT:
            return False
        is_correction = candidate.action is Action.CORRECTION
        return candidate.value >= (self.correction_cost if is_correction else self.call_cost)

    def as_json(self) -> dict[str, Any]:
        """The whole policy in plain values, money as text."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str, sort_keys=True))
        return plain

    @property
    def version(self) -> str:
        """A name that changes when, and only when, the policy does."""
        return sha256(json.dumps(self.as_json(), sort_keys=True).encode()).hexdigest()[:12]


def standard_policy(
    *,
    messages_per_rep: int,
    call_cost: Decimal,
    correction_cost: Decimal,
    holdout_percent: int,
    is_shadow: bool,
    holdout_exempt: Iterable[str] = (),
) -> Policy:
    """The policy of an installation that has written none of its own.

    A mistake on an order is to be put right, not an offer to test: it is never held out and takes no budget.
    """
    return Policy(
        rules=(
            Rule("urgent", holdout_percent=0, severity=Severity.URGENT, counts_in_budget=False),
            Rule(
                "mistakes",
                holdout_percent=0,
                is_mistake=True,
                is_selling=False,
                counts_in_budget=False,
            ),
            Rule("selling", holdout_percent, is_selling=True),
            Rule("everything else", holdout_percent),
        ),
        messages_per_rep=messages_per_rep,
        call_cost=call_cost,
        correction_cost=correction_cost,
        holdout_exempt=tuple(sorted(each.casefold() for each in holdout_exempt)),
        is_shadow=is_shadow,
    )


def working_day(now: datetime, time_zone: str) -> date:
    """Return the day a message counts for. What comes at the weekend is read, and counted, on Monday."""
    day = now.astimezone(ZoneInfo(time_zone)).date()
    if day.weekday() >= SATURDAY:
        return day + timedelta(days=7 - day.weekday())
    return day


def next_morning(now: datetime, time_zone: str) -> datetime:
    """The first seven o'clock of a working day that is not past: when alerts about a day are sent."""
    local = now.astimezone(ZoneInfo(time_zone))
    this_morning = _morning(working_day(local, time_zone), time_zone)
    return this_morning if now <= this_morning else tomorrow_morning(now, time_zone)


def real_delay(send_after: datetime | None, now: datetime, pace: float) -> timedelta:
    """How long to wait in real time for a business time, which passes `pace` times as fast.

    Not at all where the business clock is fixed (0): that time would never come.
    """
    if send_after is None or not pace:
        return timedelta(0)
    return max(send_after - now, timedelta(0)) / pace


def tomorrow_morning(now: datetime, time_zone: str) -> datetime:
    """Seven o'clock on the next working day: when a snoozed alert comes back."""
    local = now.astimezone(ZoneInfo(time_zone))
    return _morning(working_day(local + timedelta(days=1), time_zone), time_zone)


def next_monday_morning(now: datetime, time_zone: str) -> datetime:
    """Seven o'clock on the Monday after this day."""
    local = now.astimezone(ZoneInfo(time_zone)).date()
    return _morning(local + timedelta(days=7 - local.weekday()), time_zone)


def _morning(day: date, time_zone: str) -> datetime:
    return datetime(day.year, day.month, day.day, 7, tzinfo=ZoneInfo(time_zone))
