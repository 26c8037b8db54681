"""What the orders after a moment say about what was said then."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from services.scoring import prices, signals
from services.scoring.facts import OrderFacts
from services.scoring.outcomes import Seen, looked_up, quantity_reached, spend_recovered
from shared.domain.signal import SignalKind
from shared.plugins import discover
from tests.model_facts import Bought, facts_of

KINDS: dict[str, SignalKind[OrderFacts]] = discover(signals, "KIND", SignalKind)
DAY = date(2025, 9, 1)
MOMENT = datetime(2025, 9, 1, tzinfo=UTC)


def after(days: int) -> date:
    return DAY + timedelta(days=days)


def seen(kind: str, trade: Sequence[Bought], **said: Any) -> Seen:
    """What became of one row that a kind said on the day."""
    judge = KINDS[kind].outcome
    assert judge is not None
    with facts_of(trade) as facts:
        rows = facts.engine.load("said", pa.Table.from_pylist([{"customer_id": 1, **said}]).to_reader())
        names, found = looked_up(facts.engine, judge(facts, MOMENT, rows))
        (key,) = found
    assert all(name in (*said, "customer_id") for name in names)
    return found[key]


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_every_kind_says_what_its_good_outcome_is(kind: SignalKind[OrderFacts]) -> None:
    assert kind.outcome is not None
    assert timedelta(days=1) <= kind.outcome_within <= timedelta(days=90)


BEFORE = [Bought(1, after(-30)), Bought(1, after(-60), product=2), Bought(9, after(120))]
"""Goods the customer knows, and somebody else who shows that time went on."""


@pytest.mark.parametrize(
    ("kind", "said", "days", "last_day"),
    [
        pytest.param("going_quiet", {}, 89, 90, id="any order within 90 days"),
        pytest.param("stopped_item", {"product_id": 1}, 89, 90, id="the item within 90 days"),
        pytest.param("stopped_category", {"category": "goods"}, 89, 90, id="of the category within 90 days"),
        pytest.param("cross_sell", {"product_id": 1}, 59, 60, id="the item within 60 days"),
        pytest.param(
            "basket_gap", {"product_id": 1, "products": [1, 2]}, 13, 14, id="half the items within 14 days"
        ),
        pytest.param("up_sell", {"product_id": 1, "target": "10"}, 13, 14, id="the quantity within 14 days"),
    ],
)
def test_it_happened_within_the_horizon_and_not_after(
    kind: str, said: dict[str, Any], days: int, last_day: int
) -> None:
    assert seen(kind, [*BEFORE, Bought(1, after(days), cost=6.0)], **said) == Seen(True, False, 100.0, 40.0)
    assert not seen(kind, [*BEFORE, Bought(1, after(last_day))], **said).happened
    assert seen(kind, [*BEFORE, Bought(1, after(days))], **said).margin is None


def test_a_smaller_quantity_is_no_break_taken() -> None:
    with facts_of([Bought(1, after(2), quantity=11)]) as facts:
        rows = facts.engine.load(
            "said", pa.Table.from_pylist([{"customer_id": 1, "product_id": 1, "target": "12"}]).to_reader()
        )
        _, found = looked_up(
            facts.engine, quantity_reached(facts, MOMENT, rows, "target", timedelta(days=14))
        )
    assert [each.happened for each in found.values()] == [False]


@pytest.mark.parametrize(
    ("product", "wanted", "happened"),
    [
        pytest.param(1, "10.00", True, id="amended to the right price"),
        pytest.param(1, "12.50", False, id="left as it was"),
        pytest.param(7, "10.00", None, id="no longer on the order: nobody knows"),
    ],
)
def test_a_price_is_put_right_where_the_order_was_amended(
    product: int, wanted: str, happened: bool | None
) -> None:
    with facts_of([Bought(1, DAY, net=100.0, quantity=10)]) as facts:
        said = [{"order_id": 0, "product_id": product, "floor": wanted}]
        rows = facts.engine.load("said", pa.Table.from_pylist(said).to_reader())
        _, found = looked_up(facts.engine, prices.put_right(facts, rows, "floor"))
    assert found[0, product].happened is happened
    assert found[0, product].confirmed is (None if happened is None else not happened)


@pytest.mark.parametrize(
    ("spent", "happened", "confirmed"),
    [
        pytest.param(85.0, True, False, id="four fifths: recovered"),
        pytest.param(75.0, False, False, id="between the two: neither"),
        pytest.param(60.0, False, True, id="30 % less: still down"),
    ],
)
def test_a_drop_may_be_neither_over_nor_confirmed(spent: float, happened: bool, confirmed: bool) -> None:
    with facts_of([Bought(1, after(3), net=spent)]) as facts:
        said = [{"customer_id": 1, "usual_quarter": 100.0}]
        rows = facts.engine.load("said", pa.Table.from_pylist(said).to_reader())
        _, found = looked_up(facts.engine, spend_recovered(facts, MOMENT, rows))
    assert found[1,] == Seen(happened, confirmed, spent, None)
