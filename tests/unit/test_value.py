"""What a signal is worth, and how money and names are written."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from services.scoring.effects import EFFECTS
from services.scoring.facts import Assumptions, ItemFit, OrderFacts, PastOrder
from services.scoring.value import (
    HEADLINE,
    THIS_ORDER,
    Probability,
    capped,
    headline,
    margin_of,
    number,
    own_p90,
    readable,
    rounded,
    shortened,
    valuation,
    variant,
)
from tests.order_facts import NOW, a_product, an_item, facts

GBP = Assumptions("GBP", Decimal("0.30"), Decimal(0))


@pytest.mark.parametrize(
    ("kind", "p0", "p1"),
    [
        ("price_error", 0.10, 0.55),
        ("cost_not_passed_on", 0.20, 0.44),
        ("basket_gap", 0.30, 0.54),
        ("up_sell", 0.30, 0.44),
        ("going_quiet", 0.30, 0.40),
        ("cross_sell", 0.10, 0.145),
    ],
)
def test_gain_is_what_acting_adds_to_the_chance_times_the_margin_at_stake(
    kind: str, p0: float, p1: float
) -> None:
    worth = valuation(kind, Decimal(100), Probability(p0), GBP, is_assumed=False)
    assert float(worth.gain) == pytest.approx(100 * (p1 - p0), abs=0.5)
    assert worth.low < worth.gain < worth.high


def test_a_setting_replaces_what_acting_does() -> None:
    told = replace(GBP, effects={"cross_sell": 0.0})
    assert valuation("cross_sell", Decimal(100), Probability(0.1), told, is_assumed=False).gain == 0


def test_the_interval_holds_all_that_is_uncertain() -> None:
    def width(p0: Probability, *, is_assumed: bool) -> Decimal:
        worth = valuation("cross_sell", Decimal(1000), p0, GBP, is_assumed=is_assumed)
        return worth.high - worth.low

    sure, unsure = Probability(0.2, "measured", 2000), Probability(0.2, "measured", 20)
    assert width(sure, is_assumed=False) < width(sure, is_assumed=True) < width(unsure, is_assumed=True)
    # as far as the effect halved and doubled
    halved, doubled = (
        valuation(
            "cross_sell",
            Decimal(1000),
            sure,
            replace(GBP, effects={"cross_sell": 0.42 * share}),
            is_assumed=False,
        )
        for share in (0.5, 2)
    )
    assert width(sure, is_assumed=False) >= doubled.gain - halved.gain


def orders_of(*totals: float) -> OrderFacts:
    """A customer who ordered so much on each of their days, a month apart."""
    past = tuple(
        PastOrder(NOW - timedelta(days=30 * (number + 1)), Decimal(total))
        for number, total in enumerate(totals)
    )
    return facts(past_orders=past)


def test_what_is_at_stake_is_no_more_than_the_customer_ever_orders() -> None:
    """A margin of 60 on 300, where the ninth of ten order days was 100."""
    customer = orders_of(*range(20, 100, 10), 100, 2000)
    assert capped(Decimal(60), Decimal(300), own_p90(customer, THIS_ORDER)) == 20
    assert capped(Decimal(60), Decimal(90), own_p90(customer, THIS_ORDER)) == 60
    assert capped(Decimal(60), Decimal(300), own_p90(orders_of(1, 2, 3), THIS_ORDER)) == 60


def test_a_longer_period_is_held_against_periods_as_long() -> None:
    customer = orders_of(*[100] * 10)  # two orders in each 60 days
    assert own_p90(customer, timedelta(days=60)) == 200


# A morning's list as it may be: kind, chance unaided, margin at stake.
MIXED = [
    *(("going_quiet", 0.25 + 0.02 * number, 60 * 1.35**number) for number in range(9)),
    *(("stopped_item", 0.30 + 0.03 * number, 40 * 1.4**number) for number in range(8)),
    *(("spend_drop", 0.3, 90 * 1.6**number) for number in range(5)),
    *(("margin_erosion", 0.2, 25 * 1.6**number) for number in range(6)),
    *(("price_error", 0.1, 9 * 1.7**number) for number in range(6)),
    *(("below_floor", 0.1, 7 * 1.9**number) for number in range(4)),
    *(("basket_gap", 0.3, 12 * 1.5**number) for number in range(7)),
    *(("cross_sell", 0.02 + 0.01 * number, 15 * 1.3**number) for number in range(9)),
    *(("up_sell", 0.3, 8 * 1.4**number) for number in range(5)),
]


def first_ten(assumptions: Assumptions) -> set[int]:
    """The numbers of the ten that bring most."""
    gains = [
        valuation(kind, Decimal(stake), Probability(p0), assumptions, is_assumed=False).gain
        for kind, p0, stake in MIXED
    ]
    return set(sorted(range(len(MIXED)), key=gains.__getitem__, reverse=True)[:10])


@pytest.mark.parametrize("kind", sorted({kind for kind, _, _ in MIXED}))
@pytest.mark.parametrize("share", [0.5, 2.0])
def test_the_first_ten_do_not_hang_on_what_acting_is_assumed_to_do(kind: str, share: float) -> None:
    moved = replace(GBP, effects={kind: EFFECTS[kind] * share})
    assert len(first_ten(GBP) & first_ten(moved)) >= 7


@pytest.mark.parametrize(
    ("fitted", "margin", "is_assumed"),
    [
        pytest.param(an_item(), 40, False, id="by the product's own rate"),
        pytest.param(
            an_item(margin_rate=None, category_margin_rate=Decimal("0.25")),
            25,
            True,
            id="else its category's",
        ),
        pytest.param(an_item(margin_rate=None), 30, True, id="else the setting's"),
        pytest.param(None, 30, True, id="the setting's when the fit does not know the product"),
    ],
)
def test_a_margin_whose_cost_is_unknown_is_revenue(
    fitted: ItemFit | None, margin: int, is_assumed: bool
) -> None:
    assert margin_of(Decimal(100), a_product(fitted=fitted), GBP) == (Decimal(margin), is_assumed)


@pytest.mark.parametrize(
    ("amount", "currency", "words"),
    [
        pytest.param("25.4", "GBP", "£25", id="whole pounds from ten on"),
        pytest.param("4.1", "EUR", "€4.10", id="cents below"),
        pytest.param("1234567", "USD", "$1,234,567", id="thousands apart"),
        pytest.param("12", "CHF", "12 CHF", id="a code where there is no sign"),
    ],
)
def test_money_is_rounded(amount: str, currency: str, words: str) -> None:
    assert rounded(Decimal(amount), currency) == words


@pytest.mark.parametrize(("quantity", "words"), [("12.0000", "12"), ("2.50", "2.5"), ("1200", "1200")])
def test_quantities_have_no_idle_zeros(quantity: str, words: str) -> None:
    assert number(Decimal(quantity)) == words


def test_a_headline_never_outgrows_a_subject() -> None:
    long = "RED RETROSPOT PEG BAG WITH A VERY LONG NAME INDEED"
    made = headline("Buys", long, ", never", long)
    assert len(made) <= HEADLINE
    assert made == "Buys RED RETROSPOT PEG BAG…, never RED RETROSPOT PEG BAG…"


def test_a_headline_names_what_to_offer_before_what_is_known() -> None:
    made = headline("Buys", "Through bolt box of 50 M10 x 90", ", never", "Oscillating blade wood 32")
    assert made == "Buys Through bolt box…, never Oscillating blade wood 32"


@pytest.mark.parametrize(
    ("name", "cut"),
    [
        pytest.param("Saw", "Saw", id="a short name stays"),
        pytest.param("Cordless drill battery, two of them", "Cordless drill…", id="cut at a word"),
        pytest.param("Gas cells pack of 12 brad, winter", "Gas cells…", id="never left hanging on a number"),
        pytest.param("Schraubenschlüsselsatzkoffer", "Schraubenschlüsselsa…", id="one long word"),
    ],
)
def test_names_are_cut_where_a_reader_would(name: str, cut: str) -> None:
    assert shortened(name, 21) == cut


@pytest.mark.parametrize(
    ("name", "of", "seen"),
    [
        ("Earth cable 6.0 mm", "Earth cable 1.5 mm", "6.0 mm"),
        ("Drill bit", "Drill", "Drill bit"),
        ("Saw chain 18 in", "Saw chain 18 in Pro", "Saw chain 18 in"),
        ("Saw chain 18 in Pro", "Saw chain 18 in", "Pro"),
        ("Drill bits", "Cordless drill", "Drill bits"),
    ],
)
def test_a_variant_is_named_by_what_sets_it_apart(name: str, of: str, seen: str) -> None:
    assert variant(name, of) == seen


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("WHITE HANGING HEART T-LIGHT HOLDER", "White hanging heart t-light holder"),
        ("DRILL-8", "DRILL-8"),
        ("LUNCH BAG SUKI  DESIGN", "Lunch bag suki design"),
        ("LED batten 5 ft", "LED batten 5 ft"),
    ],
)
def test_names_in_capitals_are_read_as_people_write_them(name: str, seen: str) -> None:
    assert readable(name) == seen
