"""The page about a replayed month: what was said, and what then happened by the source file."""

import csv
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple, Self

from bench.month_judge import AFTER, Named, Past, Pasts, by_weight, caught, plain_rule, read

BEST = 30
CALL, CORRECTION = 10.0, 3.0
"""What each costs: no message leads with less."""

CORRECTIONS = ("price_error", "below_floor", "margin_erosion", "discount_outlier", "cost_not_passed_on")

JUDGED = Path(__file__).parent / "month_judged.csv"
HOLDS = timedelta(days=7)
"""A judgement holds for a message of these days about the same customer and kind, when another run sends it."""


@dataclass(slots=True)
class Point:
    """One finding of a message. `gain` and `stake` in pounds; `p0` the chance of the good outcome unaided."""

    kind: str
    headline: str
    gain: float
    stake: float
    p0: float
    basis: str
    horizon_days: int
    items: tuple[str, ...]
    detail: dict[str, Any]


@dataclass(slots=True)
class Message:
    """One mail, word for word, and the points it made: the first leads."""

    day: date
    rep: str
    customer: str
    subject: str
    text: str
    points: list[Point] = field(default_factory=list)

    @property
    def lead(self) -> Point:
        """The reason for the message."""
        return self.points[0]


class Judgement(NamedTuple):
    """Whether a message of a day is worth a call, and why."""

    day: date
    call: str
    why: str


@dataclass(slots=True)
class Replay:
    """A month as played: its days, the minutes it took, what became of everything, and the messages."""

    first: date
    until: date
    minutes: float
    account: dict[str, dict[str, int]]
    messages: tuple[Message, ...]

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> Self:
        """Read it as it was written in JSON."""
        messages = tuple(
            Message(
                **each
                | {
                    "day": date.fromisoformat(each["day"]),
                    "points": [Point(**point | {"items": tuple(point["items"])}) for point in each["points"]],
                }
            )
            for each in plain["messages"]
        )
        days = {name: date.fromisoformat(plain[name]) for name in ("first", "until")}
        return cls(**dict(plain) | days | {"messages": messages})


def _came_back(past: Past, point: Point, day: date) -> bool | None:  # noqa: ARG001 - any order will do
    return not past.is_lost(day)


def _took(days: int) -> "Outcome":
    def outcome(past: Past, point: Point, day: date) -> bool | None:
        return past.bought(point.items, day, days) > 0 if point.items else None

    return outcome


def _spent_again(past: Past, point: Point, day: date) -> bool | None:  # noqa: ARG001 - the same of every point
    return past.sales(day, day + AFTER) >= BACK_SHARE * past.trade(day)


def _paid_usual(past: Past, point: Point, day: date) -> bool | None:
    paid = past.prices(point.items[0], day + timedelta(days=1), 90) if point.items else []
    return paid[0] >= NEAR * float(point.detail["usual"]) if paid else None


Outcome = Callable[[Past, Point, date], bool | None]
BACK_SHARE = 0.8
NEAR = 0.98
"""So near the usual price is the usual price."""

OUTCOMES: Mapping[str, tuple[str, Outcome]] = {
    "going_quiet": ("ordered again in 90 days", _came_back),
    "spend_drop": ("spent 80 % of the usual in 90 days", _spent_again),
    "stopped_item": ("took it again in 90 days", _took(90)),
    "basket_gap": ("took any of it in 30 days", _took(30)),
    "reorder_due": ("took any of it in 30 days", _took(30)),
    "cross_sell": ("bought it in 60 days", _took(60)),
    "up_sell": ("bought it again in 60 days", _took(60)),
    "price_error": ("paid the usual price the next time", _paid_usual),
}
"""What the file can say of a kind: the good outcome, in which nobody had a hand. Of other prices it says too little."""


def page(replay: Replay, reference: Path) -> str:
    """Write the page."""
    pasts = read(reference)
    parts = [
        "# A real month",
        "",
        f"Made by `make month` in {replay.minutes:.0f} minutes. UCI Online Retail II is imported up to the end of",
        f"{replay.first - timedelta(days=1):%B %Y}; the orders from then to before {replay.until:%-d %B} come as",
        "webhooks at their own times, the business clock running: nights fit and evaluate, mornings send. Three reps,",
        "five messages a day each (mistakes on orders apart), nobody left alone on purpose. What then happened is read",
        "from the source file; nobody called these customers.",
        "",
        "## Messages by what leads them",
        "",
        *_by_kind(replay.messages, pasts),
        "",
        "## Beside a plain rule",
        "",
        *_beside_rule(replay, pasts),
        "",
        "## What became of everything",
        "",
        *_account(replay.account),
        "",
        *_best(replay.messages),
    ]
    return "\n".join(parts).rstrip() + "\n"


def _by_kind(messages: Sequence[Message], pasts: Pasts) -> Iterable[str]:
    """One row a kind: how many, what they were worth, and what then happened."""
    by_kind: defaultdict[str, list[Message]] = defaultdict(list)
    for each in messages:
        by_kind[each.lead.kind].append(each)
    yield "| led by | messages | gain each | gain | least gain | then, in the file | expected | seen | trade lost |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for kind, those in sorted(by_kind.items(), key=lambda each: -sum(one.lead.gain for one in each[1])):
        yield _row(kind, those, pasts)
    if messages:
        gains = [each.lead.gain for each in messages]
        yield f"| all | {len(gains)} | £{mean(gains):,.0f} | £{sum(gains):,.0f} | £{min(gains):,.2f} | | | | |"
    yield "| *the first version, same month* | 54 | £8 | £430 | | | | | |"
    under = [
        each for each in messages if each.lead.gain < (CORRECTION if each.lead.kind in CORRECTIONS else CALL)
    ]
    yield ""
    yield f"Messages below the floor (a call £{CALL:.0f}, a correction £{CORRECTION:.0f}): {len(under)}."


def _row(kind: str, messages: Sequence[Message], pasts: Pasts) -> str:
    words, outcome = OUTCOMES.get(kind, ("not in the file", lambda *_: None))
    seen = [outcome(pasts[each.customer], each.lead, each.day) for each in messages]
    judged = [each for each in seen if each is not None]
    share = f"{sum(judged)} of {len(judged)}" if judged else ""
    lost = sum(pasts[each.customer].lost_trade(each.day) for each in messages)
    gains = [each.lead.gain for each in messages]
    expected = mean(each.lead.p0 for each in messages) * len(judged)
    return (
        f"| `{kind}` | {len(gains)} | £{mean(gains):,.0f} | £{sum(gains):,.0f} | £{min(gains):,.2f} | {words}"
        f" | {expected:.1f} | {share} | £{lost:,.0f} |"
    )


def named_quiet(messages: Iterable[Message]) -> list[Named]:
    """Whom our messages named as going quiet, the most gain first."""
    return by_weight(
        Named(each.customer, each.day, point.gain)
        for each in messages
        for point in each.points
        if point.kind == "going_quiet"
    )


def _beside_rule(replay: Replay, pasts: Pasts) -> Iterable[str]:
    """Our first N by gain beside the rule's first N by sales."""
    ours, rule = named_quiet(replay.messages), plain_rule(pasts, replay.first, replay.until)
    count = min(len(ours), len(rule))
    yield "The rule names a customer when the gap first exceeds 1.5 times their own shrunk mean (five order days, 14"
    yield "days), the largest sales of 270 days first. Lost: no order in the 90 days after; their trade: the sales of"
    yield "the 270 days before, a third."
    yield ""
    yield "| | named | lost | trade of a quarter lost |"
    yield "|---|---|---|---|"
    for name, those in (
        ("the rule, all", rule),
        (f"the rule, first {count} by sales", rule[:count]),
        ("ours, all", ours),
        (f"ours, first {count} by gain", ours[:count]),
    ):
        found = caught(pasts, those)
        yield f"| {name} | {found.named} | {found.lost} | £{found.trade:,.0f} |"


def _account(account: Mapping[str, Mapping[str, int]]) -> Iterable[str]:
    for title, counts in account.items():
        yield f"- {title}: " + ("; ".join(f"{name} {count:,}" for name, count in counts.items()) or "none")


def _best(messages: Sequence[Message]) -> Iterable[str]:
    """The best by gain, word for word, each with our judgement."""
    best = sorted(messages, key=lambda each: -each.lead.gain)[:BEST]
    judged = _judged()
    said = [_judgement(judged, each) for each in best]
    answers = [answer for answer, _ in said if answer]
    yield f"## The {len(best)} best messages: would you call?"
    yield ""
    yield "By gain. Judged by one of us as the rep who reads them, from the message and the customer's history up to"
    yield f"that day (`bench/month_judged.csv`): {answers.count('yes')} of the {len(answers)} judged yes."
    yield ""
    yield "| | day | customer | message | call? | why |"
    yield "|---|---|---|---|---|---|"
    for number, (each, (answer, reason)) in enumerate(zip(best, said, strict=True), 1):
        yield f"| {number} | {each.day:%-d %b} | {each.customer} | {each.subject} | {answer} | {reason} |"
    for number, each in enumerate(best, 1):
        yield f"\n### {number}. {each.day:%a %-d %b}, to {each.rep}: {each.subject}\n\n```\n{_shown(each.text)}\n```"


def _shown(text: str) -> str:
    """The mail without its last lines, which are the same in all: the link, why, and from whom."""
    return text.partition("\nDone, not now")[0].strip()


def _judgement(judged: Mapping[tuple[str, str], Sequence[Judgement]], message: Message) -> tuple[str, str]:
    """What was said of a message of these days about the same; of several, the nearest."""
    near = [
        (abs(message.day - each.day), each)
        for each in judged.get((message.customer, message.lead.kind), ())
        if abs(message.day - each.day) <= HOLDS
    ]
    if not near:
        return "", "not judged yet"
    _, said = min(near, key=lambda pair: pair[0])
    return said.call, said.why


def _judged() -> dict[tuple[str, str], list[Judgement]]:
    """Our judgements by customer and kind."""
    found: dict[tuple[str, str], list[Judgement]] = defaultdict(list)
    with JUDGED.open(newline="") as lines:
        for row in csv.DictReader(lines):
            said = Judgement(date.fromisoformat(row["day"]), row["call"], row["why"])
            found[row["customer"], row["kind"]].append(said)
    return found
