"""What a model saw silent in the morning is silent no more once something is bought, or was told late."""

from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest

from services.scoring.model_rows import still_silent
from tests.model_facts import AS_OF, Bought, facts_of

TODAY = AS_OF.date()
ROW: dict[str, Any] = {"customer_id": 1, "product_id": 1, "category": "goods", "silent_days": 61}


@pytest.mark.parametrize(
    ("later", "key", "is_kept"),
    [
        pytest.param([], (), True, id="nothing since"),
        pytest.param([Bought(1, TODAY)], (), False, id="an order of today"),
        pytest.param([Bought(1, TODAY - timedelta(days=30))], (), False, id="one that was told late"),
        pytest.param([Bought(2, TODAY)], (), False, id="an order of a branch"),
        pytest.param([Bought(3, TODAY)], (), True, id="an order of somebody else"),
        pytest.param([Bought(1, TODAY, product=2)], ("product_id",), True, id="another item"),
        pytest.param([Bought(1, TODAY)], ("product_id",), False, id="the item"),
        pytest.param([Bought(1, TODAY, product=2)], ("category",), False, id="of the category"),
    ],
)
def test_a_silence_stands_until_it_is_broken(
    later: list[Bought], key: tuple[str, ...], is_kept: bool
) -> None:
    trade = [Bought(1, TODAY - timedelta(days=61)), Bought(1, TODAY - timedelta(days=61), product=2), *later]
    with facts_of(trade, heads={2: 1}) as facts:
        rows = facts.engine.load("silent", pa.Table.from_pylist([ROW]).to_reader())
        kept = facts.engine.rows(still_silent(facts, rows, "customer_id", *key))
    assert kept == ([ROW] if is_kept else [])
