"""Price bands: what accounts paid lately for a product, in the same channel, currency and quantity band.

Guests pay about twice the account price and are no peers. Each customer has one vote, however often they buy.
"""

from collections.abc import Iterator
from datetime import timedelta

import ibis

from services.scoring.fit.facts import Facts, naive
from services.scoring.fit.model import Derived, Model
from services.scoring.price_gaps import band_end, band_start

RECENT = timedelta(days=90)
LATEST = 5
"""A price that most of the last five customers paid is the list now, whatever the ninety days say."""

BAND = ("product_id", "channel", "currency", "min_quantity")


def build(facts: Facts) -> Iterator[Derived]:
    """Yield a row for each band somebody bought in."""
    lines = facts.accounts.filter(facts.accounts.at >= naive(facts.as_of - RECENT))
    priced = lines.mutate(
        price=(lines.net / lines.quantity).round(4), min_quantity=band_start(lines.quantity)
    )
    one_each = priced.group_by(*BAND, "customer_id").agg(price=priced.price.median())
    bands = one_each.group_by(*BAND).agg(
        buyers=one_each.count(), unit_price=one_each.price.median(), low_price=one_each.price.quantile(0.1)
    )
    rows = bands.join(_latest(priced), list(BAND))
    yield Derived("price_band", rows.mutate(max_quantity=band_end(rows.min_quantity)))


MODEL = Model("price_bands", build, keys={"price_band": BAND})


def _latest(priced: ibis.Table) -> ibis.Table:
    """Return the middle of what the last five different customers of each band paid."""
    newest = [ibis.desc("at"), ibis.desc("order_id")]
    own = priced.mutate(
        nth=ibis.row_number().over(ibis.window(group_by=[*BAND, "customer_id"], order_by=newest))
    )
    last = own.filter(own.nth == 0)
    placed = last.mutate(place=ibis.row_number().over(ibis.window(group_by=list(BAND), order_by=newest)))
    few = placed.filter(placed.place < LATEST)
    return few.group_by(*BAND).agg(latest_price=few.price.median())
