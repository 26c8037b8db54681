"""A backtest knows on each day what was known then, says an open question once, and judges by what came after."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import ibis
import pytest

from services.scoring.backtest import Judged, as_it_stood, mornings, walk
from services.scoring.backtest_report import Names, as_json, groups_of, page, result, share
from services.scoring.engine import open_engine
from services.scoring.facts import OrderFacts
from services.scoring.fit.facts import Facts
from services.scoring.outcomes import ordered_again
from shared.domain.signal import Action, DaySignalKind, Evidence, Signal, Trigger
from tests.model_facts import Bought, facts_of

DAY = date(2025, 9, 1)
"""A Monday, half a year before the facts end."""


def at(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def after(days: int) -> date:
    return DAY + timedelta(days=days)


TRADE = [
    *(Bought(each, after(-days)) for each in (1, 2) for days in (90, 60, 30)),
    Bought(2, after(42)),
    *(Bought(3, after(days)) for days in range(-90, 180, 10)),
]
"""One customer who never orders again, one who comes back after six weeks, and one who never stops."""


def candidates(facts: Facts, as_of: datetime) -> ibis.Table:
    """Everybody; those fire who did not order for 20 days."""
    rows = facts.accounts.group_by("customer_id").agg(
        last=facts.accounts.day.max(), revenue=facts.accounts.net.sum()
    )
    silent = ibis.literal(as_of.date()).delta(rows["last"], unit="day")
    return rows.mutate(p0=ibis.literal(0.4), fires=silent >= 20)


def tell(row: Any) -> Signal:
    return Signal(
        kind="silent", customer_id=row["customer_id"], subject="orders", cause="silence", probability=0.4,
        basis="measured", stake=Decimal(30), value=Decimal(3), low=Decimal(1), high=Decimal(5),
        horizon=timedelta(days=90), headline="No order for long", question="Why?",
        evidence=(Evidence("Spent", f"{row['revenue']:.0f} in all"),), as_of=row["as_of"], expires_at=row["as_of"],
    )  # fmt: skip


KIND: DaySignalKind[OrderFacts] = DaySignalKind(
    name="silent",
    version="1",
    trigger=Trigger.CUSTOMER_DAY,
    candidates=candidates,
    tell=tell,
    ends=lambda facts, episode: None,
    outcome=ordered_again,
    episode_ttl=timedelta(days=30),
    is_selling=False,
    action=Action.MENTION,
)


@pytest.fixture
def whole() -> Iterator[Facts]:
    """A company of three customers."""
    with facts_of(TRADE) as facts:
        yield facts


def judged(facts: Facts, *days: int) -> list[Judged]:
    moments = [at(after(each)) for each in days]
    return [each for day in walk(facts, [KIND], moments) for each in day if each.signal is not None]


def test_the_days_walked_are_mondays() -> None:
    days = mornings(date(2025, 9, 2), date(2025, 9, 22), every=7)
    assert days == [date(2025, 9, 8), date(2025, 9, 15), date(2025, 9, 22)]
    assert len(mornings(date(2025, 9, 2), date(2025, 9, 4), every=1)) == 3


def test_what_was_said_is_judged_by_the_days_after(whole: Facts) -> None:
    assert {each.key: (each.happened, each.confirmed) for each in judged(whole, 0)} == {
        (1,): (False, True),
        (2,): (True, False),
    }


def test_an_open_question_is_said_once_and_a_new_one_again(whole: Facts) -> None:
    found = [(each.key[0], each.day, each.is_new) for each in judged(whole, 0, 7, 49, 70) if each.key == (2,)]
    assert found == [(2, DAY, True), (2, after(7), False), (2, after(70), True)]


def test_a_fact_planted_in_the_future_goes_unused(whole: Facts) -> None:
    """A customer and a product that come on the day itself or later do not exist that morning."""
    planted = [Bought(1, DAY, net=1e9), Bought(9, after(1), product=77, net=1e9)]
    before = [(each.key, each.signal) for each in judged(whole, 0)]
    with facts_of(TRADE + planted) as knowing:
        assert [(each.key, each.signal) for each in judged(knowing, 0)] == before
        with open_engine(threads=1, memory="200MB") as engine:
            facts = as_it_stood(knowing, engine, at(DAY))
            assert engine.rows(facts.lines.agg(last=facts.lines.told_at.max()))[0]["last"] < datetime(
                2025, 9, 1
            )
            assert engine.count(facts.purchases.filter(facts.purchases.net > 1e6)) == 0


def test_what_was_received_later_goes_unused(whole: Facts) -> None:
    """An order dated before the day that came in after it is not known that morning."""
    late = whole.lines.mutate(
        received_at=ibis.ifelse(
            whole.lines.customer_id == 1, ibis.literal(datetime(2025, 9, 2)), ibis.null("timestamp")
        )
    )
    knowing = Facts(**{name: getattr(whole, name) for name in Facts.__slots__ if name != "lines"}, lines=late)
    assert [each.key for each in judged(knowing, 0)] == [(2,)]
    assert sorted(each.key for each in judged(knowing, 7)) == [(1,), (2,)]


def test_an_alert_whose_90_days_are_not_over_is_not_counted(whole: Facts) -> None:
    [open_] = [each for each in judged(whole, 170) if each.key == (1,)]
    assert not open_.is_known
    found = result([[open_]], ["silent"], [open_.day], NAMES)
    assert (found.kinds[0].alerts, found.kinds[0].stayed.of, found.kinds[0].open) == (1, 0, 1)


NAMES = Names({1: "Acme & Sons <Ltd>", 2: "Best"}, "EUR")


def test_a_result_counts_names_and_shows_what_was_wrong(whole: Facts) -> None:
    days = [after(0), after(7)]
    walked = list(walk(whole, [KIND], [at(each) for each in days]))
    [kind] = result(walked, ["silent"], days, NAMES).kinds
    assert (kind.alerts, kind.stayed.hits, kind.stayed.of, kind.stake, kind.lost) == (2, 1, 2, 60, 30)
    assert [(each.customer, each.then) for each in (*kind.right, *kind.wrong)] == [
        ("Acme & Sons <Ltd>", "not put right in 90 days"),
        ("Best", "put right"),
    ]


def test_the_report_loads_nothing_and_writes_names_as_text(whole: Facts) -> None:
    found = result(list(walk(whole, [KIND], [at(DAY)])), ["silent"], [DAY], NAMES)
    text = page(found, title="Report", lead=["So it was."], notes=["Nobody knows."])
    assert "Acme &amp; Sons &lt;Ltd&gt;" in text
    assert not any(word in text for word in ("<script", "http://", "https://", "@import", " src="))
    assert as_json(found)["kinds"][0]["stayed"]["share"] == 0.5


def test_chances_are_held_against_what_was_seen_in_groups_of_thirty_or_more() -> None:
    rows = [
        Judged(
            DAY, "silent", (number,), 0.2 if number < 60 else 0.8, 1.0, None, True, True, number % 5 > 3, None
        )
        for number in range(120)
    ]
    groups = groups_of(rows)
    assert [group.seen.of for group in groups] == [30] * 4
    assert [group.is_good for group in groups] == [True, True, False, False]
    assert groups_of(rows[:29]) == ()


def test_an_interval_is_wilsons() -> None:
    assert share(0, 0).share is None
    half = share(5, 10)
    assert (half.share, round(half.low, 3), round(half.high, 3)) == (0.5, 0.237, 0.763)
