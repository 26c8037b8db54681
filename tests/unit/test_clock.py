"""The business clock: real, fixed, or running from a start at a rate."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.clock import business_clock, real_now, start_of_day

START = datetime(2010, 10, 1, 9, tzinfo=UTC)
SOON = timedelta(seconds=5)


def test_it_is_real_unless_told() -> None:
    assert abs(business_clock(None)() - real_now()) < SOON


def test_it_stands_still_where_it_is_fixed() -> None:
    assert business_clock(START)() == START


@pytest.mark.parametrize(("rate", "days"), [(1.0, 0.5), (24.0, 12), (1440.0, 720)])
def test_it_runs_from_a_start_at_a_rate(rate: float, days: float) -> None:
    clock = business_clock(START, real_now() - timedelta(hours=12), rate)
    assert abs(clock() - (START + timedelta(days=days))) < SOON * rate


def test_a_day_begins_at_midnight_of_its_zone() -> None:
    late = datetime(2010, 10, 1, 3, tzinfo=UTC)  # still the evening before in New York
    assert start_of_day(late, "America/New_York").isoformat() == "2010-09-30T00:00:00-04:00"
