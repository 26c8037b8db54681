"""Whose spend dropped: what the model finds among customers of known habits."""

from collections.abc import Iterator
from datetime import date, timedelta
from random import Random

from services.scoring.fit.models.spend_drop import MODEL
from tests.model_facts import AS_OF, Bought, facts_of

TODAY = AS_OF.date()
DROPPED = 999


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


def trade() -> Iterator[Bought]:
    """Fortnightly orders of about a hundred; now and then a customer orders for a third of it for half a year."""
    chance = Random(5)
    for customer in range(300):
        small_until = 800
        for days in range(700, 0, -14):
            if days < small_until - 180 and chance.random() < 0.02:
                small_until = days
            small = small_until - 180 < days <= small_until
            yield Bought(customer, ago(days), net=(33 if small else 100) * chance.uniform(0.8, 1.2))
    yield from (Bought(DROPPED, ago(days), net=20 if days <= 90 else 100) for days in range(700, 0, -14))
    yield from (Bought(DROPPED + 1, ago(days)) for days in range(700, 0, -14))


def test_a_drop_is_found_with_what_it_takes_away_and_the_chance_to_recover() -> None:
    with facts_of(list(trade())) as facts:
        (piece,) = MODEL.build(facts)
        rows = {row["customer_id"]: row for row in facts.engine.rows(piece.rows)}
    assert DROPPED in rows
    assert DROPPED + 1 not in rows
    dropped = rows[DROPPED]
    assert 0.6 < dropped["drop"] < 0.9
    assert dropped["deviation"] < -2
    assert dropped["orders_quarter"] == 6
    assert all(0 < row["p0"] < 1 and 0 < row["gain"] < 0.3 * row["revenue"] for row in rows.values())


def test_who_orders_every_week_and_paused_for_ten_days_still_orders() -> None:
    """Nobody is said to go quiet before 14 days of silence: until then a drop is theirs to tell."""
    weekly = [
        Bought(900, ago(days), net=20 if days <= 91 else 100) for days in range(690, 0, -6) if days > 10
    ]
    with facts_of([*trade(), *weekly]) as facts:
        (piece,) = MODEL.build(facts)
        assert 900 in {row["customer_id"] for row in facts.engine.rows(piece.rows)}


def test_too_short_a_history_says_nothing() -> None:
    with facts_of([Bought(1, ago(days)) for days in range(150, 0, -14)]) as facts:
        assert list(MODEL.build(facts)) == []
