"""What a signal is worth, and how money and names are written."""

from decimal import Decimal

import pytest

from services.scoring.facts import Assumptions, ItemFit
from services.scoring.value import (
    HEADLINE,
    Probability,
    headline,
    margin_of,
    number,
    readable,
    rounded,
    shortened,
    valuation,
    variant,
)
from tests.order_facts import a_product, an_item

GBP = Assumptions("GBP", Decimal("0.30"), Decimal(0))


def test_value_is_probability_times_stake_within_its_interval() -> None:
    priced = valuation(Decimal(100), Probability(0.05))
    assert priced.value == Decimal("5.00")
    assert priced.low == 0
    assert priced.high == Decimal("11.10")


def test_the_interval_narrows_as_observations_grow() -> None:
    few, many = (valuation(Decimal(100), Probability(0.2, "measured", n)) for n in (20, 2000))
    assert few.low < many.low < many.value < many.high < few.high


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
