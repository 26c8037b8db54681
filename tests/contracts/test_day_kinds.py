"""What every kind that looks at days promises: rows of its model in, signals out; silent on little data."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from services.scoring import signals
from services.scoring.day_signals import found_in
from services.scoring.effects import EFFECTS, after_acting
from services.scoring.facts import Assumptions, OrderFacts
from services.scoring.signals.going_quiet import KIND as GOING_QUIET
from shared.domain.signal import DaySignalKind, SignalKind
from shared.plugins import discover
from tests.model_facts import AS_OF, Bought, facts_of

KINDS: dict[str, DaySignalKind[OrderFacts]] = {
    name: kind
    for name, kind in discover(signals, "KIND", SignalKind).items()
    if isinstance(kind, DaySignalKind)
}
GBP = Assumptions("GBP")
LEARNT = {name: kind for name, kind in KINDS.items() if kind.needs_model is not None}
ROW: dict[str, Any] = {
    "customer_id": 1, "silent_days": 61, "usual_days": 21.6, "longest_days": 33, "order_days": 12, "days": 9,
    "orders_since": 4, "buyers": 14, "tail": 0.02, "p_lost": 0.7, "p0": 0.3, "revenue": 900.0, "gain": 27.0,
    "is_off_season": 0, "product_id": 1, "category": "Lanterns", "usual_quarter": 2000.0,
    "last_quarter": 900.0, "deviation": -2.5, "drop": 0.55, "orders_quarter": 5, "margin_rate": 0.3,
    "quantity": 12.0,
    "is_margin_assumed": True,
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_a_kind_finds_nobody_in_one_purchase(kind: DaySignalKind[OrderFacts]) -> None:
    with facts_of([Bought(1, AS_OF.date() - timedelta(days=61))]) as facts:
        assert facts.engine.rows(kind.candidates(facts, AS_OF)) == []


def fired_by(kind: DaySignalKind[OrderFacts]) -> list[dict[str, Any]]:
    """Return what fires of two customers its model names: one with much at stake, one with little."""
    with facts_of([Bought(1, AS_OF.date() - timedelta(days=61))]) as facts:
        learnt = {name: value for name, value in ROW.items() if "margin" not in name}
        rows = pa.Table.from_pylist([learnt, learnt | {"customer_id": 2, "revenue": 30.0}])
        facts.predictions.made[kind.name] = facts.engine.load(kind.name, rows.to_reader())
        found = kind.candidates(facts, AS_OF)
        return list(facts.engine.rows(found.filter(found.fires)))


@pytest.mark.parametrize("kind", LEARNT.values(), ids=list(LEARNT))
def test_a_kind_tells_what_its_model_fires(kind: DaySignalKind[OrderFacts]) -> None:
    fired = fired_by(kind)
    (signal,) = [found for row in fired if (found := found_in(kind, row, AS_OF, GBP)) is not None]
    assert signal.kind == kind.name
    assert signal.customer_id == 1
    assert signal.as_of < signal.expires_at
    assert Decimal(0) <= signal.low <= signal.value <= signal.high <= signal.stake
    assert signal.probability == 0.3
    assert signal.horizon == kind.outcome_within
    assert len(signal.headline) <= 60
    assert signal.question.endswith("?")
    assert all(each.label and each.text for each in signal.evidence)


def test_going_quiet_states_the_fact_and_then_how_many_come_back() -> None:
    signal = GOING_QUIET.tell(ROW | {"margin_rate": 0.3, "as_of": AS_OF, "assumptions": GBP})
    assert signal.headline == "No order for 61 days, usually 22"
    assert signal.evidence[-1].text == "3 in 10 order again within 90 days by themselves."


@pytest.mark.parametrize("kind", LEARNT.values(), ids=list(LEARNT))
@pytest.mark.parametrize(("is_known", "basis"), [(True, "measured"), (False, "estimated")])
def test_what_was_learnt_in_other_seasons_alone_is_estimated(
    kind: DaySignalKind[OrderFacts], is_known: bool, basis: str
) -> None:
    made = (found_in(kind, row, AS_OF, GBP, is_season_known=is_known) for row in fired_by(kind))
    found = next(each for each in made if each is not None)
    assert found.basis == basis
    assert any("first year this season is seen" in each.text for each in found.evidence) != is_known


@pytest.mark.parametrize(("days", "is_known"), [(423, False), (424, True)])
def test_a_season_is_known_that_came_sixty_days_into_the_history(days: int, is_known: bool) -> None:
    with facts_of([Bought(1, AS_OF.date() - timedelta(days=days))]) as facts:
        assert facts.is_season_known() == is_known


@pytest.mark.parametrize(
    ("usual", "longest", "since"),
    [
        pytest.param(30, 40, 11, id="a quarter longer than ever before: for eleven days"),
        pytest.param(38, 40, 4, id="one and a half times the usual, which is more"),
        pytest.param(30, 50, None, id="not a quarter longer than once before"),
        pytest.param(13, 90, 9, id="from four times the usual on, whatever they did once"),
        pytest.param(50, 40, None, id="not yet one and a half times the usual"),
        pytest.param(2, 3, 47, id="never before fourteen days"),
    ],
)
def test_going_quiet_fires_for_a_silence_that_is(usual: float, longest: int, since: int | None) -> None:
    with facts_of([Bought(1, AS_OF.date() - timedelta(days=61))]) as facts:
        learnt = {name: value for name, value in ROW.items() if "margin" not in name}
        rows = pa.Table.from_pylist([learnt | {"usual_days": float(usual), "longest_days": longest}])
        facts.predictions.made["going_quiet"] = facts.engine.load("going_quiet", rows.to_reader())
        (row,) = facts.engine.rows(GOING_QUIET.candidates(facts, AS_OF))
    assert (row["since_days"] if row["fires"] else None) == since


def test_acting_moves_most_where_it_hangs_in_the_balance() -> None:
    effect = EFFECTS["going_quiet"]
    moved = [after_acting(p0, effect) - p0 for p0 in (0.02, 0.45, 0.98)]
    assert moved[1] > 5 * max(moved[0], moved[2])
    assert after_acting(0.30, effect) == pytest.approx(0.40, abs=0.005)


def test_acting_does_what_is_set_and_a_call_costs_what_is_set() -> None:
    row = ROW | {"margin_rate": 0.3, "is_margin_assumed": True}
    usual = found_in(GOING_QUIET, row, AS_OF, GBP)
    assert usual is not None
    doubled = found_in(GOING_QUIET, row, AS_OF, replace(GBP, effects={"going_quiet": 0.92}))
    assert doubled is not None
    assert doubled.value > 1.9 * float(usual.value)
    assert found_in(GOING_QUIET, row, AS_OF, replace(GBP, call_cost=usual.value + 1)) is None


@pytest.mark.parametrize("kind", LEARNT.values(), ids=list(LEARNT))
@pytest.mark.parametrize(
    ("cost", "rate", "is_assumed"),
    [
        pytest.param(None, 0.25, True, id="no cost known: as set, and estimated"),
        pytest.param(4.0, 0.6, False, id="their own costs"),
    ],
)
def test_a_kind_is_valued_at_the_customer_s_own_margin(
    kind: DaySignalKind[OrderFacts], cost: float | None, rate: float, is_assumed: bool
) -> None:
    assert kind.needs_model is not None
    with facts_of([Bought(1, AS_OF.date() - timedelta(days=61), cost=cost)]) as facts:
        learnt = {name: value for name, value in ROW.items() if "margin" not in name}
        rows = pa.Table.from_pylist([learnt])
        facts.predictions.made[kind.name] = facts.engine.load(kind.name, rows.to_reader())
        (row,) = facts.engine.rows(
            kind.candidates(replace(facts, assumptions=replace(GBP, margin=Decimal("0.25"))), AS_OF)
        )
    signal = kind.tell(row | {"as_of": AS_OF, "assumptions": GBP})
    assert row["gain"] == pytest.approx(27.0 * rate / 0.30)
    assert (signal.stake, signal.assumed_margin) == (Decimal(900) * Decimal(str(rate)), is_assumed)
