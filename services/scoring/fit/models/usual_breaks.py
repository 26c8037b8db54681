"""Usual breaks: quantities from which accounts commonly pay less, where nobody has told us the price breaks."""

from collections.abc import Iterator
from datetime import timedelta

import ibis

from services.scoring.fit.bands import band_start
from services.scoring.fit.facts import Facts, naive
from services.scoring.fit.model import Derived, Model

RECENT = timedelta(days=180)
FEWEST_BUYERS = 5
LEAST_AGREEMENT = 0.5
"""A band speaks only where at least half of its customers pay the very same price."""
LEAST_STEP = 0.02

BAND = ("product_id", "currency", "min_quantity")


def build(facts: Facts) -> Iterator[Derived]:
    """Yield the steps between neighbouring bands whose commonest price falls."""
    below = ibis.window(group_by=["product_id", "currency"], order_by="min_quantity")
    bands = _commonest(facts)
    steps = bands.mutate(usual_price=bands.unit_price.lag().over(below))
    falling = steps.filter(steps.unit_price <= steps.usual_price * (1 - LEAST_STEP))
    yield Derived("usual_break", falling.drop("min_quantity").rename(min_quantity="least"))


MODEL = Model("usual_breaks", build, keys={"usual_break": BAND})


def _commonest(facts: Facts) -> ibis.Table:
    """Return each band's commonest price, the quantity nine in ten of its buyers reach, and how many they are."""
    lines = facts.accounts.filter(facts.accounts.at >= naive(facts.as_of - RECENT))
    priced = lines.mutate(
        unit_price=(lines.net / lines.quantity).round(4), min_quantity=band_start(lines.quantity)
    )
    newest = ibis.window(group_by=[*BAND, "customer_id"], order_by=[ibis.desc("at"), ibis.desc("order_id")])
    own = priced.mutate(nth=ibis.row_number().over(newest))
    votes = own.filter(own.nth == 0)
    counted = votes.group_by(*BAND, "unit_price").agg(
        buyers=votes.count(), least=votes.quantity.quantile(0.1).ceil()
    )
    size = counted.buyers.sum().over(ibis.window(group_by=list(BAND)))
    best = ibis.window(group_by=list(BAND), order_by=[ibis.desc("buyers"), ibis.desc("unit_price")])
    ranked = counted.mutate(size=size, nth=ibis.row_number().over(best))
    return ranked.filter(
        (ranked.nth == 0)
        & (ranked.buyers >= FEWEST_BUYERS)
        & (ranked.buyers >= LEAST_AGREEMENT * ranked.size)
    ).select(*BAND, "unit_price", "buyers", "least")
