"""What happens after a failed try is one table: when to try again, or why to give up."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from services.alerts.channel import (
    REFUSED_SCHEDULE,
    SCHEDULE,
    Failures,
    GiveUp,
    Rejected,
    TryAgain,
    Unavailable,
    after_failure,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ID = UUID(int=1)


def wait(attempt: int, error: Unavailable, delivery: UUID = ID) -> timedelta:
    step = after_failure(Failures(attempt - 1, attempt - 1), error, NOW, delivery)
    assert isinstance(step, TryAgain)
    return step.at - NOW


@pytest.mark.parametrize("attempt", range(1, 14))
def test_waits_keep_to_the_schedule_within_a_fifth(attempt: int) -> None:
    planned = SCHEDULE[attempt - 1]

    assert planned * 0.8 <= wait(attempt, Unavailable("busy")) <= planned * 1.2


def test_fourteen_tries_take_eighty_seven_hours() -> None:
    assert sum(SCHEDULE, timedelta()) == timedelta(seconds=315_755)
    assert isinstance(after_failure(Failures(other=13), Unavailable("busy"), NOW, ID), GiveUp)


def test_the_same_delivery_waits_the_same_time_and_others_wait_another() -> None:
    assert wait(3, Unavailable("busy")) == wait(3, Unavailable("busy"))
    assert wait(3, Unavailable("busy")) != wait(3, Unavailable("busy"), UUID(int=2))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param(timedelta(minutes=20), timedelta(minutes=20), id="a receiver may ask for more time"),
        pytest.param(timedelta(days=30), timedelta(hours=1), id="but never for more than an hour"),
    ],
)
def test_retry_after_is_honoured_within_bounds(asked: timedelta, expected: timedelta) -> None:
    assert wait(1, Unavailable("429", retry_after=asked)) == expected


def test_asking_for_less_time_than_the_schedule_changes_nothing() -> None:
    assert wait(4, Unavailable("503", retry_after=timedelta(seconds=1))) == wait(4, Unavailable("503"))


def test_a_refusal_is_tried_eight_times_over_four_days() -> None:
    refused = Unavailable("answered 404", is_refusal=True)

    assert timedelta(days=3.5) < sum(REFUSED_SCHEDULE, timedelta()) < timedelta(days=4)
    assert [round(wait(each, refused) / REFUSED_SCHEDULE[each - 1]) for each in range(1, 8)] == [1] * 7
    assert isinstance(after_failure(Failures(refused=7), refused, NOW, ID), GiveUp)


def test_what_failed_otherwise_before_brings_a_refusal_no_nearer_to_its_end() -> None:
    step = after_failure(Failures(other=9), Unavailable("answered 404", is_refusal=True), NOW, ID)

    assert isinstance(step, TryAgain)
    assert step.at - NOW < timedelta(minutes=13)


def test_what_was_rejected_is_never_tried_again() -> None:
    assert after_failure(Failures(), Rejected("no such mailbox"), NOW, ID) == GiveUp("no such mailbox")
