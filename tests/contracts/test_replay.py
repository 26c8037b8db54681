"""Every kind makes its signals again from the facts that are stored with them."""

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from services.scoring import detect, signals
from services.scoring.day_signals import found_in
from services.scoring.facts import Assumptions, OrderFacts
from services.scoring.replay import Replayed, made_from, replayed, shown
from services.scoring.store import as_json
from shared.domain.signal import DaySignalKind, Signal, SignalKind
from shared.plugins import discover
from tests import sales
from tests.contracts.test_day_kinds import ROW
from tests.contracts.test_signal_kinds import KINDS as ORDER_KINDS
from tests.contracts.test_signal_kinds import SITUATIONS
from tests.model_facts import AS_OF, Bought, facts_of
from tests.order_facts import NOW
from tests.unit import (
    test_cost_not_passed_on,
    test_discount_outlier,
    test_half_usual,
    test_margin_erosion,
)

KINDS: dict[str, SignalKind[OrderFacts]] = discover(signals, "KIND", SignalKind)
DAY_KINDS: dict[str, DaySignalKind[OrderFacts]] = {
    name: kind for name, kind in KINDS.items() if isinstance(kind, DaySignalKind)
}
CASES = {
    "cost_not_passed_on": test_cost_not_passed_on.FIRES,
    "discount_outlier": test_discount_outlier.FIRES,
    "margin_erosion": test_margin_erosion.FIRES,
}
"""Of kinds that learn nothing: trade in which they find something."""

GBP = Assumptions("GBP")


def stored(kind: SignalKind[OrderFacts], signal: Signal, facts: Any) -> dict[str, Any]:
    """The signal as it comes back from the database."""
    row = detect.row(kind, signal, "", None, NOW) | {"facts": facts}
    as_read: dict[str, Any] = json.loads(as_json([row]))[0]
    return row | {name: as_read[name] for name in ("facts", "evidence", "detail", "severity")}


FOUND = [
    pytest.param(kind, stored(kind, signal, made_from(given, signal)), id=f"{name} {number}")
    for name, kind in ORDER_KINDS.items()
    for number, given in enumerate(SITUATIONS)
    for signal in kind.signals(given)
]


@pytest.mark.parametrize(("kind", "kept"), FOUND)
def test_an_order_kind_finds_it_again(kind: SignalKind[OrderFacts], kept: dict[str, Any]) -> None:
    assert replayed(kind, kept) == Replayed({})
    assert any(what == "line" for what, _ in shown(kind, kept))
    assert len(json.dumps(kept["facts"])) < 8_000


def told(kind: DaySignalKind[OrderFacts]) -> list[Signal]:
    """What a kind that looks at days finds in its cases."""
    if kind.name == "half_usual":
        rows = test_half_usual.found(test_half_usual.taken(1, *test_half_usual.STEADY, 10))
    elif kind.needs_model is None:
        found = sales.judged(kind.candidates, CASES[kind.name])
        rows = [row for row in found.values() if row is not None and row["fires"]]
    else:
        with facts_of([Bought(1, AS_OF.date() - timedelta(days=61))]) as facts:
            learnt = {name: value for name, value in ROW.items() if "margin" not in name}
            table = pa.Table.from_pylist([learnt])
            facts.predictions.made[kind.name] = facts.engine.load(kind.name, table.to_reader())
            candidates = kind.candidates(facts, AS_OF)
            rows = list(facts.engine.rows(candidates.filter(candidates.fires)))
    given = replace(GBP, effects={kind.name: 3.0}, call_cost=Decimal(1))
    made = (found_in(kind, row, AS_OF, given) for row in rows)
    return [each for each in made if each is not None]


@pytest.mark.parametrize("kind", DAY_KINDS.values(), ids=list(DAY_KINDS))
def test_a_day_kind_tells_it_again(kind: DaySignalKind[OrderFacts]) -> None:
    found = told(kind)
    assert found
    for each in found:
        kept = stored(kind, each, each.facts)
        assert kept["facts"]["assumptions"]["effects"] == {kind.name: 3.0}
        assert kept["facts"]["as_of"]
        assert replayed(kind, kept) == Replayed({})
        assert list(shown(kind, kept))


def test_a_difference_is_named() -> None:
    kind = ORDER_KINDS["price_error"]
    (given, signal) = next((each, one) for each in SITUATIONS for one in kind.signals(each))
    kept = stored(kind, signal, made_from(given, signal)) | {"headline": "Another"}
    assert replayed(kind, kept).differences == {"headline": ("Another", signal.headline)}


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        pytest.param(None, "not possible: its facts were not kept", id="none were kept"),
        pytest.param({"currency": "GBP"}, "not possible: the facts of version 0 lack", id="of an older form"),
    ],
)
def test_what_cannot_be_replayed_says_why(facts: Any, said: str) -> None:
    kind = ORDER_KINDS["price_error"]
    kept = {"kind": kind.name, "facts": facts, "detector_version": "0", "subject": "", "cause": ""}
    assert replayed(kind, kept).verdict.startswith(said)
    assert replayed(None, kept).verdict == "not possible: there is no kind price_error any more"
