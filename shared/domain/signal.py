"""Signals and their kinds. A signal is one finding about a customer or a rep, with the stake and its evidence."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Generic, NamedTuple, TypeVar

Facts = TypeVar("Facts")


class Trigger(StrEnum):
    """What a kind looks at: an order, or every customer or every rep once a day."""

    ORDER = "order"
    CUSTOMER_DAY = "customer_day"
    REP_DAY = "rep_day"


class Severity(StrEnum):
    """Whether a signal may wait: for others to be grouped with, or for the morning."""

    URGENT = "urgent"
    NORMAL = "normal"


class Action(StrEnum):
    """What a kind asks for, each at a cost of its own: a call, a correction of an order, or a word beside others.

    Of a single signal, a talking point: for a contact that takes place anyway, and never the reason for one.
    """

    CALL = "call"
    CORRECTION = "correction"
    MENTION = "mention"
    TALKING_POINT = "talking_point"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One checkable fact behind a signal, in words a rep would use: a label and what was seen."""

    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Signal:
    """One finding about one customer or rep and one subject.

    `probability` is the chance of the good outcome if nobody acts; `basis` says whether it was measured on this
    company's history ("measured") or assumed ("estimated"). `stake` is the margin at stake over `horizon`, in base
    currency. `value` is the gain: the extra margin that acting is expected to bring; `low` and `high` bound it.
    `cause` distinguishes findings about one subject (an order line, a price break). `assumed_margin` is true when no
    cost was known. `is_owed`: the customer must hear of it though it brings us nothing; it is kept whatever it is
    worth. `is_talking_point`: for a contact that takes place anyway; it is never the reason for one.
    """

    kind: str
    customer_id: int | None
    subject: str
    cause: str
    probability: float
    basis: str
    stake: Decimal
    value: Decimal
    low: Decimal
    high: Decimal
    horizon: timedelta
    headline: str
    question: str
    evidence: tuple[Evidence, ...]
    as_of: datetime
    expires_at: datetime
    severity: Severity = Severity.NORMAL
    assumed_margin: bool = False
    is_owed: bool = False
    is_talking_point: bool = False
    revenue: Decimal | None = None
    product_id: int | None = None
    rep_id: int | None = None
    detail: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] | None = None


class UnwordedSignal(NamedTuple):
    """A signal that is not worded yet: `word` returns the signal, which has this kind, subject and value.

    For what is only mentioned beside a reason for a message, and mostly has none.
    """

    kind: str
    subject: str
    value: Decimal
    word: Callable[[], Signal]

    @property
    def is_owed(self) -> bool:
        """What is owed to a customer is worded at once."""
        return False


def worded(finding: Signal | UnwordedSignal) -> Signal:
    """Return a signal with its words."""
    return finding.word() if isinstance(finding, UnwordedSignal) else finding


@dataclass(frozen=True, slots=True)
class Episode:
    """An open question about one (customer, kind, subject), as a kind sees it when an order comes."""

    kind: str
    customer_id: int
    subject: str
    opened_at: datetime
    product_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalKind(Generic[Facts]):
    """A signal kind: one file in `services/scoring/signals`, discovered by its `KIND`.

    `needs` names what of the data it rests on, by the words of `services.scoring.readiness`.

    `ends` returns why an order ends an open episode, or None. An episode without new evidence ends after
    `episode_ttl`. `needs_model` names the model whose current run must pass its quality gate before the kind may be
    sent. A kind that `is_absence` finds what did not come: it is silent while the feed of orders is stale. One that
    `is_inbox_only` is read in the inbox: no message is sent of it. `action` is what it asks for: a finding that brings
    less than that costs is not kept.

    `outcome` says what became of findings, the same for a backtest and for what was found live. It takes facts that
    reach over `outcome_within` after a moment, the moment, and rows: of a day kind what `candidates` gave then, of an
    order kind `customer_id`, `product_id` and `order_id` of each finding with its `detail`. It returns a row for each,
    named by columns of theirs (customer, and item or category; order and item), with `happened`: the good outcome came
    although nobody acted (NULL: nobody knows); with `confirmed`, where that is not the opposite: what was said stayed
    true; and with the `revenue` and `margin` seen, where it knows them, in base currency.
    """

    name: str
    version: str
    ends: Callable[[Facts, Episode], str | None]
    episode_ttl: timedelta
    is_selling: bool
    is_absence: bool = False
    is_inbox_only: bool = False
    needs: tuple[str, ...] = ("orders",)
    needs_model: str | None = None
    action: Action = Action.CALL
    outcome: Callable[[Any, datetime, Any], Any] | None = None
    outcome_within: timedelta = timedelta(days=90)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderSignalKind(SignalKind[Facts]):
    """A kind that looks at one order. `detect` is pure: facts in, signals out.

    It may yield None for a finding that acting on brings less than it costs: that is counted, and need not be worded.
    What is only a mention may come unworded.
    """

    detect: Callable[[Facts], Iterable[Signal | UnwordedSignal | None]]
    trigger: Trigger = Trigger.ORDER

    def signals(self, facts: Facts) -> list[Signal]:
        """Return what it finds that acting on is worth its cost, all of it worded."""
        return [worded(each) for each in self.detect(facts) if each is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class DaySignalKind(SignalKind[Facts]):
    """A kind that looks at every customer, or every rep, once a day.

    `candidates` takes the facts of the night (`services.scoring.fit.facts.Facts`) and its moment, and returns an
    ibis table of everybody eligible, with a boolean column `fires`. `tell` makes the signal of one row that fires; the
    row also carries `as_of`. A column `since_days`, where there is one, says for how many days the threshold has been
    passed: what is old when a kind first looks opens nothing.
    """

    trigger: Trigger
    candidates: Callable[[Any, datetime], Any]
    tell: Callable[[Mapping[str, Any]], Signal]
