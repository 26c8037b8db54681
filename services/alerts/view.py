"""What of an alert is shown: the same for the mail, the webhook and the inbox."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from shared.domain.signal import Severity


@dataclass(frozen=True, slots=True)
class Point:
    """One signal of an alert. `stake` is the margin if acting succeeds, base currency; `probability`, of that."""

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
