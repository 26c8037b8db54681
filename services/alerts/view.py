"""This file says what of an alert is shown: the same for the mail, the webhook and the inbox."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Point:
    """One signal of an alert. `stake` is the margin if it succeeds, in base currency, with the odds of that."""

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
    customer_id: int
    customer_ref: str | None
    customer_name: str | None
    phone: str | None
    city: str | None
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
    is_urgent: bool
    order_number: str
    order_ref: str | None
    order_source: str | None
    points: tuple[Point, ...]
    orders: tuple[PastOrder, ...]
    sequence: int
    kept: tuple[Point, ...] = ()
    amended_at: datetime | None = None
    snoozed_until: datetime | None = None
    close_reason: str | None = None

    @property
    def customer(self) -> str:
        """The customer as a rep knows it: by name, else by the upstream's number."""
        return self.customer_name or f"Customer {self.customer_ref or self.customer_id}"

    @property
    def best(self) -> Point:
        """The point the alert is named after."""
        return self.points[0]

    @property
    def question(self) -> str:
        """The one question to ask: the best that names a product, for goods can be offered; else the best."""
        return next((each for each in self.points if each.is_about_product), self.best).question
