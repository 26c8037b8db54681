"""Cross-sell: an account that buys this has never bought what the accounts beside it buy too.

Ranked by the fit's score (never by raw lift): what the customer's history suggests, plus the neighbours of what
was just ordered. At stake is the median first order x unit margin, and what is bought again in the rest of the 60
days; the chance that they buy it unaided is what the fit's calibration of scores says, else estimated at 1 in 20.
Colours and sizes of one thing are one offer.
"""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache, partial
from typing import Any, NamedTuple

from services.scoring.facts import OrderFacts, ProductFacts
from services.scoring.outcomes import bought_again
from services.scoring.value import (
    CACHED,
    Probability,
    capped,
    exact,
    gain_of,
    headline,
    is_worth_acting,
    margin_of,
    number,
    own_p90,
    shortened,
    valuation,
    variant,
)
from shared.domain.signal import Action, Episode, Evidence, OrderSignalKind, Signal, UnwordedSignal

UNAIDED = Probability(0.05)
"""8-9 % of top-10 items were bought within 60 days at one wholesaler: a cautious start until measured here."""

HORIZON = timedelta(days=60)
"""As long as the fit watches whether an offer is bought."""

REPEATS_KNOWN_FOR = timedelta(days=90)
"""`ItemFit.repeats` counts what is bought again in so long after a first purchase."""

SIZE = re.compile(r"\b\d+([.,]\d+)? ?(mm|cm|m|ml|cl|l|g|kg|in|ft|w)\b")
COLOURS = frozenset(
    "amber aqua beige black blue bronze brown burgundy charcoal clear copper coral cream cyan emerald gold golden"
    " gray green grey indigo ivory khaki lavender lilac lime magenta maroon mauve mint mustard natural navy ochre olive"
    " orange peach pink purple red rose ruby sand sapphire silver taupe teal turquoise violet white yellow"
    " dark light pale bright".split()
)

MODEL = "neighbours"
"""The model whose candidates it offers."""

OFFERS = 3
FEWEST_BUYERS = 5
HALF_LIFE = timedelta(days=180)
BASKET_WEIGHT = 4.0
"""What is in the order tells more than what once was: measured on 4,161 real orders, top-3 precision .067 for .064."""

SHOWS_FOR = timedelta(days=30)
REPEAT_SHARE = Decimal(HORIZON / REPEATS_KNOWN_FOR / 2)
"""Of what is bought again: bought first at any time of the horizon, half of it is left on average."""


class _Offer(NamedTuple):
    """A product that may be offered: what is typically ordered first, and the margin at stake."""

    product: ProductFacts
    score: float
    first_quantity: Decimal
    unit_price: Decimal
    probability: Probability
    stake: Decimal
    is_assumed: bool


class _Reason(NamedTuple):
    """The link that explains an offer best: of `buyers` accounts that buy the known product, `both` buy it too."""

    known_id: int
    known: str
    both: int
    buyers: int
    is_in_order: bool


def detect(facts: OrderFacts) -> Iterator[UnwordedSignal | None]:
    """Offer up to three products that were never bought, best score first."""
    if facts.fit is None or facts.products is None:
        return
    scores = _scores(facts)
    most = own_p90(facts, HORIZON)
    offered: set[str] = set()
    for product_id in sorted(scores, key=scores.__getitem__, reverse=True)[: 4 * OFFERS]:
        product = facts.products.get(product_id)
        if product is None or not _may_be_offered(product, facts):
            continue
        thing = thing_of(product.name)
        offer = None if thing in offered else _offer(facts, product, scores[product_id], most)
        if offer is None:
            continue
        value = gain_of(KIND.name, offer.stake, offer.probability, facts.assumptions)
        if not is_worth_acting(value, KIND.action, facts.assumptions):
            yield None
            continue
        yield UnwordedSignal(KIND.name, f"product:{product_id}", value, partial(_signal, facts, offer))
        offered.add(thing)
        if len(offered) == OFFERS:
            return


@lru_cache(CACHED)
def thing_of(name: str) -> str:
    """A name without colours and sizes, in small letters: the same for all variants of one thing."""
    words = SIZE.sub(" ", name.lower()).replace(",", " ").replace("/", " ").split()
    return " ".join(each for each in words if each not in COLOURS) or name.lower()


def _scores(facts: OrderFacts) -> dict[int, float]:
    """Add up what history suggests and what this order suggests beyond it; never what was bought already.

    History already counts an item with weight 0.5^(age / 180 d); this order lifts it to BASKET_WEIGHT.
    """
    scores = dict(facts.candidates)
    for each in facts.lines:
        age = (facts.as_of - each.history[0].at) / HALF_LIFE if each.history else None
        weight = BASKET_WEIGHT if age is None else BASKET_WEIGHT - 0.5**age
        for product_id, near in each.product.neighbours.items():
            # near[0] is its score: by name it takes longer
            scores[product_id] = scores.get(product_id, 0.0) + weight * near[0]
    for known in (facts.basket, scores.keys() & facts.bought):
        for product_id in known:
            scores.pop(product_id, None)
    return scores


def _may_be_offered(product: ProductFacts, facts: OrderFacts) -> bool:
    """Not a substitute of what they buy, not discontinued, not out of stock, and with enough buyers to believe."""
    return (
        product.can_be_offered
        and product.fitted is not None
        and product.fitted.buyers >= FEWEST_BUYERS
        and product.substitutes.isdisjoint(facts.basket)
        and product.substitutes.isdisjoint(facts.bought)
    )


def _offer(facts: OrderFacts, product: ProductFacts, score: float, most: Decimal | None) -> _Offer | None:
    """Return what is at stake; None where no price is known. `most`: what the customer orders at most."""
    fitted = product.fitted
    if fitted is None or fitted.unit_price is None or fitted.first_quantity is None:
        return None
    first_quantity = fitted.first_quantity
    if first_quantity >= 1:  # a median may fall between two quantities; nobody orders three and a half
        first_quantity = first_quantity.to_integral_value(ROUND_HALF_UP)
    first_order = first_quantity * fitted.unit_price
    margin, is_assumed = margin_of(first_order, product, facts.assumptions)
    probability = _unaided(facts, score)
    times = 1 + (fitted.repeats or Decimal(0)) * REPEAT_SHARE
    stake = capped(margin * times, first_order * times, most)
    return _Offer(product, score, first_quantity, fitted.unit_price, probability, stake, is_assumed)


def _signal(facts: OrderFacts, offer: _Offer) -> Signal:
    product, probability = offer.product, offer.probability
    worth = valuation(KIND.name, offer.stake, probability, facts.assumptions, is_assumed=offer.is_assumed)
    reason = _reason(facts, product)
    title, question, links = _wording(product.name, reason)
    price = exact(offer.unit_price, facts.assumptions.base_currency)
    first = f"{number(offer.first_quantity)} at {price} each."
    return Signal(
        kind=KIND.name,
        customer_id=facts.customer.id,
        subject=f"product:{product.id}",
        cause=f"product:{reason.known_id}" if reason else "history",
        probability=probability.value,
        basis=probability.basis,
        stake=worth.stake,
        value=worth.gain,
        low=worth.low,
        high=worth.high,
        horizon=HORIZON,
        headline=title,
        question=question,
        evidence=(*links, Evidence("Typical first order", first)),
        as_of=facts.as_of,
        expires_at=facts.as_of + SHOWS_FOR,
        assumed_margin=offer.is_assumed,
        revenue=offer.first_quantity * offer.unit_price,
        product_id=product.id,
        detail={"score": round(offer.score, 6), "first_quantity": str(offer.first_quantity)},
    )


def _unaided(facts: OrderFacts, score: float) -> Probability:
    """The share of such scores that were bought within the fit's test window, else the estimate.

    A score below all that were measured is no likelier than the lowest of them.
    """
    run = facts.fit.runs.get(MODEL) if facts.fit is not None else None
    bins = run.grade.get("calibration", ()) if run is not None else ()
    for least, probability, n in reversed(bins):
        if score >= least:
            return Probability(probability, "measured", n)
    return Probability(min(bins[0][1], UNAIDED.value)) if bins else UNAIDED


def _reason(facts: OrderFacts, product: ProductFacts) -> _Reason | None:
    """The strongest link from this order; else from what the customer bought before."""
    linked = [
        (near, each) for each in facts.lines if (near := each.product.neighbours.get(product.id)) is not None
    ]
    if linked:
        near, line = max(linked, key=lambda link: link[0].score)
        return _Reason(line.product.id, line.product.name, near.both, near.buyers, is_in_order=True)
    for product_id, near in product.neighbours.items():
        known = facts.products.get(product_id) if facts.products and product_id in facts.bought else None
        if known is not None and known.fitted is not None:
            return _Reason(known.id, known.name, near.both, known.fitted.buyers, is_in_order=False)
    return None


@lru_cache(CACHED)
def _wording(name: str, reason: _Reason | None) -> tuple[str, str, tuple[Evidence, ...]]:
    """Return headline, question, and the evidence that links the product to what they buy."""
    if reason is None:
        never = Evidence("This customer", f"Never bought {name} in 24 months.")
        question = f"Do you use {shortened(name)}, and where do you buy it?"
        return headline("Never bought", name), question, (never,)
    title = headline("Buys", reason.known, ", never", name)
    if "…" in title:
        title = headline("Buys", reason.known, ", never", variant(name, reason.known))
    together = f"Of {reason.buyers:,} accounts that buy {reason.known}, {reason.both:,} also buy {name}."
    bought = "in this order" if reason.is_in_order else "before"
    return (
        title,
        f"Do you use {shortened(name)} with {shortened(reason.known)}, and where do you buy it?",
        (
            Evidence("Bought together", together),
            Evidence("This customer", f"Bought {reason.known} {bought}; never {name} in 24 months."),
        ),
    )


def outcome(facts: Any, as_of: datetime, rows: Any) -> Any:  # noqa: ANN401 - ibis tables
    """Return per customer and item `happened`: they bought it in the 60 days after."""
    return bought_again(facts, as_of, rows, "product_id", HORIZON)


def ends(facts: OrderFacts, episode: Episode) -> str | None:
    """End when the customer buys the product."""
    return "the customer bought it" if episode.product_id in facts.basket else None


KIND = OrderSignalKind(
    name="cross_sell",
    version="2",
    detect=detect,
    ends=ends,
    outcome=outcome,
    outcome_within=HORIZON,
    episode_ttl=timedelta(days=90),
    is_selling=True,
    needs_model=MODEL,
    action=Action.MENTION,
)
