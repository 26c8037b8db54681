"""The bench counts rightly, makes orders that all alert, and says plainly which goals were missed."""

import csv
from collections import Counter
from datetime import UTC, datetime

import pytest

from bench.end_to_end import Run
from bench.figures import Figure, Goal, document
from bench.load_client import made_orders
from deploy.sample import SampleFiles


def test_a_run_that_slows_down_shows_it_in_its_thirds() -> None:
    # 100 orders in ten seconds, then 100 in twenty, then 100 in forty; each took half a second.
    gaps = [0.1] * 100 + [0.2] * 100 + [0.4] * 100
    arrived = {str(number): sum(gaps[: number + 1]) for number in range(300)}
    run = Run({order: at - 0.5 for order, at in arrived.items()}, arrived)
    assert run.per_second == pytest.approx((300 / 70, 10, 2.5))
    assert (run.p50, run.p99) == pytest.approx((0.5, 0.5))
    assert run.is_whole
    assert not Run(run.posted, {"0": 0.1}).is_whole


def test_no_customer_gets_the_same_product_below_cost_twice(sample: SampleFiles) -> None:
    with sample.products.open() as file:
        list_price = {row["id"]: float(row["list_price"]) for row in csv.DictReader(file)}
    planted: Counter[tuple[str, str]] = Counter()
    for order in made_orders(sample.products.parent, 3000, prefix="o", start=10_000, below_cost=True):
        assert len({line["sku"] for line in order["lines"]}) == 10
        for line in order["lines"]:
            if float(line["unit_price"]) < 0.5 * list_price[line["sku"]]:
                planted[order["customer"]["id"], line["sku"]] += 1
    assert len(planted) == planted.total() == 3000


def test_each_goal_is_written_on_a_line_of_its_own_with_when_it_was_measured() -> None:
    figure = Figure("ingest", "600 requests/s", (Goal("0.5", True), Goal("0.9", False)), "bare: 1000", 0.6)
    text = document([figure], 2, datetime(2026, 3, 2, 10, 4, tzinfo=UTC), 0.31)
    assert "Measured from 2026-03-02 10:04 UTC, 2 cores, load average 0.31 before the run" in text
    assert "| ingest | 600 requests/s | bare: 1000 | 0.60 |" in text
    assert text.endswith("## Goals\n\n- met: ingest: 0.5\n- **missed**: ingest: 0.9\n")
