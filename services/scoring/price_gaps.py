"""Price gaps: how far each purchase lies from what accounts paid for the item at the time, and whether that trends.

A gap is log(price / market price). The market price is the median over accounts, one vote each, for the same product,
quantity band, channel and currency in the purchase's 90 days and the 90 before.
"""

from collections.abc import Callable
from datetime import date
from typing import Protocol

import ibis

from services.scoring.facts import Assumptions

QUARTER = 90
"""Days over which margin is counted: recent purchases, and the horizon of what they cost."""

FEWEST_PEERS = 3
CELL = ("product_id", "min_quantity", "channel", "currency")


class Sales(Protocol):
    """What these kinds ask of the facts: what accounts bought, and how products are named."""

    @property
    def accounts(self) -> ibis.Table:
        """Purchases by known customers, before the moment of the facts."""

    @property
    def products(self) -> ibis.Table:
        """Products by id."""

    @property
    def agreements(self) -> ibis.Table | None:
        """What is bought at prices agreed, and when these hold; None where none was ever agreed."""

    @property
    def assumptions(self) -> Assumptions:
        """What is assumed where it is not known."""

    def keep(self, name: str, rows: Callable[[], ibis.Table]) -> ibis.Table:
        """Return a table by its name, computed when it is first asked for."""


def band_start(quantity: ibis.Value) -> ibis.Value:
    """Return the least quantity of the band: 0, 1, 2, 3, 6, 12, 24, 48, 96 and on by doubling."""
    doublings = (ibis.greatest(quantity, 3.0) / 3.0).log2().floor()
    return ibis.cases(
        (quantity < 1, 0.0),
        (quantity < 2, 1.0),
        (quantity < 3, 2.0),
        else_=3.0 * ibis.literal(2.0).pow(doublings),
    )


def band_end(start: ibis.Value) -> ibis.Value:
    """Return the first quantity above the band that begins there."""
    return ibis.ifelse(start < 3, start + 1, start * 2)


def priced(facts: Sales, as_of: date, days: int) -> ibis.Table:
    """Return the purchases by accounts of the `days` before, with price, quantity band and age in days."""
    rows = _priced(facts, as_of)
    return rows.filter((rows.age > 0) & (rows.age <= days))


def priced_after(facts: Sales, as_of: date) -> ibis.Table:
    """Return the purchases by accounts of the 90 days from `as_of` on, for the outcome of what was said then."""
    rows = _priced(facts, as_of)
    return rows.filter((rows.age <= 0) & (rows.age > -QUARTER))


def _priced(facts: Sales, as_of: date) -> ibis.Table:
    """Price, quantity band and age of purchases whose rate is known; costs in the currency of the prices."""
    rows = facts.accounts
    rows = rows.mutate(
        age=ibis.literal(as_of).delta(rows.day, unit="day"),
        price=(rows.net / rows.quantity).round(4),
        min_quantity=band_start(rows.quantity),
        unit_cost=rows.unit_cost * rows.net / rows.base_net,
    )
    return rows.filter(rows.base_net > 0)


def with_gaps(purchases: ibis.Table) -> ibis.Table:
    """Add `market_price` and `gap` to priced purchases, where at least three accounts bought the like."""
    quarter = (purchases.age / QUARTER).floor().cast("int64")
    rows = purchases.mutate(quarter=quarter)
    own, earlier = rows, rows.mutate(quarter=quarter - 1)
    seen = own.union(earlier).select(*CELL, "quarter", "customer_id", "price")
    votes = seen.group_by(*CELL, "quarter", "customer_id").agg(price=seen.price.median())
    market = votes.group_by(*CELL, "quarter").agg(market_price=votes.price.median(), peers=votes.count())
    market = market.filter(market.peers >= FEWEST_PEERS)
    joined = rows.join(market, [*CELL, "quarter"])
    return joined.mutate(gap=(joined.price / joined.market_price).ln().round(4))


def mann_kendall(points: ibis.Table, value: str) -> ibis.Table:
    """Return `z` of the Mann-Kendall trend test per customer, over `day` and a value; 0 where all values are one.

    S = sum over pairs of sign(later - earlier), corrected for continuity, over its standard deviation under no trend,
    corrected for ties (Kendall 1975).
    """
    rows = points.select("customer_id", "day", x=points[value])
    later = rows.view()
    pairs = rows.join(later, [rows.customer_id == later.customer_id, rows.day < later.day]).select(
        rows.customer_id, sign=(later.x - rows.x).sign()
    )
    rises = pairs.group_by("customer_id").agg(s=pairs.sign.sum())
    ties = rows.group_by("customer_id", "x").agg(t=rows.count())
    t = ties.t.cast("float64")
    counted = ties.group_by("customer_id").agg(n=t.sum(), tied=(t * (t - 1) * (2 * t + 5)).sum())
    both = rises.join(counted, "customer_id")
    variance = (both.n * (both.n - 1) * (2 * both.n + 5) - both.tied) / 18
    z = ibis.ifelse(variance > 0, (both.s - both.s.sign()) / variance.sqrt(), 0.0)
    return both.select("customer_id", z=z)
