"""How each customer of the sample company buys: what it keeps coming back for, how often, how much."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import accumulate, count
from random import Random

from deploy.sample.catalogue import Catalogue, Product
from deploy.sample.parts import Part
from deploy.sample.people import Customer
from deploy.sample.seasons import Timeline, appetite
from deploy.sample.trades import staple_pair

WORKING_DAYS_BETWEEN_ORDERS = 14.5


# How many of its orders hold a staple of the part a customer plays.
STAPLE_SHARE = 0.7
# How the quantity of one order relates to the usual one.
SWING = (0.5, 1, 1, 1, 1, 1, 1, 2)


@dataclass(frozen=True, slots=True)
class Habit:
    """One customer's way of buying. `cadence` is the mean trading time between orders."""

    cadence: float
    regularity: float
    lines: float
    size: float
    loyalty: float
    likes_cartons: bool
    repertoire: tuple[Product, ...]
    tastes: tuple[float, ...]
    forgets: frozenset[str]
    leaves_after: int | None


@dataclass(frozen=True, slots=True)
class Basket:
    """What one customer wants on one day: products with base quantities."""

    day: date
    items: tuple[tuple[Product, int], ...]


def habit_of(
    seed: int, customer: Customer, part: Part, catalogue: Catalogue, by_trade: dict[str, float]
) -> Habit:
    """The seed and the customer decide; a part in a situation bends it."""
    rng = Random(f"{seed}:habit:{customer.id}")
    weights = {key: liking * rng.lognormvariate(0, 0.8) for key, liking in by_trade.items()}
    tastes = tuple(accumulate(weights[p.family.key] * p.popularity * p.is_active for p in catalogue.products))
    known = 5 + min(40, round(8 * customer.weight**0.5 * rng.lognormvariate(0, 0.3)))
    usual = [_pick(tastes, catalogue.products, rng) for _ in range(known)]
    trigger, needed = staple_pair(customer.trade, catalogue)
    if rng.random() < 0.75:
        usual += [trigger, trigger] + ([needed, needed] if rng.random() < 0.92 else [])
    rare = 4.0 if rng.random() < 0.15 and not part.situation else 1.0
    cadence = WORKING_DAYS_BETWEEN_ORDERS * rare * rng.lognormvariate(0, 0.45) / customer.weight**0.5
    return Habit(
        cadence=part.cadence or min(160.0, max(1.6, cadence)),
        regularity=14.0 if part.situation else rng.uniform(1.5, 6),
        lines=part.lines or rng.uniform(1.6, 3.2),
        size=customer.weight**0.5 * rng.lognormvariate(0, 0.25) * part.size,
        loyalty=1.0 if part.buys_staples_only else rng.uniform(0.72, 0.95),
        likes_cartons=rng.random() < 0.5,
        repertoire=part.staples if part.buys_staples_only else (*usual, *part.staples * 2),
        tastes=tastes,
        forgets=frozenset(key for key in weights if rng.random() < 0.2),
        leaves_after=_leaves_after(customer, part, rng),
    )


def _leaves_after(customer: Customer, part: Part, rng: Random) -> int | None:
    """The days from the first of the history to a customer's end; most stay. Nobody left in the last four months."""
    if part.situation or (customer.status == "active" and rng.random() > 0.09):
        return None
    return rng.randint(150, 600)


def _pick(tastes: tuple[float, ...], products: tuple[Product, ...], rng: Random) -> Product:
    return products[bisect_left(tastes, rng.random() * tastes[-1])]


def usual_quantity(seed: int, customer: Customer, habit: Habit, product: Product) -> int:
    """What this customer normally takes of this product, in base units: whole cartons for those who like them."""
    spread = Random(f"{seed}:{customer.id}:{product.sku}").lognormvariate(0, 0.3)
    quantity = max(1, round(product.family.usual_quantity * habit.size * spread))
    if quantity >= 10 and product.carton == 1:
        return round(quantity / 5) * 5
    if habit.likes_cartons and quantity >= 0.6 * product.carton:
        return max(1, round(quantity / product.carton)) * product.carton
    return quantity


def baskets(
    seed: int, customer: Customer, habit: Habit, part: Part, catalogue: Catalogue, line: Timeline
) -> Iterator[Basket]:
    """Every basket of a customer, in order of time, until the last day or until it goes quiet."""
    rng = Random(f"{seed}:baskets:{customer.id}")
    usual = dict(part.usual)
    known = list(habit.repertoire)
    turns = count()
    at = line.distance_of(customer.joined) + rng.random() * habit.cadence
    ends = part.stops or _end_of(habit, line)
    while at < line.length:
        day = line.day_at(at)
        if day >= ends:
            return
        chosen = _choose(day, habit, part, known, catalogue, rng)
        chosen |= _staple(next(turns), day, part, rng)
        for product in chosen.values():
            if product.sku not in usual:
                usual[product.sku] = usual_quantity(seed, customer, habit, product)
        items = tuple((p, max(1, round(usual[p.sku] * rng.choice(SWING)))) for p in chosen.values())
        if items and (part.month is None or part.month == day.month):
            yield Basket(day, items)
        at += rng.gammavariate(habit.regularity, habit.cadence / habit.regularity)


def _end_of(habit: Habit, line: Timeline) -> date:
    return date.max if habit.leaves_after is None else line.days[0] + timedelta(days=habit.leaves_after)


def _choose(
    day: date, habit: Habit, part: Part, known: list[Product], catalogue: Catalogue, rng: Random
) -> dict[str, Product]:
    """Mostly old acquaintances; now and then something new, more likely what goes with something known."""
    chosen: dict[str, Product] = {}
    wanted = 1 + min(14, int(rng.expovariate(1 / habit.lines)))
    for _ in range(wanted * 3):
        if len(chosen) >= wanted:
            break
        product, is_new = _one(habit, known, catalogue, rng)
        if not _wants(product, day, part, rng):
            continue
        chosen[product.sku] = product
        if is_new and rng.random() < 0.5:
            known.append(product)
        for needed in catalogue.complements[product.sku]:
            if (
                rng.random() < 0.25
                and needed.family.key not in habit.forgets
                and _wants(needed, day, part, rng)
            ):
                chosen[needed.sku] = needed
    return chosen


def _staple(turn: int, day: date, part: Part, rng: Random) -> dict[str, Product]:
    """The staple whose turn it is: what a part is about must not be left to luck."""
    if not part.staples or rng.random() > STAPLE_SHARE:
        return {}
    staple = part.staples[turn % len(part.staples)]
    return {staple.sku: staple} if _would_buy(staple, day, part) else {}


def _one(habit: Habit, known: list[Product], catalogue: Catalogue, rng: Random) -> tuple[Product, bool]:
    if rng.random() < habit.loyalty:
        return rng.choice(known), False
    related = catalogue.complements[rng.choice(known).sku]
    if related and rng.random() < 0.6 and related[0].family.key not in habit.forgets:
        return rng.choice(related), True
    return _pick(habit.tastes, catalogue.products, rng), True


def _would_buy(product: Product, day: date, part: Part) -> bool:
    """Whether the part leaves the customer this product at all."""
    has_dropped = day >= part.drops_since and product.family.key in part.drops
    return product.is_active and product.family.key not in part.refuses and not has_dropped


def _wants(product: Product, day: date, part: Part, rng: Random) -> bool:
    return _would_buy(product, day, part) and rng.random() < appetite(product.family.season, day)
