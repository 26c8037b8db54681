"""The policy: a table of rules read from top to bottom. The first that fits wins, the last fits all."""

import json
from dataclasses import asdict, dataclass
from decimal import Decimal
from hashlib import sha256
from typing import Any

from services.alerts.candidate import Candidate
from shared.domain.signal import Severity


@dataclass(frozen=True, slots=True)
class Rule:
    """What holds for the signals it fits. None fits either way; `value_floor`: what a whole message must be worth,
    expected margin in base currency.
    """

    name: str
    value_floor: Decimal
    holdout_percent: int
    severity: Severity | None = None
    is_selling: bool | None = None
    counts_in_budget: bool = True

    def fits(self, candidate: Candidate) -> bool:
        """Whether this rule speaks about that signal."""
        return self.severity in (None, candidate.severity) and self.is_selling in (
            None,
            candidate.is_selling,
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules, and the limits that hold across signals."""

    rules: tuple[Rule, ...]
    messages_per_rep: int
    points_per_message: int = 3
    resend_growth: Decimal = Decimal("1.5")
    is_shadow: bool = False

    def rule_for(self, candidate: Candidate) -> Rule:
        """Return the first rule that fits."""
        return next(rule for rule in self.rules if rule.fits(candidate))

    def as_json(self) -> dict[str, Any]:
        """The whole policy in plain values, money as text."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str, sort_keys=True))
        return plain

    @property
    def version(self) -> str:
        """A name that changes when, and only when, the policy does."""
        return sha256(json.dumps(self.as_json(), sort_keys=True).encode()).hexdigest()[:12]


def standard_policy(
    *, messages_per_rep: int, value_floor: Decimal, holdout_percent: int, is_shadow: bool
) -> Policy:
    """The policy of an installation that has written none of its own.

    A sale below the floor is a mistake to stop, not an offer to test: it is never held out and takes no budget.
    """
    return Policy(
        rules=(
            Rule("urgent", value_floor, holdout_percent=0, severity=Severity.URGENT, counts_in_budget=False),
            Rule("selling", value_floor, holdout_percent, is_selling=True),
            Rule("everything else", value_floor, holdout_percent),
        ),
        messages_per_rep=messages_per_rep,
        is_shadow=is_shadow,
    )
