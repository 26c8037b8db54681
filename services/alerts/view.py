"""What of an alert is shown, the same for the mail, the webhook and the inbox, and the words a rep reads it in."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_datetime
from babel.numbers import format_currency

from services.alerts.policy import Reason
from shared.domain.signal import Severity

LOCALE = "en_GB"
PENNIES_MATTER_BELOW = 20

WHY = {
    Reason.FIRST_TIME: "the first time we tell you this about the customer",
    Reason.MUCH_MORE_MONEY: "you were told before, but it is about at least half as much money again",
    Reason.SHADOW_MODE: "Tipoff runs in shadow mode: it decides and shows, and sends nothing",
    Reason.BESIDE_A_MISTAKE: "a message about an error on an order carries no offers",
    Reason.NOT_IN_TOP_THREE: "a message holds the three points worth most",
    Reason.OVER_CUSTOMER_LIMIT: (
        "one selling message per customer and working day is enough, and one about the like in two weeks"
    ),
    Reason.OVER_BUDGET: "your messages for the day went to alerts worth more",
    Reason.TOO_WEAK: "too little money is in it to call about it alone",
    Reason.UNPROVEN_MODEL: "this kind of hint has not yet proved itself on your own orders",
    Reason.FOR_THE_INBOX: "hints of this kind are for when you look here, no message is sent of them",
    Reason.AMENDED: "the order was changed after we had told you about it",
    Reason.WITHIN_REPEAT_INTERVAL: "you were told before, and nothing much has changed",
    Reason.NOTIFIED_BY_STRONGER_SIGNAL: "a stronger hint says the same",
    Reason.HELD_OUT: "left alone on purpose, to measure what calls earn",
    Reason.DISMISSED_BY_REP: "you dismissed it",
    Reason.SNOOZED_BY_REP: "you put it off",
    Reason.CUSTOMER_NOT_CONTACTABLE: "the customer is blocked, closed or internal",
    Reason.OPEN_COMPLAINT: "the customer has a complaint that is not settled",
    Reason.CREDIT_HOLD: "the customer is on credit hold",
    Reason.ON_HOLD: "nothing is to be sold to the customer for now",
    Reason.INHIBITED: "a graver question about the customer is open",
    Reason.EXPIRED: "it came too late to act on",
    Reason.SUPERSEDED: "a newer version of the order was looked at instead",
    Reason.WITHDRAWN: "the order was changed, and it no longer holds",
}
"""Each reason as it completes "because ..."."""


@dataclass(frozen=True, slots=True)
class Point:
    """One signal of an alert. `stake` is the margin at stake, base currency; `value` the gain of acting.

    `probability` is the chance of the good outcome if nobody acts.
    """

    kind: str
    headline: str
    question: str
    probability: float
    is_measured: bool
    stake: Decimal
    value: Decimal
    low: Decimal
    high: Decimal
    horizon_days: int
    evidence: tuple[tuple[str, str], ...]
    verdict: str
    reason: str
    is_urgent: bool = False
    is_selling: bool = True
    assumed_margin: bool = False
    revenue: Decimal | None = None
    unproven_reason: str | None = None
    is_about_product: bool = False


@dataclass(frozen=True, slots=True)
class PastOrder:
    """One of the customer's last orders, in its own currency."""

    number: str
    ordered_at: datetime
    net: Decimal
    currency: str
    lines: int
    is_this_one: bool = False


@dataclass(frozen=True, slots=True)
class AlertView:
    """An alert with everything that stands beside it."""

    public_id: UUID
    occasion: str
    customer_id: int | None
    customer_ref: str | None
    customer_name: str | None
    phone: str | None
    city: str | None
    about_rep_id: int | None
    about_rep_name: str | None
    about_rep_ref: str | None
    rep_name: str
    time_zone: str
    is_default_owner: bool
    verdict: str
    reason: str
    state: str
    value: Decimal
    currency: str
    as_of: datetime
    created_at: datetime
    severity: str
    order_number: str | None
    order_ref: str | None
    order_source: str | None
    points: tuple[Point, ...]
    orders: tuple[PastOrder, ...]
    sequence: int
    others: tuple[Point, ...] = ()
    amended_at: datetime | None = None
    snoozed_until: datetime | None = None
    close_reason: str | None = None

    @property
    def customer(self) -> str:
        """Whom it is about, as a rep knows it: the customer by name or the upstream's number, else the rep."""
        if self.customer_id is None:
            return self.about_rep_name or f"Rep {self.about_rep_id}"
        return self.customer_name or f"Customer {self.customer_ref or self.customer_id}"

    @property
    def about(self) -> str:
        """What it is about, by our own ids: "customer/7" or "rep/3"."""
        return f"rep/{self.about_rep_id}" if self.customer_id is None else f"customer/{self.customer_id}"

    @property
    def is_urgent(self) -> bool:
        """Whether it could not wait."""
        return self.severity == Severity.URGENT

    @property
    def best(self) -> Point:
        """The point the alert is named after."""
        return self.points[0]

    @property
    def question(self) -> str:
        """The one question to ask: the best that names a product, for goods can be offered; else the best."""
        return next((each for each in self.points if each.is_about_product), self.best).question


def why(reason: str) -> str:
    """Return a stored reason in words; one we no longer know is shown as it is."""
    known = {each.value: in_words for each, in_words in WHY.items()}
    return known.get(reason, reason.replace("_", " "))


def money(amount: Decimal, currency: str) -> str:
    """A short amount for reading: pence only where they matter."""
    if abs(amount) >= PENNIES_MATTER_BELOW or amount == amount.to_integral_value():
        return format_currency(amount, currency, format="¤#,##0", locale=LOCALE, currency_digits=False)
    return exact_money(amount, currency)


def exact_money(amount: Decimal, currency: str) -> str:
    """An amount as on an invoice."""
    return format_currency(amount, currency, locale=LOCALE)


def margin(point: Point, currency: str) -> str:
    """The margin to win by an offer, else at risk; "estimated" where no cost is known."""
    estimated = " (estimated)" if point.assumed_margin else ""
    return f"{money(point.stake, currency)} margin {'to win' if point.is_selling else 'at risk'}{estimated}"


def margin_with_period(point: Point, currency: str) -> str:
    """The same with the time it is expected over; of what is only owed to the customer, that."""
    if not point.stake:
        return "nothing to win: the customer should hear of it"
    return f"{margin(point, currency)} {horizon(point.horizon_days)}"


def day(moment: datetime, time_zone: str) -> str:
    """A date with its weekday: "Mon 28 Feb 2011"."""
    return format_date(moment.astimezone(ZoneInfo(time_zone)), "EEE d MMM yyyy", locale=LOCALE)


def short_day(moment: datetime, time_zone: str) -> str:
    """A date of these weeks: "Mon 28 Feb"."""
    return format_date(moment.astimezone(ZoneInfo(time_zone)), "EEE d MMM", locale=LOCALE)


def moment(at: datetime, time_zone: str) -> str:
    """A date and time of day."""
    return format_datetime(at.astimezone(ZoneInfo(time_zone)), "EEE d MMM, HH:mm", locale=LOCALE)


def horizon(days: int) -> str:
    """The time a value is expected over."""
    if days <= 1:
        return "on this order"
    return f"over {days} days"
