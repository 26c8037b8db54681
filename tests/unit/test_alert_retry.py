"""What happens after a failed try is one table: when to try again, or why to give up."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from services.alerts.channel import SCHEDULE, GiveUp, Rejected, TryAgain, Unavailable, after_failure

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ID = UUID(int=1)


def wait(attempt: int, error: Unavailable, delivery: UUID = ID) -> timedelta:
    step = after_failure(attempt, error, NOW, delivery)
    assert isinstance(step, TryAgain)
    return step.at - NOW


@pytest.mark.parametrize("attempt", range(1, 14))
def test_waits_keep_to_the_schedule_within_a_fifth(attempt: int) -> None:
    planned = SCHEDULE[attempt - 1]

    assert planned * 0.8 <= wait(attempt, Unavailable("busy")) <= planned * 1.2


def test_fourteen_tries_take_eighty_seven_hours() -> None:
    assert sum(SCHEDULE, timedelta()) == timedelta(seconds=315_755)
    assert isinstance(after_failure(14, Unavailable("busy"), NOW, ID), GiveUp)


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


def test_a_refusal_is_tried_five_times_within_a_day() -> None:
    refused = Unavailable("answered 404", is_refusal=True)

    assert sum((wait(attempt, refused) for attempt in range(1, 5)), timedelta()) < timedelta(hours=24)
    assert isinstance(after_failure(5, refused, NOW, ID), GiveUp)


def test_what_was_rejected_is_never_tried_again() -> None:
    assert after_failure(1, Rejected("no such mailbox"), NOW, ID) == GiveUp("no such mailbox")


def test_an_endpoint_that_is_gone_is_switched_off() -> None:
    assert after_failure(1, Rejected("gone", disables=True), NOW, ID) == GiveUp("gone", disables=True)
