"""Inferred price breaks: quantities from which accounts commonly pay less, where nobody has told us the price breaks.

Prices are compared within a channel, and only where both were paid over the same weeks: where one ends before the
other begins the list has changed, and quantity has nothing to do with it.
"""

from collections.abc import Iterator
from datetime import timedelta

import ibis

from services.scoring.fit.facts import Facts, naive
from services.scoring.fit.model import Derived, Model
from services.scoring.price_gaps import band_start

RECENT = timedelta(days=180)
FEWEST_BUYERS = 5
LEAST_AGREEMENT = 0.5
"""A band speaks only where at least half of its customers pay the very same price."""
LEAST_STEP = 0.02

CELL = ("product_id", "channel", "currency")
BAND = (*CELL, "min_quantity")


def build(facts: Facts) -> Iterator[Derived]:
    """Yield the steps between neighbouring bands whose commonest price falls."""
    votes = _votes(facts)
    bands = _commonest(votes)
    below = ibis.window(group_by=list(CELL), order_by="min_quantity")
    steps = bands.mutate(
        usual_price=bands.unit_price.lag().over(below),
        lower_band=bands.min_quantity.lag().over(below),
        since=ibis.greatest(bands.since, bands.since.lag().over(below)),
    )
    falling = steps.filter(steps.unit_price <= steps.usual_price * (1 - LEAST_STEP))
    lower = _still_paid(falling, votes, "lower_band", "usual_price")
    upper = _still_paid(falling, votes, "min_quantity", "unit_price")
    believed = falling.semi_join(lower, list(BAND)).semi_join(upper, list(BAND))
    yield Derived(
        "inferred_break",
        believed.drop("min_quantity", "lower_band", "since").rename(min_quantity="least"),
    )


MODEL = Model("inferred_breaks", build, keys={"inferred_break": BAND})


def _votes(facts: Facts) -> ibis.Table:
    """Return what each customer paid last in each band."""
    lines = facts.accounts.filter(facts.accounts.at >= naive(facts.as_of - RECENT))
    priced = lines.mutate(
        unit_price=(lines.net / lines.quantity).round(4), min_quantity=band_start(lines.quantity)
    )
    newest = ibis.window(group_by=[*BAND, "customer_id"], order_by=[ibis.desc("at"), ibis.desc("order_id")])
    own = priced.mutate(nth=ibis.row_number().over(newest))
    return own.filter(own.nth == 0).select(*BAND, "unit_price", "quantity", "at")


def _commonest(votes: ibis.Table) -> ibis.Table:
    """Return each band's commonest price, who pays it since when, and the quantity nine in ten of them reach."""
    counted = votes.group_by(*BAND, "unit_price").agg(
        buyers=votes.count(), least=votes.quantity.quantile(0.1).ceil(), since=votes["at"].min()
    )
    size = counted.buyers.sum().over(ibis.window(group_by=list(BAND)))
    best = ibis.window(group_by=list(BAND), order_by=[ibis.desc("buyers"), ibis.desc("unit_price")])
    ranked = counted.mutate(size=size, nth=ibis.row_number().over(best))
    return ranked.filter(
        (ranked.nth == 0)
        & (ranked.buyers >= FEWEST_BUYERS)
        & (ranked.buyers >= LEAST_AGREEMENT * ranked.size)
    ).select(*BAND, "unit_price", "buyers", "least", "since")


def _still_paid(steps: ibis.Table, votes: ibis.Table, band: str, price: str) -> ibis.Table:
    """Return the steps whose price in that band enough customers paid since both prices were seen."""
    paid = steps.select(*BAND, "since", of_band=steps[band], of_price=steps[price]).join(
        votes,
        [
            *CELL,
            ibis._.of_band == votes.min_quantity,
            ibis._.of_price == votes.unit_price,
            ibis._.since <= votes["at"],
        ],
        rname="paid_{name}",
    )
    counted = paid.group_by(*BAND).agg(buyers=paid.count())
    return counted.filter(counted.buyers >= FEWEST_BUYERS)
