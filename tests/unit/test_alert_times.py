"""Days are the rep's own, buckets are even, and a link opens one alert for two weeks."""

from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest

from services.alerts import message
from services.alerts.decide import bucket
from services.alerts.policy import (
    Reason,
    next_monday_morning,
    next_morning,
    real_delay,
    tomorrow_morning,
    working_day,
)
from services.alerts.web import guard
from services.alerts.web.guard import Access
from tests.unit.test_alert_decide import a_candidate


@pytest.mark.parametrize(
    ("now", "zone", "expected"),
    [
        pytest.param("2011-02-28T23:30+00:00", "UTC", date(2011, 2, 28), id="a Monday"),
        pytest.param(
            "2011-02-28T23:30+00:00", "Europe/Berlin", date(2011, 3, 1), id="already Tuesday in Berlin"
        ),
        pytest.param("2011-03-05T10:00+00:00", "UTC", date(2011, 3, 7), id="Saturday counts for Monday"),
        pytest.param("2011-03-06T10:00+00:00", "UTC", date(2011, 3, 7), id="Sunday counts for Monday"),
    ],
)
def test_a_message_counts_for_the_reps_working_day(now: str, zone: str, expected: date) -> None:
    assert working_day(datetime.fromisoformat(now), zone) == expected


def test_snoozing_comes_back_at_seven_on_a_working_day() -> None:
    friday = datetime(2011, 3, 4, 15, tzinfo=UTC)

    assert tomorrow_morning(friday, "Europe/Berlin").isoformat() == "2011-03-07T07:00:00+01:00"
    assert next_monday_morning(friday, "Europe/Berlin").isoformat() == "2011-03-07T07:00:00+01:00"


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        pytest.param("2011-02-28T02:00+00:00", "2011-02-28T07:00:00+01:00", id="at night: this morning"),
        pytest.param("2011-02-28T06:00+00:00", "2011-02-28T07:00:00+01:00", id="at seven: now"),
        pytest.param("2011-02-28T06:01+00:00", "2011-03-01T07:00:00+01:00", id="after seven: tomorrow"),
        pytest.param("2011-03-05T02:00+00:00", "2011-03-07T07:00:00+01:00", id="on a Saturday: Monday"),
        pytest.param("2011-03-04T12:00+00:00", "2011-03-07T07:00:00+01:00", id="on a Friday at noon: Monday"),
    ],
)
def test_what_a_day_woke_is_sent_in_the_next_morning(now: str, expected: str) -> None:
    assert next_morning(datetime.fromisoformat(now), "Europe/Berlin").isoformat() == expected


@pytest.mark.parametrize(
    ("hours", "pace", "expected"),
    [
        pytest.param(None, 1, 0, id="at once"),
        pytest.param(19, 1, 19, id="in the morning"),
        pytest.param(19, 38, 0.5, id="in the morning, by a clock that runs faster"),
        pytest.param(-1, 1, 0, id="a morning that is past"),
        pytest.param(19, 0, 0, id="a clock that stands still: the morning would never come"),
    ],
)
def test_a_business_time_is_waited_for_in_real_time(hours: int | None, pace: float, expected: float) -> None:
    now = datetime(2011, 2, 28, 12, tzinfo=UTC)
    send_after = None if hours is None else now + timedelta(hours=hours)

    assert real_delay(send_after, now, pace) == timedelta(hours=expected)


def test_buckets_are_stable_and_spread_evenly() -> None:
    assert bucket(a_candidate(1)) == bucket(a_candidate(1))
    below_ten = sum(bucket(a_candidate(customer)) < 10 for customer in range(10_000))
    assert 900 <= below_ten <= 1100


def test_a_link_opens_its_alert_and_nothing_else() -> None:
    alert = uuid4()
    token = message.token_of("a secret", alert)

    assert message.alert_of("a secret", token) == alert
    assert message.alert_of("another secret", token) is None
    assert message.alert_of("a secret", token[:-2] + ("AA" if token[-2:] != "AA" else "BB")) is None
    assert message.alert_of("a secret", guard.form_token("a secret", alert.hex)) is None


LOOPBACK = Access("127.0.0.1", "https://tipoff.example.com", is_open_to_anyone=False)
OPEN_ADDRESS = Access("0.0.0.0", "https://tipoff.example.com", is_open_to_anyone=False)
OPEN_TO_ANYONE = Access("0.0.0.0", "https://tipoff.example.com", is_open_to_anyone=True)


@pytest.mark.parametrize(
    ("access", "headers", "page", "link"),
    [
        pytest.param(LOOPBACK, {"host": "127.0.0.1:8003"}, True, True, id="this machine"),
        pytest.param(LOOPBACK, {"host": "localhost:8003"}, True, True, id="this machine by name"),
        pytest.param(LOOPBACK, {"host": "[::1]:8003"}, True, True, id="this machine by IPv6"),
        pytest.param(LOOPBACK, {"host": "evil.example"}, False, False, id="a foreign name"),
        pytest.param(
            LOOPBACK, {"host": "localhost.evil.example"}, False, False, id="a name that begins like ours"
        ),
        pytest.param(LOOPBACK, {}, False, False, id="no name at all"),
        pytest.param(
            LOOPBACK, {"host": "tipoff.example.com"}, False, True, id="the public name, for links only"
        ),
        pytest.param(
            LOOPBACK,
            {"host": "127.0.0.1", "x-forwarded-for": "10.0.0.1"},
            False,
            True,
            id="forwarded by a proxy",
        ),
        pytest.param(
            LOOPBACK, {"host": "127.0.0.1", "forwarded": "for=x"}, False, True, id="forwarded, newer way"
        ),
        pytest.param(OPEN_ADDRESS, {"host": "127.0.0.1"}, False, True, id="bound to every address"),
        pytest.param(LOOPBACK, {"host": "127.0.0.1", "via": "1.1 x"}, False, True, id="by a proxy, via"),
        pytest.param(
            LOOPBACK, {"host": "127.0.0.1", "x-real-ip": "::1"}, False, True, id="by a proxy, nginx"
        ),
        pytest.param(
            LOOPBACK, {"host": "127.0.0.1", "cf-connecting-ip": "x"}, False, True, id="by a proxy, a CDN"
        ),
        pytest.param(
            OPEN_TO_ANYONE, {"host": "tipoff.example.com"}, True, True, id="open by a setting that says so"
        ),
        pytest.param(OPEN_TO_ANYONE, {"host": "127.0.0.1:8003"}, True, True, id="open, on this machine"),
        pytest.param(OPEN_TO_ANYONE, {"host": "evil.example:8003"}, False, False, id="open, a rebound name"),
        pytest.param(OPEN_TO_ANYONE, {}, False, False, id="open, no name at all"),
    ],
)
def test_who_may_open_pages_and_links(
    access: Access, headers: dict[str, str], page: bool, link: bool
) -> None:
    assert (access.refuses_page(headers) is None) == page
    assert (access.refuses_link(headers) is None) == link


@pytest.mark.parametrize(
    ("headers", "is_ours"),
    [
        ({"host": "127.0.0.1:8003", "origin": "http://127.0.0.1:8003"}, True),
        ({"host": "127.0.0.1:8003", "origin": "http://evil.example"}, False),
        ({"host": "127.0.0.1:8003", "origin": "http://["}, False),
        ({"host": "127.0.0.1:8003", "origin": "null"}, False),
    ],
)
def test_a_form_is_ours_by_its_origin(headers: dict[str, str], is_ours: bool) -> None:
    assert guard.is_own_form(headers) == is_ours


def test_every_reason_has_words_for_the_rep() -> None:
    assert set(message.WHY) == set(Reason)
