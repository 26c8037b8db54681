"""What was planted, for tests to ask whether it was found and whether quiet customers were left alone."""

import json
from datetime import date
from decimal import Decimal
from typing import TypedDict

from deploy.sample.last_day import Oddity
from deploy.sample.stakes import CALL_FLOOR, EFFECTS, Case, gain, stake

# What is expected of the odd orders that are not simply left alone.
EXPECTED = {"cancelled": "withdrawn", "edited": "once"}
CENT = Decimal("0.01")


class Truth(TypedDict):
    """One planted situation, or one that only looks so: a decoy.

    `kind` is the signal kind it is about; `expect` the kind that should find it, or "quiet" for a decoy: that kind
    must leave it alone, others may have reasons of their own. For odd orders, which are about no kind, "withdrawn"
    stands for a cancelled one: what was said of its first version must be taken back; "once" for an edited one:
    nothing may be said twice. `subject` is a product or a category, None when the customer as a whole is meant.
    `order` is the order of the last day that shows it; other orders of that customer are not meant. `stake` is the
    money in euro, `per` quarter or order, `gain` what acting is expected to bring; `merits_call` says whether that
    is worth a call. For a decoy they say what seems to be at stake.
    """

    situation: str
    kind: str | None
    expect: str
    is_decoy: bool
    customer: str | None
    subject: str | None
    since: str | None
    note: str
    on_last_day: bool
    order: str | None
    stake: str | None
    per: str | None
    gain: str | None
    merits_call: bool


def truths(
    planted: dict[str, Case], odd: list[Oddity], order_of: dict[str, str], last_day: date
) -> list[Truth]:
    """All of them, customers' first. `order_of` names the order each customer placed on the last day."""
    return [_truth(case, order_of) for case in planted.values()] + [
        Truth(
            situation=situation,
            kind=None,
            expect=EXPECTED.get(situation, "quiet"),
            is_decoy=False,
            customer=order.customer.id if order.customer else None,
            subject=None,
            since=last_day.isoformat(),
            note=note,
            on_last_day=True,
            order=order.id,
            stake=None,
            per=None,
            gain=None,
            merits_call=False,
        )
        for order, situation, note in odd
    ]


def _truth(case: Case, order_of: dict[str, str]) -> Truth:
    part = case.part
    at_stake = stake(case)
    gained = None if at_stake is None else gain(part.kind, at_stake)
    return Truth(
        situation=part.situation,
        kind=part.kind or None,
        expect=part.expect,
        is_decoy=bool(part.kind) and part.expect == "quiet",
        customer=case.customer.id,
        subject=part.subject,
        since=part.since.isoformat() if part.since else None,
        note=part.note,
        on_last_day=part.is_on_last_day,
        order=order_of.get(case.customer.id) if part.is_on_last_day else None,
        stake=None if at_stake is None else str(at_stake.quantize(CENT)),
        per=EFFECTS[part.kind].per if part.kind else None,
        gain=None if gained is None else f"{gained:.2f}",
        merits_call=gained is not None and gained >= CALL_FLOOR,
    )


def as_json(found: list[Truth]) -> str:
    """One situation a line, so that it can be read and compared."""
    return "[\n" + ",\n".join(json.dumps(each) for each in found) + "\n]\n"
