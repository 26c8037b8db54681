"""What follows when a rep says that an alert is not useful: what is not told any more, how long, and what ends it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from services.alerts.policy import Candidate


class Scope(StrEnum):
    """What is not told: about the same thing, of the same kind, or about the customer at all."""

    SUBJECT = "subject"
    KIND = "kind"
    CUSTOMER = "customer"


@dataclass(frozen=True, slots=True)
class Effect:
    """What follows from one reason. `scope` None: nothing is silenced, the question is only closed."""

    words: str
    scope: Scope | None = None
    days: int = 0
    unless_grown: bool = False

    def told(self, now: datetime) -> str:
        """The effect in a sentence, for who gave the reason."""
        if self.scope is None:
            return "You will hear of it again only when it happens anew."
        until = f"until {now + timedelta(days=self.days):%-d %B}"
        if self.scope is Scope.CUSTOMER:
            return f"Nothing about this customer {until}, unless it orders; whoever keeps the data is asked."
        about = "of this kind about this customer" if self.scope is Scope.KIND else "more about this"
        grown = ", unless half as much money again is in it" if self.unless_grown else ""
        return f"Nothing {about} {until}{grown}."


EFFECTS = {
    "knew": Effect("I knew this already"),
    "does_not_fit": Effect("It does not fit this customer", Scope.KIND, 90, unless_grown=True),
    "not_worth_it": Effect("Not worth a call", Scope.KIND, 90, unless_grown=True),
    "wrong_figures": Effect("The figures are wrong", Scope.KIND, 90, unless_grown=True),
    "price_agreed": Effect("The price is agreed", Scope.SUBJECT, 180),
    "wrong_item": Effect("It is about the wrong item", Scope.SUBJECT, 180),
    "not_ours": Effect("Not our fault", Scope.SUBJECT, 90),
    "customer_gone": Effect("The customer has closed or left", Scope.CUSTOMER, 90),
}
"""Every reason a rep may give, by the word that is stored."""


@dataclass(frozen=True, slots=True)
class Dismissal:
    """A reason that was given and still has its effect. `stake` is what the dismissed alert was about."""

    customer_id: int | None
    rep_id: int | None
    kind: str
    subject: str
    reason: str
    until: datetime
    stake: Decimal

    def covers(self, candidate: Candidate, growth: Decimal, now: datetime) -> bool:
        """Whether a signal is not told because of it; one about `growth` times the money may be told all the same."""
        effect = EFFECTS.get(self.reason)
        if effect is None or effect.scope is None or now >= self.until:
            return False
        if (self.customer_id, self.rep_id) != (candidate.customer_id, candidate.rep_id):
            return False
        if effect.scope is not Scope.CUSTOMER and self.kind != candidate.kind:
            return False
        if effect.scope is Scope.SUBJECT and self.subject != candidate.subject:
            return False
        stake = candidate.value if candidate.stake is None else candidate.stake
        return not (effect.unless_grown and stake >= self.stake * growth)
