"""Who goes quiet: what the model learns from customers of a known rhythm."""

from collections.abc import Iterator
from datetime import date, timedelta
from random import Random
from typing import Any

import numpy as np
import pytest

from services.scoring.fit import drift_grade
from services.scoring.fit.facts import Facts
from services.scoring.fit.models.going_quiet import MODEL
from services.scoring.fit.rhythm import gap_tail, standing, trade_days
from tests.model_facts import AS_OF, Bought, facts_of

TODAY = AS_OF.date()


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


def trade() -> Iterator[Bought]:
    """Three hundred customers of about fortnightly to two-monthly rhythm; one in three stops for good on some day."""
    chance = Random(7)
    for customer in range(300):
        usual = chance.choice([14, 30, 60])
        stops = ago(chance.randrange(0, 500)) if customer % 3 == 0 else TODAY
        day = ago(540 - chance.randrange(usual))
        while day < stops:
            yield Bought(customer, day, net=50.0 + customer)
            day += timedelta(days=max(1, round(chance.gammavariate(2.6, usual / 2.6))))


@pytest.fixture(scope="module")
def learnt() -> dict[str, Any]:
    """The rows of the model by customer, and its grade."""
    with facts_of(list(trade())) as facts:
        rows = [row for piece in MODEL.build(facts) for row in facts.engine.rows(piece.rows)]
        assert MODEL.grade is not None
        return {"rows": rows, "grade": MODEL.grade(facts)}


def test_those_silent_beyond_their_rhythm_are_likelier_lost(learnt: dict[str, Any]) -> None:
    late = [row["p_lost"] for row in learnt["rows"] if row["silent_days"] > 3 * row["usual_days"]]
    in_time = [row["p_lost"] for row in learnt["rows"] if row["silent_days"] < row["usual_days"]]
    assert late
    assert np.mean(late) > 0.6
    assert np.mean(in_time) < 0.2


def test_every_row_is_of_a_live_customer(learnt: dict[str, Any]) -> None:
    for row in learnt["rows"]:
        assert row["order_days"] >= 4
        assert 0 < row["silent_days"] <= 180
        assert row["p0"] == pytest.approx(1 - row["p_lost"])
        assert 0 <= row["gain"] <= 0.3 * row["revenue"]


def test_it_is_graded_beside_its_baselines(learnt: dict[str, Any]) -> None:
    grade = learnt["grade"]
    assert grade.passes, grade.line()
    assert set(grade.as_json()["baselines"]) == {"recency", "own_gap", "spend_x_p_dead"}
    assert sum(each.judged for each in grade.calibration) == grade.judged


def test_a_handful_of_customers_teaches_nothing() -> None:
    with facts_of([Bought(1, ago(30 * month)) for month in range(1, 12)]) as facts:
        assert list(MODEL.build(facts)) == []
        assert MODEL.grade is not None
        assert not MODEL.grade(facts).passes


def stood(facts: Facts) -> dict[str, Any]:
    return standing(facts, trade_days(facts), [TODAY], all_customers=True)


def test_branches_count_for_their_head_office() -> None:
    orders = [Bought(branch, ago(days + branch)) for branch in (2, 3) for days in (20, 40, 60)]
    with facts_of(orders, heads={2: 1, 3: 1}) as facts:
        rows = stood(facts)
    assert rows["customer_id"].tolist() == [1]
    assert rows["order_days"].tolist() == [6]
    assert rows["silent_days"].tolist() == [22]


def test_the_usual_gap_is_drawn_to_that_of_all() -> None:
    weekly = [Bought(1, ago(7 * week)) for week in range(1, 6)]
    monthly = [Bought(2, ago(30 * month)) for month in range(1, 14)]
    with facts_of(weekly + monthly) as facts:
        rows = stood(facts)
    assert rows["usual_gap"].tolist() == pytest.approx([(4 * 7 + 2 * 30) / 6, 30])


def test_a_gap_that_lasts_grows_unusual() -> None:
    assert gap_tail(0, 30) == 1
    assert gap_tail(75, 30) == pytest.approx(0.03, abs=0.015)
    assert gap_tail(30, 30) > gap_tail(60, 30) > gap_tail(90, 30)


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        pytest.param([1, 2, 3, 4], 1.0, id="in order"),
        pytest.param([4, 3, 2, 1], 0.0, id="reversed"),
        pytest.param([1, 1, 1, 1], 0.5, id="all alike"),
    ],
)
def test_auc(score: list[float], expected: float) -> None:
    assert drift_grade.auc(np.array(score, float), np.array([0.0, 0, 1, 1])) == expected
