"""Price-volume-mix bridge: its effects sum to the change of margin, and it names what caused it."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scoring.bridge import CENT, Bridge, Effects, Sold, bridge

QUANTITIES = st.decimals(0, 10_000, places=3)
AMOUNTS = st.decimals(0, 100_000, places=4)


@st.composite
def periods(draw):
    """What was sold of an item in one period; nothing at all where the quantity is zero."""
    quantity = draw(QUANTITIES)
    return Sold(quantity, draw(AMOUNTS), draw(AMOUNTS)) if quantity else Sold()


@given(st.lists(st.tuples(periods(), periods()), max_size=12))
def test_the_effects_sum_to_the_change_of_margin_to_the_cent(pairs) -> None:
    found = bridge((str(number), before, after) for number, (before, after) in enumerate(pairs))
    change = sum((after.margin - before.margin for before, after in pairs), Decimal(0))
    assert found.effects.total == change
    for number, (before, after) in enumerate(pairs):
        assert found.items[str(number)].total == after.margin - before.margin


@given(st.lists(st.tuples(periods(), periods()), max_size=12))
def test_volume_and_mix_are_those_of_the_formula(pairs) -> None:
    found = bridge((str(number), before, after) for number, (before, after) in enumerate(pairs))
    both = [(a, b) for a, b in pairs if a.quantity and b.quantity]
    q0 = sum(a.quantity for a, _ in both)
    if not q0:
        return
    growth = sum(b.quantity for _, b in both) / q0
    margins = [(a.net - a.cost) / a.quantity for a, _ in both]
    volume = (growth - 1) * sum(a.quantity * m for (a, _), m in zip(both, margins, strict=True))
    mix = sum((b.quantity - a.quantity * growth) * m for (a, b), m in zip(both, margins, strict=True))
    tolerance = 3 * CENT * len(both)
    assert abs(found.effects.volume - volume) <= tolerance
    assert abs(found.effects.mix - mix) <= tolerance


def sold(quantity: float, price: float, cost: float) -> Sold:
    return Sold(*(Decimal(str(each)) for each in (quantity, quantity * price, quantity * cost)))


@pytest.mark.parametrize(
    ("items", "effects", "cause"),
    [
        pytest.param(
            [("A", sold(10, 5, 3), sold(10, 4, 3))], Effects(price=Decimal(-10)), "price", id="a lower price"
        ),
        pytest.param(
            [("A", sold(10, 5, 3), sold(10, 5, 4))], Effects(cost=Decimal(-10)), "cost", id="a higher cost"
        ),
        pytest.param(
            [("A", sold(10, 5, 3), sold(5, 5, 3))], Effects(volume=Decimal(-10)), "volume", id="half as much"
        ),
        pytest.param(
            [("A", sold(10, 5, 1), sold(5, 5, 1)), ("B", sold(10, 5, 4), sold(15, 5, 4))],
            Effects(mix=Decimal(-15)),
            "mix",
            id="more of what earns little",
        ),
        pytest.param([("A", sold(10, 5, 3), Sold())], Effects(lost=Decimal(-20)), "lost", id="an item gone"),
        pytest.param(
            [("A", Sold(), sold(10, 5, 3))], Effects(new=Decimal(20)), None, id="a new item: no loss"
        ),
        pytest.param([], Effects(), None, id="nothing sold"),
    ],
)
def test_the_cause_of_a_change_is(items, effects: Effects, cause: str | None) -> None:
    found = bridge(items)
    assert (found.effects, found.cause()) == (effects, cause)


def test_the_three_worst_items_are_named_and_no_winner() -> None:
    falls = {"A": 1, "B": 4, "C": 2, "D": 3}
    items = [(name, sold(10, 9, 2), sold(10, 9 - fall, 2)) for name, fall in falls.items()]
    assert bridge([*items, ("E", sold(1, 9, 2), sold(99, 9, 2))]).culprits() == ["B", "D", "C"]
    assert Bridge({}).culprits() == []


def test_items_are_named_for_the_causes_that_are_asked() -> None:
    items = [("A", sold(10, 9, 2), sold(10, 8, 2)), ("B", sold(10, 9, 2), sold(2, 9, 2))]
    assert bridge(items).culprits() == ["B", "A"]
    assert bridge(items).culprits(("price", "cost")) == ["A"]
    assert bridge(items).cause(("price", "cost")) == "price"
