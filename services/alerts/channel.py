"""What a channel is: one way to get a message to somebody, and the two ways that can fail."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID


class Rejected(Exception):
    """It will never be accepted. `disables`: nothing else will be either (410 Gone)."""

    def __init__(self, reason: str, *, disables: bool = False) -> None:
        super().__init__(reason)
        self.disables = disables


class Unavailable(Exception):
    """Not now. `is_unknown`: it may have been delivered. `is_down`: others would fail the same way.

    `is_refusal`: the receiver answered, and refuses (a 4xx), so few tries are worth it.
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


@dataclass(frozen=True, slots=True)
class RenderedMessage:
    """A message rendered for reading. `thread` is the same for everything about one customer."""

    subject: str
    plain: str
    html: str
    thread: str


@dataclass(frozen=True, slots=True)
class OutboundMessage:
    """One delivery, ready to go: the same id on every try, signed or dated afresh with `now`."""

    delivery_id: UUID
    recipient: str
    rendered: RenderedMessage
    payload: dict[str, Any]
    now: datetime
    secret_number: int = 1


@dataclass(frozen=True, slots=True)
class ChannelConfig:
    """What channels are told of the installation. Secrets stay out of its repr."""

    secret_key: str = field(repr=False)
    mail_from: str
    smtp_url: str | None = field(default=None, repr=False)
    loopback_origins: frozenset[str] = frozenset()
    deadline_seconds: float = 15.0


Receipt = dict[str, Any] | None
"""What a channel answered that is worth keeping, such as the id of a task it made."""

Send = Callable[[OutboundMessage], Receipt]


@dataclass(frozen=True, slots=True)
class Channel:
    """A way out: one file in `services/alerts/channels`, discovered by its `CHANNEL`.

    `open` yields a function that sends one message, returns the receipt and raises Rejected or Unavailable;
    whatever connection it needs lives as long as the batch. `check` returns why an address cannot be one, or None.
    `missing` returns what the configuration lacks, or None. `needs_permission`: only addresses on the list of
    recipients are sent to; the others were added by an operator.
    """

    name: str
    open: Callable[[ChannelConfig], AbstractContextManager[Send]]
    check: Callable[[str, ChannelConfig], str | None]
    missing: Callable[[ChannelConfig], str | None] = lambda _config: None
    needs_permission: bool = False
