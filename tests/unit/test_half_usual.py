"""Half the usual is said once it was not made up for in two weeks, and of nobody who always varies."""

from collections.abc import Sequence
from datetime import timedelta
from math import exp, log
from typing import Any

import pytest

from services.scoring.facts import Assumptions
from services.scoring.signals.half_usual import KIND
from tests.model_facts import AS_OF, Bought, facts_of
from tests.order_facts import a_line, a_purchase, an_episode, facts

TODAY = AS_OF.date()
EVERY = 28


def taken(customer: int, *quantities: float, last: int = 20, every: int = EVERY) -> list[Bought]:
    """Purchases of one item at 10 each, that far apart; the last so many days ago."""
    oldest = last + every * (len(quantities) - 1)
    return [
        Bought(customer, TODAY - timedelta(days=oldest - every * place), net=10 * each, quantity=each)
        for place, each in enumerate(quantities)
    ]


STEADY = (20, 22, 20, 18, 20, 20)
CASES = {
    "half, three weeks ago": (taken(1, *STEADY, 10), True),
    "a little less": (taken(1, *STEADY, 12), False),
    "half, and a week ago: it may be made up for": (taken(1, *STEADY, 10, last=7), False),
    "half, and long ago": (taken(1, *STEADY, 10, last=40), False),
    "made up for ten days later": ([*taken(1, *STEADY, 10, last=25), *taken(1, 10, last=15)], False),
    "the usual since": ([*taken(1, *STEADY, 10, last=25), *taken(1, 20, last=5)], False),
    "half again since": ([*taken(1, *STEADY, 10, last=29), *taken(1, 9, last=3)], True),
    "it always varies": (taken(1, 20, 6, 24, 5, 30, 20, 8, 9), False),
    "four purchases tell nothing": (taken(1, 20, 20, 20, 20, 8), False),
}


def found(trade: Sequence[Bought]) -> list[dict[str, Any]]:
    with facts_of(trade) as known:
        return known.engine.rows(KIND.candidates(known, AS_OF))


@pytest.mark.parametrize(("trade", "is_told"), CASES.values(), ids=CASES)
def test_who_is_told_of(trade: list[Bought], is_told: bool) -> None:
    assert [row["customer_id"] for row in found(trade)] == ([1] if is_told else [])


def test_it_is_valued_by_what_is_missing_and_worded_beside_the_usual() -> None:
    (row,) = found(taken(1, *STEADY, 10))
    signal = KIND.tell(row | {"as_of": AS_OF, "assumptions": Assumptions("EUR")})
    assert row["revenue"] == pytest.approx(10 * 10 * 60 / EVERY)
    assert signal.headline == "Only 10 of Item 1, usually 20"
    assert (
        signal.evidence[0].text
        == "10 20 days ago, before that usually 20 every 28 days; not made up for since."
    )
    assert (signal.basis, signal.horizon) == ("estimated", timedelta(days=60))
    assert signal.probability == pytest.approx(chance(returns=0, waited=20 - 14))


def test_the_chance_is_measured_where_thirty_such_purchases_are_over() -> None:
    back = [each for number in range(20) for each in taken(10 + number, *STEADY, 10, 20, 20, 20, 20, last=10)]
    gone = [each for number in range(20) for each in taken(50 + number, *STEADY, 10, last=120)]
    (row,) = found([*taken(1, *STEADY, 10), *back, *gone])
    waited = 20 * (EVERY - 14) + 20 * 60 + (20 - 14)
    assert not row["is_estimated"]
    assert row["p0"] == pytest.approx(chance(returns=20, waited=waited))


def test_a_purchase_whose_sixty_days_are_not_over_counts_for_the_days_it_was_waited_for() -> None:
    back = [each for number in range(5) for each in taken(10 + number, *STEADY, 10, 20, last=12)]
    gone = [each for number in range(5) for each in taken(50 + number, *STEADY, 10, last=50)]
    (row,) = found([*taken(1, *STEADY, 10), *back, *gone])
    waited = 5 * (EVERY - 14) + 5 * (50 - 14) + (20 - 14)
    assert row["is_estimated"]
    assert row["p0"] == pytest.approx(chance(returns=5, waited=waited))


def chance(returns: int, waited: int) -> float:
    """Returns per day of waiting, beside what twenty purchases of which 28 % come back would show."""
    prior = 20 * 0.28
    daily = (returns + prior) / (waited + prior * 60 / -log(1 - 0.28))
    return 1 - exp(-60 * daily)


@pytest.mark.parametrize(
    ("quantity", "ends"),
    [pytest.param(16, True, id="the usual quantity again"), pytest.param(10, False, id="half again")],
)
def test_an_order_of_the_usual_quantity_ends_it(quantity: float, ends: bool) -> None:
    history = tuple(a_purchase(days, 20) for days in (28, 56, 84))
    given = facts(a_line(quantity=quantity, history=history))
    reason = KIND.ends(given, an_episode(KIND.name, given.lines[0].product.id))
    assert (reason is not None) == ends
