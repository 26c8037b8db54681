"""What a rep waves away is not told any more: so much, so long, and unless it grows."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from services.alerts.dismissals import EFFECTS, Dismissal
from tests.unit.test_alert_decide import NOW, a_candidate

GROWTH = Decimal("1.5")
GIVEN = Dismissal(1, None, "cross_sell", "product:1", "not_worth_it", NOW + timedelta(days=90), Decimal(100))


@pytest.mark.parametrize(
    ("reason", "found", "is_covered"),
    [
        pytest.param("knew", {}, False, id="what was known is silenced by nothing but its own episode"),
        pytest.param("not_worth_it", {}, True, id="the same"),
        pytest.param("not_worth_it", {"subject": "product:2"}, True, id="the same kind"),
        pytest.param("not_worth_it", {"kind": "half_usual"}, False, id="another kind"),
        pytest.param("not_worth_it", {"customer_id": 2}, False, id="another customer"),
        pytest.param("not_worth_it", {"stake": Decimal(150)}, False, id="half as much money again"),
        pytest.param("not_worth_it", {"stake": Decimal(149)}, True, id="not quite"),
        pytest.param("price_agreed", {}, True, id="an agreed price"),
        pytest.param("price_agreed", {"subject": "product:2"}, False, id="of another product"),
        pytest.param("price_agreed", {"stake": Decimal(900)}, True, id="agreed however much it is"),
        pytest.param(
            "customer_gone", {"kind": "half_usual", "subject": "x"}, True, id="all about who has left"
        ),
        pytest.param("customer_gone", {"customer_id": 2}, False, id="not about others"),
        pytest.param("a reason of before", {}, False, id="a word that is no more"),
    ],
)
def test_what_is_not_told(reason: str, found: dict[str, Any], is_covered: bool) -> None:
    candidate = replace(a_candidate(1, stake=Decimal(100)), **found)

    assert replace(GIVEN, reason=reason).covers(candidate, GROWTH, NOW) is is_covered


@pytest.mark.parametrize("reason", sorted(EFFECTS))
def test_every_effect_ends_and_is_told_in_a_sentence(reason: str) -> None:
    effect = EFFECTS[reason]
    late = NOW + timedelta(days=effect.days)

    assert not replace(GIVEN, reason=reason, until=late).covers(
        a_candidate(1, stake=Decimal(1)), GROWTH, late
    )
    assert effect.told(NOW).endswith(".")
    assert effect.days <= 180
