"""What was planted, for tests to ask whether it was found and whether quiet customers were left alone."""

import json
from typing import TypedDict

from deploy.sample.company import Company
from deploy.sample.last_day import Oddity

# What is expected of the odd orders that are not simply left alone.
EXPECTED = {"cancelled": "withdrawn", "edited": "once"}


class Truth(TypedDict):
    """One planted situation.

    `expect` names the signal kind that should find it, or says "quiet". "withdrawn" stands for a cancelled order:
    what was said of its first version must be taken back; "once" for an edited one: nothing may be said twice.
    `order` is the order of the last day that shows it; other orders of that customer are not meant.
    """

    situation: str
    customer: str | None
    subject: str | None
    since: str | None
    expect: str
    note: str
    on_last_day: bool
    order: str | None


def truths(company: Company, odd: list[Oddity], order_of: dict[str, str]) -> list[Truth]:
    """All of them, customers' first. `order_of` names the order each customer placed on the last day."""
    planted = [
        Truth(
            situation=part.situation,
            customer=customer_id,
            subject=part.subject,
            since=part.since.isoformat() if part.since else None,
            expect=part.expect,
            note=part.note,
            on_last_day=part.is_on_last_day,
            order=order_of.get(customer_id) if part.is_on_last_day else None,
        )
        for customer_id, part in company.parts.items()
    ]
    return planted + [
        Truth(
            situation=situation,
            customer=order.customer.id if order.customer else None,
            subject=None,
            since=company.last_day.isoformat(),
            expect=EXPECTED.get(situation, "quiet"),
            note=note,
            on_last_day=True,
            order=order.id,
        )
        for order, situation, note in odd
    ]


def as_json(found: list[Truth]) -> str:
    """One situation a line, so that it can be read and compared."""
    return "[\n" + ",\n".join(json.dumps(each) for each in found) + "\n]\n"
