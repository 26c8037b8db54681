"""What every signal kind promises, whoever adds it: found by its file, pure, and honest about time and money."""

from datetime import timedelta
from decimal import Decimal

import pytest

from services.scoring import signals
from services.scoring.facts import Neighbour, OrderFacts, PastOrder
from shared.domain.signal import OrderSignalKind, Signal, SignalKind
from shared.plugins import discover
from tests.order_facts import (
    BIT,
    DRILL,
    NOW,
    a_break,
    a_fit,
    a_line,
    a_product,
    a_purchase,
    an_episode,
    facts,
)

KINDS: dict[str, OrderSignalKind[OrderFacts]] = {
    name: kind
    for name, kind in discover(signals, "KIND", SignalKind).items()
    if isinstance(kind, OrderSignalKind)
}

BITS = a_product(DRILL, breaks=(a_break(1, 5), a_break(12, 4.9)), neighbours={BIT: Neighbour(0.5, 120, 45)})
SITUATIONS = [
    facts(a_line(BITS, cost=1), products=[a_product(BIT)]),
    facts(a_line(BITS, price=5, cost=6), products=[a_product(BIT)]),
    facts(a_line(BITS), fit=a_fit(calibration=((0.0, 0.08, 400),)), products=[a_product(BIT)]),
    facts(),
    facts(a_line(price=0)),
    facts(
        a_line(price=5, history=tuple(a_purchase(days, 10, 8) for days in (7, 14, 21))),
        regulars={BIT: tuple(a_purchase(days) for days in (7, 14, 21, 28))},
        past_orders=tuple(PastOrder(NOW - timedelta(days=days), Decimal(80)) for days in (7, 14, 21, 28)),
        products=[a_product(BIT)],
    ),
    facts(a_line(base_net=None), rate=None, base_net=None, fit=None, products=[]),
]
FOUND = [(kind, signal) for kind in KINDS.values() for given in SITUATIONS for signal in kind.signals(given)]


def test_every_kind_finds_something_in_these_situations() -> None:
    assert {kind.name for kind, _ in FOUND} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_a_kind_says_how_long_it_stays_and_which_version_it_is(
    kind: OrderSignalKind[OrderFacts],
) -> None:
    assert kind.version
    assert kind.episode_ttl >= timedelta(days=1)


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_a_kind_gives_the_same_answer_twice(kind: OrderSignalKind[OrderFacts]) -> None:
    for given in SITUATIONS:
        assert kind.signals(given) == kind.signals(given)


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_a_kind_ends_its_questions_with_a_reason_or_not_at_all(kind: OrderSignalKind[OrderFacts]) -> None:
    for given in SITUATIONS:
        for product_id in (DRILL, 999, None):
            reason = kind.ends(given, an_episode(kind.name, product_id))
            assert reason is None or reason.strip()


@pytest.mark.parametrize(
    ("kind", "signal"), FOUND, ids=[f"{kind.name} {signal.cause}" for kind, signal in FOUND]
)
def test_a_signal_can_be_checked_and_acted_on(kind: OrderSignalKind[OrderFacts], signal: Signal) -> None:
    assert signal.kind == kind.name
    assert signal.as_of == NOW
    assert signal.as_of < signal.expires_at
    assert 0 < signal.probability <= 1
    assert signal.basis in ("measured", "estimated")
    assert Decimal(0) <= signal.low <= signal.value <= signal.high
    assert signal.value <= signal.stake
    assert len(signal.headline) <= 60
    assert signal.question.endswith("?")
    assert signal.evidence
    assert all(each.label and each.text for each in signal.evidence)
