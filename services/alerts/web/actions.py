"""What a rep's form asks for: called, won, lost, later, not useful, or undo."""

from collections.abc import Mapping
from datetime import datetime

from services.alerts.dismissals import EFFECTS
from services.alerts.policy import next_monday_morning, tomorrow_morning
from services.alerts.store.inbox import AlertAction

LONGEST_REASON = 200
DISMISSALS = {name: effect.words for name, effect in EFFECTS.items()}
"""Why a rep may wave an alert away. The word is stored, so that kinds can be graded by it."""


class UnknownAction(ValueError):
    """The form asks for something that does not exist, or leaves out a reason."""


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
