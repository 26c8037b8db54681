"""Journey: five mornings of the sample company, five messages a rep each, and who was told of what was planted.

What fits no morning waits for the next, and is told while it is true.
"""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared import tasks
from tests.journeys.test_sample_company import (
    CLOSE_OF_BUSINESS,
    DAY_KINDS,
    FOUND_OF_DAYS,
    OF_ITEMS,
    RECALL,
    Company,
    Played,
    files,
    played,
)

__all__ = ["files", "played"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

EVENINGS = [CLOSE_OF_BUSINESS + timedelta(days=days) for days in (0, 1, 4, 5, 6)]
"""From Thursday to Wednesday; mails go out at seven of the working day that follows."""

SENT = sorted({*DAY_KINDS} - {"reorder_due", "half_usual"})
BUDGET = 5
NOTIFIED = FOUND_OF_DAYS.replace(
    "WHERE occasion", "JOIN decision ON decision.signal_id = signal.id AND rank IS NOT NULL WHERE occasion"
)
HIDDEN = (
    "SELECT DISTINCT hidden.kind, external_id FROM decision JOIN signal AS hidden ON hidden.id = signal_id"
    " JOIN customer_ref USING (customer_id) JOIN signal AS graver USING (customer_id)"
    " JOIN decision AS told ON told.signal_id = graver.id AND told.rank IS NOT NULL"
    " WHERE graver.kind = decision.inhibited_by"
)
"""What was not told because a graver question about the customer was: prices that slip, where one item's cost rose."""

DECISIONS = (
    "SELECT DISTINCT decision.verdict || ' ' || decision.reason FROM decision JOIN signal ON signal.id = signal_id"
    " JOIN customer_ref USING (customer_id) WHERE kind = :kind AND external_id = :customer"
)


@pytest.fixture(scope="module")
def week(played: Played) -> Iterator[Company]:
    """The company after five mornings."""
    company = played.company
    planted = {each["customer"] for each in (*company.truths, *company.of_days)}
    lines = company.files.last_day.read_text("utf-8").splitlines()
    orders = (json.loads(line) for line in lines)
    bystander = next(
        each
        for each in orders
        if each["customer"] and each["customer"]["id"] not in planted and each["lines"]
    )
    for number, evening in enumerate(EVENINGS):
        if number:  # the company trades on: without any order, absences would say nothing
            company.now = evening
            at = evening - timedelta(hours=8)
            company.play([json.dumps(bystander | {"id": f"NEXT-{number}", "ordered_at": at.isoformat()})])
            _fit(company, evening)
        company.look()
    yield company
    company.now = CLOSE_OF_BUSINESS


def _fit(company: Company, evening: datetime) -> None:
    with company.database.transaction() as connection:
        tasks.put(connection, "scoring", "fit", [f"{evening.date()}:"])
    company.drain()


@pytest.mark.parametrize("kind", SENT)
def test_nine_in_ten_of_what_merits_a_call_is_told_within_five_mornings(week: Company, kind: str) -> None:
    told, hidden = set(week.rows(NOTIFIED)), set(week.rows(HIDDEN))
    planted = [each for each in week.of_days if each["expect"] == kind and each["merits_call"]]
    missed = [each for each in planted if _key(each) not in told and (kind, each["customer"]) not in hidden]
    why = [
        (each["customer"], each["gain"], week.rows(DECISIONS, kind=kind, customer=each["customer"]))
        for each in missed
    ]
    assert planted
    assert len(planted) - len(missed) >= RECALL * len(planted), why


def test_no_decoy_is_told_within_five_mornings(week: Company) -> None:
    told = set(week.rows(NOTIFIED))
    decoys = [each for each in week.of_days if each["is_decoy"]]
    assert decoys
    assert [(each["situation"], each["customer"]) for each in decoys if _key(each) in told] == []


def test_no_rep_gets_more_than_five_a_morning(week: Company) -> None:
    by_morning = week.rows(
        "SELECT recipient_id, business_day, count(*) FROM alert WHERE notified_at IS NOT NULL AND order_id IS NULL"
        " GROUP BY 1, 2"
    )
    assert by_morning
    assert max(count for *_, count in by_morning) <= BUDGET


def _key(truth: dict[str, Any]) -> tuple[str, str, str | None]:
    return truth["kind"], truth["customer"], truth["subject"] if truth["kind"] in OF_ITEMS else None
