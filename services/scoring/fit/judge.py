"""This file judges cross-sell on the last 60 days: fitted on what came before them, never looking across."""

from datetime import timedelta

import ibis

from services.scoring.fit.calibration import Bin, calibrate
from services.scoring.fit.facts import Facts, before, naive
from services.scoring.fit.grade import OFFERS, CrossSellGrade, Tally, grade
from services.scoring.fit.models.neighbours import BASKET_WEIGHT, EXACT, best, by_age, neighbours_of

HORIZON = timedelta(days=60)
CUSTOMERS = 5_000
"""Judging more says nothing new; which ones is decided by a hash, the same each time."""
BEST_SELLERS = 300
JUST_ORDERED = timedelta(days=30)
OFFERS_CALIBRATED = 10
BINS = 10


def judge(facts: Facts) -> CrossSellGrade:
    """Return precision among the first three beside popularity's, and what scores meant.

    Popularity is that of the last 60 days or of all time, whichever did better: the harder one to beat.
    """
    earlier = before(facts, facts.as_of - HORIZON)
    engine = facts.engine
    links = engine.keep("earlier_link", neighbours_of(engine, earlier.history))
    later = facts.accounts.filter(facts.accounts.at >= naive(earlier.as_of))
    bought = engine.keep("bought", later.select("customer_id", "product_id").distinct())
    known = engine.keep("known", _sampled(_regulars(earlier)))
    judged = known.semi_join(bought, "customer_id")
    lately = earlier.accounts.filter(earlier.accounts.at >= naive(earlier.as_of - HORIZON))
    tallies = max(
        (_tallies(earlier, judged, links, bought, trade) for trade in (lately, earlier.accounts)),
        key=lambda each: sum(tally.customers * tally.popular_hits for tally in each),
    )
    bins = [Bin(**row) for row in engine.rows(_bins(earlier, known, links, bought))]
    return grade(tallies, calibrate(bins))


def _regulars(facts: Facts) -> ibis.Table:
    """Return customers with two order days or more, and their last."""
    days = facts.accounts.group_by("customer_id").agg(
        days=facts.accounts.day.nunique(), latest=facts.accounts.day.max()
    )
    return days.filter(days.days >= 2)


def _sampled(customers: ibis.Table) -> ibis.Table:
    shuffled = customers.mutate(lot=customers.customer_id * 2_654_435_761 % 4_294_967_296)
    return shuffled.order_by("lot", "customer_id").limit(CUSTOMERS)


def _tallies(
    facts: Facts, judged: ibis.Table, links: ibis.Table, bought: ibis.Table, trade: ibis.Table
) -> list[Tally]:
    history = facts.history.semi_join(judged, "customer_id")
    ours = best(history.mutate(says=by_age(history, facts.as_of.date())), links, OFFERS)
    hits = _hits(ours, bought, "hits")
    popular = _hits(_best_sellers(trade, judged, history), bought, "popular_hits")
    each = judged.select("customer_id").left_join(hits, "customer_id").drop("customer_id_right")
    each = each.left_join(popular, "customer_id")
    scores = each.select(hits=each.hits.fill_null(0), popular_hits=each.popular_hits.fill_null(0))
    counted = scores.group_by("hits", "popular_hits").agg(customers=scores.count())
    return [Tally(**row) for row in facts.engine.rows(counted)]


def _hits(offers: ibis.Table, bought: ibis.Table, name: str) -> ibis.Table:
    found = offers.semi_join(bought, ["customer_id", "product_id"])
    return found.group_by("customer_id").agg(found.count().name(name))


def _best_sellers(trade: ibis.Table, judged: ibis.Table, history: ibis.Table) -> ibis.Table:
    """Return the three products most accounts bought in this trade that the customer never did."""
    sellers = trade.group_by("product_id").agg(buyers=trade.customer_id.nunique())
    top = sellers.order_by(ibis.desc("buyers"), "product_id").limit(BEST_SELLERS)
    offers = judged.select("customer_id").cross_join(top).anti_join(history, ["customer_id", "product_id"])
    first = ibis.window(group_by="customer_id", order_by=[ibis.desc("buyers"), "product_id"])
    placed = offers.mutate(place=ibis.row_number().over(first))
    return placed.filter(placed.place < OFFERS)


def _bins(facts: Facts, known: ibis.Table, links: ibis.Table, bought: ibis.Table) -> ibis.Table:
    """Return tenths of past offers by score, to customers who had just ordered: that is when offers are made."""
    recent = known.filter(known.latest >= ibis.literal((facts.as_of - JUST_ORDERED).date()))
    history = facts.history.join(recent.select("customer_id", "latest"), "customer_id")
    aged = by_age(history, facts.as_of.date())
    weighted = history.mutate(says=ibis.ifelse(history.last_day == history.latest, BASKET_WEIGHT, aged))
    offers = best(weighted, links, OFFERS_CALIBRATED)
    outcome = offers.left_join(bought.mutate(hit=1), ["customer_id", "product_id"])
    rising = ibis.window(order_by=["points", "customer_id", "product_id"])
    binned = outcome.mutate(tenth=ibis.ntile(BINS).over(rising))
    bins = binned.group_by("tenth").agg(
        least=binned.points.min() / EXACT, offers=binned.count(), bought=binned.hit.count()
    )
    return bins.order_by("tenth").drop("tenth")
