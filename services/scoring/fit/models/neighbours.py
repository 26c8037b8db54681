"""Neighbours: which products the buyers of a product also buy, and what each customer might buy next.

Log-likelihood ratio of two products meeting in one customer (Dunning 1993), each customer weighted 1/sqrt(products)
so that those who buy everything say less. On a gift wholesaler 8.0-10.8 % of the first three were
bought new within 60 days (three cutoffs), against 3.7-5.1 % by popularity; cosine reached 7.3-8.8 %.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from math import ceil

import ibis

from services.scoring.engine import Engine
from services.scoring.fit.calibration import Bin, Step, calibrate
from services.scoring.fit.facts import Facts, before, naive
from services.scoring.fit.grade import OFFERS, CrossSellGrade, Tally, grade
from services.scoring.fit.model import Derived, Model

NEIGHBOURS = 30
CANDIDATES = 40
HALF_LIFE_DAYS = 180
BASKET_WEIGHT = 4.0
"""A product of the order at hand says as much as four bought the day before: measured on 4,161 real orders."""

ITEMS_A_CUSTOMER = 100
"""Only so many of a customer's latest products are paired: pairs grow with the square, and old ones say little."""
FEWEST_BOTH = 5
LEAST_SHARE = 0.002
LEAST_RATIO = 10.8
"""One chance in a thousand that two unrelated products meet so often (chi-square, one degree of freedom)."""

STILL_SOLD = timedelta(days=60)
"""What nobody has bought for so long is not offered, whatever the product master says."""

LINKS_A_PIECE = 6_000_000
# Sums of floats depend on their order, sums of integers do not: two fits of the same facts must be the same.
EXACT = 1_000_000_000

HORIZON = timedelta(days=60)
CUSTOMERS = 5_000
"""Judging more says nothing new; which ones is decided by a hash, the same each time."""
BEST_SELLERS = 300
JUST_ORDERED = timedelta(days=30)
OFFERS_CALIBRATED = 10
BINS = 10


@dataclass(frozen=True, slots=True)
class _Everyone:
    """All customers, and the sum of their weights."""

    customers: int
    weight: int


def build(facts: Facts) -> Iterator[Derived]:
    """Yield the neighbours of each product, then the candidates of each customer."""
    engine = facts.engine
    neighbours = neighbours_of(engine, facts.history)
    offered = _offered(facts)
    links = engine.keep("link", neighbours.semi_join(offered, neighbours.neighbour_id == offered.product_id))
    yield Derived("item_neighbour", _told(links, facts.history))
    pieces = 1 + engine.count(facts.history) * NEIGHBOURS // LINKS_A_PIECE
    for piece in range(pieces):
        share = facts.history.filter(facts.history.customer_id % pieces == piece)
        weighted = share.mutate(says=by_age(share, facts.today))
        yield Derived("customer_candidate", _lists(best(weighted, links, CANDIDATES)))


def _offered(facts: Facts) -> ibis.Table:
    """Return the products worth offering: active, and bought by somebody lately."""
    active = facts.products.filter(facts.products.is_active)
    lately = facts.purchases.filter(facts.purchases.at >= naive(facts.as_of - STILL_SOLD))
    return active.semi_join(lately, "product_id")


def neighbours_of(engine: Engine, history: ibis.Table) -> ibis.Table:
    """Return product_id, neighbour_id and score of the best neighbours of each product, with the buyers of either."""
    weighted = _weighted(history)
    everyone = _everyone(engine, weighted)
    held = engine.keep("held", _held(weighted, ceil(max(FEWEST_BOTH, LEAST_SHARE * everyone.customers))))
    pairs = engine.keep("pair", _pairs(held, everyone))
    return engine.keep("neighbour", _strongest(pairs, everyone))


def by_age(history: ibis.Table, today: date) -> ibis.Value:
    """Return how much each product of a history says: 1 when bought today, half after each half-life."""
    age = ibis.literal(today).delta(history.last_day, unit="day")
    return ibis.literal(0.5).pow(age / HALF_LIFE_DAYS)


def best(weighted: ibis.Table, links: ibis.Table, limit: int) -> ibis.Table:
    """Return customer_id, product_id, points and place (from 0) of the best products never bought.

    `weighted` holds each product a customer has bought with what it `says`; points are EXACT times the score.
    """
    linked = weighted.join(links, "product_id")
    gained = linked.group_by("customer_id", "neighbour_id").agg(
        points=(linked.says * linked.score * EXACT).round().cast("int64").sum().cast("float64")
    )
    known = weighted.select("customer_id", neighbour_id="product_id")
    fresh = gained.anti_join(known, ["customer_id", "neighbour_id"]).rename(product_id="neighbour_id")
    first = ibis.window(group_by="customer_id", order_by=[ibis.desc("points"), "product_id"])
    placed = fresh.mutate(place=ibis.row_number().over(first))
    return placed.filter(placed.place < limit)


def _weighted(history: ibis.Table) -> ibis.Table:
    items = history.count().over(ibis.window(group_by="customer_id"))
    counted = history.mutate(items=items)
    return counted.mutate(weight=(1_000_000 / counted.items.sqrt()).round().cast("int64"))


def _everyone(engine: Engine, weighted: ibis.Table) -> _Everyone:
    each = weighted.select("customer_id", "weight").distinct()
    totals = engine.rows(each.agg(customers=each.count(), weight=each.weight.sum().coalesce(0)))[0]
    return _Everyone(int(totals["customers"]), int(totals["weight"]))


def _held(weighted: ibis.Table, fewest: int) -> ibis.Table:
    """Return what may be paired, with the totals of each product: products of enough buyers, latest first."""
    buyers = weighted.mutate(buyers=weighted.count().over(ibis.window(group_by="product_id")))
    frequent = buyers.filter(buyers.buyers >= fewest)
    latest = ibis.window(group_by="customer_id", order_by=[ibis.desc("last_day"), "product_id"])
    placed = frequent.mutate(
        place=ibis.row_number().over(latest),
        product_weight=frequent.weight.sum().over(ibis.window(group_by="product_id")),
    )
    return placed.filter(placed.place < ITEMS_A_CUSTOMER).select(
        "customer_id", "product_id", "weight", "buyers", "product_weight"
    )


def _pairs(held: ibis.Table, everyone: _Everyone) -> ibis.Table:
    """Return each pair of products once, where enough customers bought both and more than chance would have."""
    other = held.rename("other_{name}")
    met = held.join(
        other,
        [held.customer_id == other.other_customer_id, held.product_id < other.other_product_id],
    )
    fewest = ceil(max(FEWEST_BOTH, LEAST_SHARE * everyone.customers))
    counted = met.group_by(a="product_id", b="other_product_id").agg(
        both=met.count(), both_weight=met.weight.sum()
    )
    supported = counted.filter(counted.both >= fewest)
    totals = held.select("product_id", "buyers", "product_weight").distinct()
    full = supported.join(totals.rename(a="product_id", a_buyers="buyers", a_weight="product_weight"), "a")
    full = full.join(totals.rename(b="product_id", b_buyers="buyers", b_weight="product_weight"), "b")
    expected = full.a_weight.cast("float64") * full.b_weight / max(everyone.weight, 1)
    told = full.filter(full.both_weight > expected)
    return told.mutate(ratio=_log_likelihood_ratio(told, everyone)).filter(
        lambda each: each.ratio >= LEAST_RATIO
    )


def _log_likelihood_ratio(pair: ibis.Table, everyone: _Everyone) -> ibis.Value:
    """Return G2 of the two-by-two table of weighted customers, weights scaled to a mean of one."""
    scale = everyone.customers / max(everyone.weight, 1)
    n = float(everyone.customers)
    a, b, both = pair.a_weight * scale, pair.b_weight * scale, pair.both_weight * scale

    def x_log_x(x: ibis.Value) -> ibis.Value:
        return ibis.ifelse(x > 0, x * x.ln(), 0.0)

    inside = x_log_x(both) + x_log_x(a - both) + x_log_x(b - both) + x_log_x(n - a - b + both)
    margins = x_log_x(a) + x_log_x(n - a) + x_log_x(b) + x_log_x(n - b)
    return 2 * (inside + x_log_x(ibis.literal(n)) - margins)


def _strongest(pairs: ibis.Table, everyone: _Everyone) -> ibis.Table:
    """Turn pairs both ways, keep the strongest of each product, and divide by the root of their sum."""
    there = pairs.select(
        "both", "ratio", product_id="a", neighbour_id="b", buyers="a_buyers", theirs="b_buyers"
    )
    back = pairs.select(
        "both", "ratio", product_id="b", neighbour_id="a", buyers="b_buyers", theirs="a_buyers"
    )
    ways = there.union(back)
    first = ibis.window(group_by="product_id", order_by=[ibis.desc("ratio"), "neighbour_id"])
    placed = ways.mutate(
        place=ibis.row_number().over(first),
        share=(ways.ratio / max(everyone.customers, 1) * EXACT).round().cast("int64"),
    )
    kept = placed.filter(placed.place < NEIGHBOURS)
    total = kept.share.sum().over(ibis.window(group_by="product_id"))
    score = kept.share / (total.cast("float64") * EXACT).sqrt()
    return kept.select("product_id", "neighbour_id", "buyers", "theirs", score=score)


def _told(links: ibis.Table, history: ibis.Table) -> ibis.Table:
    """Add what a rep is told, counted over all customers and all they bought: how many buy both, and lift."""
    # most links hold both ways, and of two products the one with fewer buyers is looked up faster
    is_rarer = (links.buyers < links.theirs) | (
        (links.buyers == links.theirs) & (links.product_id < links.neighbour_id)
    )
    ways = links.mutate(
        rarer=ibis.ifelse(is_rarer, links.product_id, links.neighbour_id),
        other=ibis.ifelse(is_rarer, links.neighbour_id, links.product_id),
    )
    met = ways.select("rarer", "other").distinct()
    met = met.join(history.select("customer_id", rarer="product_id"), "rarer")
    met = met.semi_join(history.select("customer_id", other="product_id"), ["customer_id", "other"])
    both = met.group_by("rarer", "other").agg(both=met.count())
    counted = ways.join(both, ["rarer", "other"]).drop("rarer", "other")
    accounts = history.customer_id.nunique().as_scalar().cast("float64")
    lift = counted.both * accounts / (counted.buyers.cast("float64") * counted.theirs)
    return counted.mutate(lift=lift).drop("theirs")


def _lists(placed: ibis.Table) -> ibis.Table:
    return placed.group_by("customer_id").agg(
        product_ids=placed.product_id.collect(order_by=placed.place),
        scores=(placed.points / EXACT).collect(order_by=placed.place),
    )


@dataclass(frozen=True, slots=True)
class _Earlier:
    """The facts of a horizon ago with their neighbours, and what each customer bought since."""

    facts: Facts
    links: ibis.Table
    bought: ibis.Table


def _earlier(facts: Facts) -> _Earlier:
    engine = facts.engine
    earlier = before(facts, facts.as_of - HORIZON)
    earlier = replace(earlier, history=engine.keep("earlier_history", earlier.history))
    links = engine.keep("earlier_link", neighbours_of(engine, earlier.history))
    later = facts.accounts.filter(facts.accounts.at >= naive(earlier.as_of))
    bought = engine.keep("bought", later.select("customer_id", "product_id").distinct())
    return _Earlier(earlier, links, bought)


def graded(facts: Facts) -> CrossSellGrade:
    """Return precision among the first three beside popularity's, and what scores meant.

    Popularity is that of the last 60 days or of all time, whichever did better: the harder one to beat.
    """
    engine = facts.engine
    then = _earlier(facts)
    earlier, links, bought = then.facts, then.links, then.bought
    known = engine.keep("known", _sampled(_regulars(earlier)))
    judged = engine.keep("judged", known.semi_join(bought, "customer_id").select("customer_id"))
    history = engine.keep("judged_history", earlier.history.semi_join(judged, "customer_id"))
    offered = best(history.mutate(says=by_age(history, earlier.today)), links, OFFERS)
    hits = engine.keep("hit", _hits(offered, bought, "hits"))
    lately = earlier.accounts.filter(earlier.accounts.at >= naive(earlier.as_of - HORIZON))
    tallies = max(
        (
            _tallies(
                engine, judged, hits, _hits(_best_sellers(trade, judged, history), bought, "popular_hits")
            )
            for trade in (lately, earlier.accounts)
        ),
        key=lambda each: sum(tally.customers * tally.popular_hits for tally in each),
    )
    return grade(tallies, _calibrated(engine, _offers(earlier, known, links), bought))


def listed(facts: Facts) -> tuple[Step, ...]:
    """Return what scores meant on the list of any morning, whether or not the customer has just ordered."""
    then = _earlier(facts)
    known = _sampled(then.facts.history.select("customer_id").distinct())
    history = then.facts.history.semi_join(known, "customer_id")
    weighted = history.mutate(says=by_age(history, then.facts.today))
    return _calibrated(facts.engine, best(weighted, then.links, OFFERS_CALIBRATED), then.bought)


def _regulars(facts: Facts) -> ibis.Table:
    """Return customers with two order days or more, and their last."""
    days = facts.accounts.group_by("customer_id").agg(
        days=facts.accounts.day.nunique(), latest=facts.accounts.day.max()
    )
    return days.filter(days.days >= 2)


def _sampled(customers: ibis.Table) -> ibis.Table:
    shuffled = customers.mutate(lot=customers.customer_id * 2_654_435_761 % 4_294_967_296)
    return shuffled.order_by("lot", "customer_id").limit(CUSTOMERS)


def _tallies(engine: Engine, judged: ibis.Table, hits: ibis.Table, popular: ibis.Table) -> list[Tally]:
    each = judged.left_join(hits, "customer_id").drop("customer_id_right").left_join(popular, "customer_id")
    scores = each.select(hits=each.hits.fill_null(0), popular_hits=each.popular_hits.fill_null(0))
    counted = scores.group_by("hits", "popular_hits").agg(customers=scores.count())
    return [Tally(**row) for row in engine.rows(counted)]


def _hits(offers: ibis.Table, bought: ibis.Table, name: str) -> ibis.Table:
    found = offers.semi_join(bought, ["customer_id", "product_id"])
    return found.group_by("customer_id").agg(found.count().name(name))


def _best_sellers(trade: ibis.Table, judged: ibis.Table, history: ibis.Table) -> ibis.Table:
    """Return the three products most accounts bought in this trade that the customer never did."""
    sellers = trade.group_by("product_id").agg(buyers=trade.customer_id.nunique())
    top = sellers.order_by(ibis.desc("buyers"), "product_id").limit(BEST_SELLERS)
    offers = judged.cross_join(top).anti_join(history, ["customer_id", "product_id"])
    first = ibis.window(group_by="customer_id", order_by=[ibis.desc("buyers"), "product_id"])
    placed = offers.mutate(place=ibis.row_number().over(first))
    return placed.filter(placed.place < OFFERS)


def _offers(facts: Facts, known: ibis.Table, links: ibis.Table) -> ibis.Table:
    """Return what was offered to customers who had just ordered: that is when offers are made."""
    recent = known.filter(known.latest >= ibis.literal(facts.today - JUST_ORDERED))
    history = facts.history.join(recent.select("customer_id", "latest"), "customer_id")
    aged = by_age(history, facts.today)
    weighted = history.mutate(says=ibis.ifelse(history.last_day == history.latest, BASKET_WEIGHT, aged))
    return best(weighted, links, OFFERS_CALIBRATED)


def _calibrated(engine: Engine, offers: ibis.Table, bought: ibis.Table) -> tuple[Step, ...]:
    """Return how often offers were bought, by tenths of their score."""
    outcome = offers.left_join(bought.mutate(hit=1), ["customer_id", "product_id"])
    rising = ibis.window(order_by=["points", "customer_id", "product_id"])
    binned = outcome.mutate(tenth=ibis.ntile(BINS).over(rising))
    bins = binned.group_by("tenth").agg(
        least=binned.points.min() / EXACT, offers=binned.count(), bought=binned.hit.count()
    )
    return calibrate([Bin(**row) for row in engine.rows(bins.order_by("tenth").drop("tenth"))])


MODEL = Model(
    "neighbours",
    build,
    keys={"item_neighbour": ("product_id", "neighbour_id"), "customer_candidate": ("customer_id",)},
    grade=graded,
)
