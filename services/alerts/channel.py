"""What a channel is: one way to get alerts to somebody, the two ways that can fail, and what comes after."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from shared.domain.signal import Severity

SCHEDULE = tuple(
    timedelta(seconds=seconds)
    for seconds in (5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800, 43200, 43200, 86400, 86400)
)
"""Wait after the first, second ... failed try: 14 tries over 87.7 hours."""

JITTER = 0.2
"""Each wait is up to a fifth shorter or longer, so that what failed together does not return together."""

LONGEST_ASKED = timedelta(hours=1)
REFUSED_SCHEDULE = tuple(timedelta(minutes=minutes) for minutes in (10, 60, 240, 720, 1440, 1440, 1440))
"""A receiver that refuses (a 4xx, a relay's 5xx) is asked eight times over four days: somebody may repair it."""


class Rejected(Exception):
    """This message will never be accepted by this recipient.

    `disables`: the endpoint is gone, and takes nothing else either (410). `suppresses`: there is no such address.
    """

    outcome = "rejected"

    def __init__(self, reason: str, *, disables: bool = False, suppresses: bool = False) -> None:
        super().__init__(reason)
        self.disables = disables
        self.suppresses = suppresses


class Unavailable(Exception):
    """Not now. `is_unknown`: it may have been delivered. `is_down`: others would fail the same way.

    `is_refusal`: the receiver answered, and refuses what somebody has to repair, so it is asked less often.
    """

    def __init__(
        self,
        reason: str,
        *,
        retry_after: timedelta | None = None,
        is_unknown: bool = False,
        is_down: bool = False,
        is_refusal: bool = False,
    ) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        self.is_unknown = is_unknown
        self.is_down = is_down
        self.is_refusal = is_refusal

    @property
    def outcome(self) -> str:
        """How the attempt ended, as the delivery log has it."""
        if self.is_unknown:
            return "unknown"
        return "refused" if self.is_refusal else "unavailable"


@dataclass(frozen=True, slots=True)
class Failures:
    """How often a delivery has failed: because it was refused, and otherwise. Each sort has its own schedule."""

    refused: int = 0
    other: int = 0


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Send the same delivery, with the same id, at that time."""

    at: datetime


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Never send it again, unless somebody asks for it."""

    reason: str


def after_failure(
    before: Failures, error: Rejected | Unavailable, now: datetime, delivery_id: UUID
) -> TryAgain | GiveUp:
    """Return the next step after a try failed that `before` failed before.

    A receiver may ask for a later time than ours, by an hour at most; the delivery's id fixes the jitter.
    """
    if isinstance(error, Rejected):
        return GiveUp(str(error))
    waits, failed = (REFUSED_SCHEDULE, before.refused) if error.is_refusal else (SCHEDULE, before.other)
    if failed >= len(waits):
        how = "refused" if error.is_refusal else "failed"
        return GiveUp(f"gave up after it {how} {failed + 1} times; the last: {error}")
    digest = sha256(f"{delivery_id}/{failed + 1}".encode()).digest()
    wait = waits[failed] * (1 - JITTER + 2 * JITTER * int.from_bytes(digest[:4]) / 0xFFFFFFFF)
    if error.retry_after is not None:
        wait = max(wait, min(error.retry_after, LONGEST_ASKED))
    return TryAgain(now + wait)


@dataclass(frozen=True, slots=True)
class Product:
    """What a point is about: the upstream's number, where it has one, and the name."""

    sku: str | None
    name: str | None


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
    product: Product | None = None


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
    rep_ref: str | None
    rep_email: str | None
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
    def is_fix(self) -> bool:
        """Whether it is a mistake on an order, to be put right before anything is sold."""
        return self.order_ref is not None and not self.best.is_selling

    @property
    def best(self) -> Point:
        """The point the alert is named after."""
        return self.points[0]

    @property
    def question(self) -> str:
        """The one question to ask: the best that names a product, for goods can be offered; else the best."""
        return next((each for each in self.points if each.product is not None), self.best).question


@dataclass(frozen=True, slots=True)
class OperatorNotice:
    """What operators are told about deliveries: a line that stands alone, and the text with what to do."""

    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class OutboundMessage:
    """One delivery to send: the same id on every try, signed or dated afresh with `now`.

    `alerts`: one alert or several, each with the link that opens it. The channel renders them, or the `notice` that
    stands in their place. `buttons_of`: the endpoint whose buttons come back to us; None: nothing could verify them.
    """

    delivery_id: UUID
    recipient: str = field(repr=False)
    alerts: tuple[tuple[AlertView, str], ...]
    now: datetime
    secret_number: int = 1
    notice: OperatorNotice | None = None
    buttons_of: UUID | None = None


@dataclass(frozen=True, slots=True)
class ChannelConfig:
    """What channels need of the installation. Secrets stay out of its repr."""

    secret_key: str = field(repr=False)
    mail_from: str
    smtp_url: str | None = field(default=None, repr=False)
    loopback_origins: frozenset[str] = frozenset()
    deadline_seconds: float = 15.0
    previous_secret_key: str | None = field(default=None, repr=False)

    @property
    def secret_keys(self) -> tuple[str, ...]:
        """The secret key, and the one before where one is set."""
        return tuple(each for each in (self.secret_key, self.previous_secret_key) if each is not None)


Receipt = dict[str, Any] | None
"""What a channel answered that is worth keeping: a status, the relay's queue id, the id of a task it made."""

Send = Callable[[OutboundMessage], Receipt]


@dataclass(frozen=True, slots=True)
class Channel:
    """A way out: one file in `services/alerts/channels`, discovered by its `CHANNEL`.

    `open` yields a function that sends one message, returns the receipt and raises Rejected or Unavailable; whatever
    connection it needs lives as long as it is open. It is opened in up to `concurrency` threads for each endpoint.
    `check` returns why an address cannot be one, or None. `missing` returns what the configuration lacks, or None.
    `needs_permission`: only addresses on the list of recipients are sent to; the others were added by an operator.
    `is_for_users`: it reaches a user at the user's own mail address, the others reach endpoints.
    `secret` returns what the receiver at an address verifies messages with, by the number of the secret.
    `claims` says whether an address is plainly this channel's. `has_buttons`: they come back to us, and are verified
    with a signing secret of the receiver.
    """

    name: str
    open: Callable[[ChannelConfig], AbstractContextManager[Send]]
    check: Callable[[str, ChannelConfig], str | None]
    missing: Callable[[ChannelConfig], str | None] = lambda _config: None
    secret: Callable[[ChannelConfig, str, int], str] | None = None
    claims: Callable[[str], bool] = lambda _address: False
    has_buttons: bool = False
    needs_permission: bool = False
    is_for_users: bool = False
    concurrency: int = 4


@dataclass(frozen=True, slots=True)
class Sending:
    """How this installation sends: to nobody yet (shadow), or to those on the list of recipients; by which channels.

    `operators`: the mail addresses of who hears what goes wrong with deliveries. `group_interval`: a recipient is told
    again of one cause after so long at the earliest; none at all where it is 0.
    """

    is_shadow: bool
    recipients: tuple[str, ...]
    config: ChannelConfig
    channels: Mapping[str, Channel]
    operators: tuple[str, ...] = ()
    group_interval: timedelta = timedelta(0)
    clock_pace: float = 1.0
    """Whether a setting fixes the business clock, to replay history: then nothing waits for a business time."""

    def allows(self, address: str) -> bool:
        """Whether an address is on the list: itself, its @domain, or * for everyone."""
        own = address.casefold()
        domain = "@" + own.rpartition("@")[2]
        return any(each == "*" or each.casefold() in (own, domain) for each in self.recipients)

    def allows_endpoint(self, address: str) -> bool:
        """Whether an endpoint's host is on the list, as @host or * for everyone, or is a receiver on this machine."""
        parts = urlsplit(address)
        if f"{parts.scheme}://{parts.netloc}" in self.config.loopback_origins:
            return True
        return self.allows(f"@{parts.hostname or ''}")

    def state_of(self, channel_name: str, recipient: str) -> tuple[str, str | None]:
        """What a delivery is that waits to be sent: ready, or not to be sent, and why."""
        if self.is_shadow:
            return "shadow", "shadow mode: nothing is sent"
        channel = self.channels.get(channel_name)
        if channel is None:
            return "dead", "no such channel is installed"
        if fault := channel.missing(self.config):
            return "not_allowed", fault
        if channel.needs_permission and not self.allows(recipient):
            return "not_allowed", "the address is not on the list of recipients"
        return "ready", None
