"""What operators are told about deliveries: that an endpoint refuses or fails, and that something ended unsent."""

from dataclasses import dataclass
from datetime import timedelta

UNSENT = {
    "dead": "was given up",
    "expired": "expired before it could be sent",
    "held": "is held: it may have arrived, and nobody knows",
}
"""States in which a delivery ends, or waits for somebody, though it was to be sent."""

FAILING = {"1 h": timedelta(hours=1), "24 h": timedelta(days=1)}
"""After how long of failing operators are told."""

DISABLED_AFTER = timedelta(days=5)
DISABLED_AFTER_FAILURES = 20
"""An endpoint that has failed for so long, and so often, is switched off."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One notice. The next about the same endpoint for the same `cause` is sent after `apart` at the earliest."""

    cause: str
    apart: timedelta
    subject: str
    text: str


def refused(name: str, channel: str, error: str) -> Notice:
    """A receiver refuses what somebody has to repair. `name` is its endpoint's, or the channel's where it has none."""
    return Notice(
        cause="refused",
        apart=timedelta(days=1),
        subject=f"Tipoff: {name} refuses a message",
        text=f"{error}\n\nIt is tried eight times over four days. Nothing is lost meanwhile.\n"
        f"See what waits: tipoff deliveries list --channel {channel} --state ready",
    )


def unsent(name: str, channel: str, state: str, reason: str) -> Notice:
    """Something ended unsent."""
    return Notice(
        cause=state,
        apart=timedelta(hours=1),
        subject=f"Tipoff: a message by {name} {UNSENT[state]}",
        text=f"{reason}\n\nIt stays in the inbox; others may follow within the hour.\n"
        f"List them:       tipoff deliveries list --channel {channel} --state {state}\n"
        f"Send them again: tipoff deliveries resend --channel {channel} --state {state}",
    )


def failing(name: str, channel: str, how_long: str, error: str, waiting: int) -> Notice:
    """An endpoint has failed for that long."""
    return Notice(
        cause=f"failing for {how_long}",
        apart=timedelta(0),
        subject=f"Tipoff: {name} has failed for {how_long}; {_counted(waiting)}",
        text=f"{error}\n\nIt is asked every minute for a day, then every ten minutes; when it answers, all\n"
        "goes that waits.\n"
        f"See what waits: tipoff deliveries list --channel {channel} --state ready",
    )


def customer_gone(who: str, customer: str, words: str) -> Notice:
    """A rep says that a customer has closed or left: whoever keeps the data is asked."""
    return Notice(
        cause=f"{customer} has left",
        apart=timedelta(days=30),
        subject=f"Tipoff: {who} says that {customer} has closed or left",
        text=f"{words}\n\nPlease set its status where customers are kept: nothing is told about it until then, for 90\n"
        "days at most, or until it orders.",
    )


def disabled(name: str, error: str, waiting: int) -> Notice:
    """An endpoint was switched off."""
    return Notice(
        cause="disabled",
        apart=timedelta(0),
        subject=f"Tipoff: {name} was switched off after five days; {_counted(waiting)}",
        text=f"{error}\n\nWhen it is repaired, `tipoff endpoints add` switches it on again and sends what waits.",
    )


def _counted(waiting: int) -> str:
    return "1 message waits" if waiting == 1 else f"{waiting} messages wait"
