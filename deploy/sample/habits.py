"""How each customer of the sample company buys: what it keeps coming back for, how often, how much."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import accumulate, count
from random import Random

from deploy.sample.catalogue import Catalogue, Product
from deploy.sample.parts import Part
from deploy.sample.people import Customer
from deploy.sample.seasons import Timeline, appetite, trading_day
from deploy.sample.trades import staple_pair

WORKING_DAYS_BETWEEN_ORDERS = 18.5
# How regular gaps are, before seasons and closures widen them: counted in days, a real wholesaler's gaps are gamma
# distributed with a shape about 2.6.
SHAPES = (2.2, 4.2)
# How many close once a year, for so many days.
CLOSING_SHARE = 0.25
CLOSED_DAYS = (10, 24)
# How many stop buying something they used to, and how many of these the whole category; so many days after the first.
# Nobody did so in the last eight months: what stopped then is planted by name.
GIVES_UP_SHARE, WHOLE_CATEGORY_SHARE = 0.6, 0.4
GIVES_UP_AFTER = (200, 490)
# Whoever was closed needs something soon after.
DAYS_UNTIL_BACK = 5
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
    gives_up: frozenset[str]
    gives_up_after: int
    closes_on: int | None
    closed_days: int


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
    tastes = tuple(accumulate(weights[p.family.key] * p.popularity for p in catalogue.products))
    known = 5 + min(40, round(8 * customer.weight**0.5 * rng.lognormvariate(0, 0.3)))
    usual = [_pick(tastes, catalogue.products, rng) for _ in range(known)]
    trigger, needed = staple_pair(customer.trade, catalogue)
    if rng.random() < 0.75:
        usual += [trigger, trigger] + ([needed, needed] if rng.random() < 0.92 else [])
    gives_up = frozenset[str]() if part.situation else _given_up(seed, customer, usual, catalogue)
    rare = 4.0 if rng.random() < 0.15 and not part.situation else 1.0
    cadence = WORKING_DAYS_BETWEEN_ORDERS * rare * rng.lognormvariate(0, 0.45) / customer.weight**0.5
    return Habit(
        cadence=part.cadence or min(160.0, max(1.6, cadence)),
        regularity=part.regularity or rng.uniform(*SHAPES),
        lines=part.lines or rng.uniform(1.6, 3.2),
        size=customer.weight**0.5 * rng.lognormvariate(0, 0.25) * part.size,
        loyalty=1.0 if part.buys_staples_only else rng.uniform(0.72, 0.95),
        likes_cartons=rng.random() < 0.5,
        repertoire=part.staples if part.buys_staples_only else (*usual, *part.staples * 2),
        tastes=tastes,
        forgets=frozenset(key for key in weights if rng.random() < 0.2),
        leaves_after=_leaves_after(customer, part, rng),
        gives_up=gives_up,
        gives_up_after=Random(f"{seed}:gives up on:{customer.id}").randint(*GIVES_UP_AFTER),
        closes_on=rng.randint(1, 365) if rng.random() < CLOSING_SHARE and not part.situation else None,
        closed_days=rng.randint(*CLOSED_DAYS),
    )


def _given_up(seed: int, customer: Customer, usual: list[Product], catalogue: Catalogue) -> frozenset[str]:
    """The families of which a customer buys nothing any more from some day on: what it took most often, or none."""
    rng = Random(f"{seed}:gives up:{customer.id}")
    if rng.random() >= GIVES_UP_SHARE:
        return frozenset()
    families = Counter(each.family.key for each in usual if not each.family.season)
    first = families.most_common(1)[0][0] if families else ""
    if rng.random() >= WHOLE_CATEGORY_SHARE:
        return frozenset({first})
    category = next((each.category for each in usual if each.family.key == first), "")
    return frozenset(key for key, goods in catalogue.by_family.items() if goods[0].category == category)


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
    at = line.distance_of(part.starts or customer.joined) + rng.random() * habit.cadence
    ends = part.stops or _end_of(habit, line)
    while at < line.length:
        day = line.day_at(at)
        if day >= ends:
            return
        if reopens := _reopens(day, habit, part):
            if reopens > line.days[-1]:
                return
            at = line.distance_of(reopens) + rng.random() * min(habit.cadence, DAYS_UNTIL_BACK)
            continue
        given_up = habit.gives_up if (day - line.days[0]).days >= habit.gives_up_after else frozenset[str]()
        chosen = _choose(day, habit, replace(part, refuses=part.refuses | given_up), known, catalogue, rng)
        chosen |= _staple(next(turns), day, part, rng)
        for product in chosen.values():
            if product.sku not in usual:
                usual[product.sku] = usual_quantity(seed, customer, habit, product)
        shrunk = part.shrinks_to if part.since and day >= part.since else 1.0
        items = tuple((p, max(1, round(usual[p.sku] * rng.choice(SWING) * shrunk))) for p in chosen.values())
        if items and (not part.months or day.month in part.months):
            yield Basket(day, items)
        at += rng.gammavariate(habit.regularity, habit.cadence / habit.regularity)


def planned(part: Part) -> Iterator[Basket]:
    """What a part has its customer buy on days of its own; several products of one day are one basket."""
    by_day: dict[date, dict[str, tuple[Product, int]]] = {}
    for each in part.purchases:
        by_day.setdefault(trading_day(each.day), {})[each.product.sku] = (each.product, each.quantity)
    for day, items in by_day.items():
        yield Basket(day, tuple(items.values()))


def _reopens(day: date, habit: Habit, part: Part) -> date | None:
    """The first day after the closure this day lies in; None when the customer is open."""
    for first, end in part.closed:
        if first <= day < end:
            return end
    if habit.closes_on is None:
        return None
    since = (day.timetuple().tm_yday - habit.closes_on) % 365
    return day + timedelta(days=habit.closed_days - since) if since < habit.closed_days else None


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
        product = _switched(product, day, part)
        chosen[product.sku] = product
        if is_new and rng.random() < 0.5:
            known.append(product)
        for needed in catalogue.complements[product.sku]:
            if (
                rng.random() < 0.25
                and needed.family.key not in habit.forgets
                and _wants(needed, day, part, rng)
            ):
                wanted_too = _switched(needed, day, part)
                chosen[wanted_too.sku] = wanted_too
    return chosen


def _staple(turn: int, day: date, part: Part, rng: Random) -> dict[str, Product]:
    """The staple whose turn it is: what a part is about must not be left to luck."""
    if not part.staples or rng.random() > part.staple_share:
        return {}
    staple = _switched(part.staples[turn % len(part.staples)], day, part)
    is_in_season = not staple.family.season or rng.random() < appetite(staple.family.season, day)
    return {staple.sku: staple} if is_in_season and _would_buy(staple, day, part) else {}


def _switched(product: Product, day: date, part: Part) -> Product:
    """What is bought in its place since the part switched."""
    if part.since is None or day < part.since:
        return product
    return next((new for old, new in part.switches if old.sku == product.sku), product)


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
    return product.is_sold_on(day) and product.family.key not in part.refuses and not has_dropped


def _wants(product: Product, day: date, part: Part, rng: Random) -> bool:
    return _would_buy(product, day, part) and rng.random() < appetite(product.family.season, day)
