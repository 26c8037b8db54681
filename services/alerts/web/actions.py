"""What a rep's form or a chat's button asks for: called, won, lost, later, not useful, or undo; and doing it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from services.alerts import notices
from services.alerts.channel import Sending
from services.alerts.dismissals import EFFECTS
from services.alerts.policy import next_monday_morning, tomorrow_morning
from services.alerts.store import inbox, outbox
from services.alerts.store.inbox import AlertAction, Found
from services.alerts.store.notices import save_notice

LONGEST_REASON = 200
DISMISSALS = {name: effect.words for name, effect in EFFECTS.items()}
"""Why a rep may wave an alert away. The word is stored, so that kinds can be graded by it."""


class UnknownAction(ValueError):
    """The form asks for something that does not exist, or leaves out a reason."""


class NoSuchAlert(LookupError):
    """The alert is not there, or was withdrawn."""


@dataclass(frozen=True, slots=True)
class Acting:
    """Who acts and when. `is_recipient`: it can be nobody but the alert's recipient."""

    by: str
    now: datetime
    is_recipient: bool = False


def take_action(
    connection: Connection, public_id: UUID, form: Mapping[str, str], acting: Acting, sending: Sending
) -> tuple[Found, AlertAction]:
    """Do what a form asks for, once. Returns the alert as it was, and what was done.

    What was put off is told again on its morning; whoever keeps the data is asked of who has left.
    Raises NoSuchAlert and UnknownAction.
    """
    found = inbox.find(connection, public_id, hold=True)
    if found is None or found.state == "withdrawn":
        raise NoSuchAlert
    wanted = action_of(form, acting.now, found.time_zone)
    if wanted.state == found.state and wanted.action != "snooze":
        return found, wanted
    actor = found.recipient_id if acting.is_recipient else None
    inbox.act(connection, found.id, wanted, acting.now, by=acting.by, actor_id=actor)
    outbox.withdraw_reminders(connection, found.id)
    if wanted.until is not None:
        outbox.remind(connection, found.id, wanted.until, sending, acting.now)
    if wanted.dismissal == "customer_gone":
        notice = notices.customer_gone(found.recipient, found.customer, wanted.reason or "")
        save_notice(connection, notice, ("", ""), sending)
    return found, wanted


def action_of(form: Mapping[str, str], now: datetime, time_zone: str) -> AlertAction:
    """Return what a form asks for. Raises UnknownAction."""
    asked = form.get("action", "")
    if asked in ("called", "won", "lost"):
        return AlertAction(asked, "done")
    if asked == "undo":
        return AlertAction("undo", "open")
    if asked == "snooze_tomorrow":
        return AlertAction("snooze", "snoozed", until=tomorrow_morning(now, time_zone))
    if asked == "snooze_week":
        return AlertAction("snooze", "snoozed", until=next_monday_morning(now, time_zone))
    if asked == "dismiss":
        chosen = DISMISSALS.get(form.get("reason", ""))
        if chosen is None:
            raise UnknownAction("Say why it was not useful: what follows depends on it.")
        words = "".join(letter for letter in form.get("words", "") if letter.isprintable()).strip()
        reason = f"{chosen}: {words[:LONGEST_REASON]}" if words else chosen
        return AlertAction("dismiss", "dismissed", reason=reason, dismissal=form["reason"])
    raise UnknownAction("Choose what to do with the alert.")
