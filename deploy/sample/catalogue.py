"""The sample company's products: prices and costs over time, quantity breaks, cartons, substitutes, complements."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from random import Random

from deploy.sample.families import FAMILIES, ONE_PRICE, Family

CENT = Decimal("0.01")
# Suppliers and the company both move their prices on the first of February.
YEARLY_RISE = Decimal("1.03")
GRADES = (("Trade", Decimal(1), 1.0), ("Pro", Decimal("1.28"), 0.45))
# What each size costs more than the one before, as a share of the smallest.
SPREAD = Decimal("0.5")
BREAK_FACTORS = (Decimal("0.96"), Decimal("0.93"), Decimal("0.89"))
# Paper became dearer four months ago. The list followed after twenty days, by as much money: the rate fell for all.
# Prices agreed by contract did not follow.
DEARER_FAMILIES = ("papertowel", "toiletroll")
COST_RISE = Decimal("1.15")
LIST_RISE = Decimal("1.115")
COST_RISE_DAYS_AGO = 125
LIST_RISE_DAYS_AGO = 105
# Tool batteries became cheaper three weeks ago, for us and on the list.
CHEAPER_FAMILIES = ("battery",)
PRICE_CUT = Decimal("0.85")
PRICE_CUT_DAYS_AGO = 21
# Goods that are sold no more: the third size of these families, for this long; a few others at various times.
ENDED_FAMILIES = ("breaker", "waste", "nail", "foam", "binbag", "mask")
ENDED_DAYS_AGO = 85


@dataclass(frozen=True, slots=True)
class Step:
    """A price or cost and the day from which it is valid."""

    since: date
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Product:
    """One article. Prices, costs and break quantities are per base unit, in euro."""

    sku: str
    family: Family
    grade: str
    size: int
    name: str
    prices: tuple[Step, ...]
    costs: tuple[Step, ...]
    breaks: tuple[tuple[int, Decimal], ...]
    carton: int
    popularity: float
    stock: int
    ended: date | None

    @property
    def is_active(self) -> bool:
        """Whether it is sold at the end of the history."""
        return self.ended is None

    def is_sold_on(self, day: date) -> bool:
        """Whether it could be bought on this day."""
        return self.ended is None or day < self.ended

    @property
    def category(self) -> str:
        """The category of its family."""
        return self.family.category

    def price_on(self, day: date) -> Decimal:
        """The list price."""
        return _valid(self.prices, day)

    def cost_on(self, day: date) -> Decimal:
        """What one unit costs the company."""
        return _valid(self.costs, day)

    def break_price_on(self, quantity: int, day: date) -> Decimal:
        """The list price for this many base units."""
        listed = self.price_on(day)
        factor = next((factor for least, factor in reversed(self.breaks) if quantity >= least), Decimal(1))
        return (listed * factor).quantize(CENT, ROUND_HALF_UP)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All products, with those that are used together and those that replace each other."""

    products: tuple[Product, ...]
    complements: dict[str, tuple[Product, ...]]
    substitutes: dict[str, tuple[Product, ...]]
    by_family: dict[str, tuple[Product, ...]]


def _valid(steps: tuple[Step, ...], day: date) -> Decimal:
    return next((step.amount for step in reversed(steps) if step.since <= day), steps[0].amount)


def shelf_price(amount: Decimal) -> Decimal:
    """Round to a price one finds on a price list: 3.95, 12.45, 129.95."""
    grain = Decimal("0.5") if amount < 20 else Decimal(1)
    return max(
        Decimal("0.45"), (amount / grain).quantize(Decimal(1), ROUND_HALF_UP) * grain - Decimal("0.05")
    )


def _steps(
    base: Decimal, rises: list[tuple[date, Decimal]], first_day: date, *, is_price: bool
) -> tuple[Step, ...]:
    """The amount from before the history on, raised on each of these days."""
    steps = [Step(date(first_day.year - 1, 1, 1), base)]
    raised = base
    for since, factor in sorted(rises):
        raised *= factor
        steps.append(Step(since, shelf_price(raised) if is_price else raised.quantize(CENT, ROUND_HALF_UP)))
    return tuple(steps)


def _rises(family: Family, window: tuple[date, date], *, is_price: bool) -> list[tuple[date, Decimal]]:
    """Every February, the rise of its own that paper saw, and the cut of batteries."""
    first_day, last_day = window
    februaries = (date(year, 2, 1) for year in range(first_day.year, last_day.year + 1))
    rises = [(day, YEARLY_RISE) for day in februaries if first_day < day <= last_day]
    if family.key in DEARER_FAMILIES:
        ago, factor = (LIST_RISE_DAYS_AGO, LIST_RISE) if is_price else (COST_RISE_DAYS_AGO, COST_RISE)
        rises.append((last_day - timedelta(days=ago), factor))
    if family.key in CHEAPER_FAMILIES:
        rises.append((last_day - timedelta(days=PRICE_CUT_DAYS_AGO), PRICE_CUT))
    return rises


def build_catalogue(seed: int, first_day: date, last_day: date) -> Catalogue:
    """Every family in every size and two grades; the seed decides popularity, margins and stock."""
    products: list[Product] = []
    for number, family in enumerate(FAMILIES):
        rng = Random(f"{seed}:family:{family.key}")
        for size in range(len(family.sizes)):
            for grade in range(len(GRADES)):
                sku = f"{family.category[:2].upper()}-{1000 + number * 10 + size}{'TP'[grade]}"
                products.append(_product(family, sku, size, grade, rng, (first_day, last_day)))
    by_family = {family.key: tuple(each for each in products if each.family is family) for family in FAMILIES}
    return Catalogue(
        tuple(products),
        {each.sku: tuple(_complements(each, by_family)) for each in products},
        {each.sku: tuple(_substitutes(each, by_family)) for each in products},
        by_family,
    )


def _product(
    family: Family, sku: str, size: int, grade: int, rng: Random, window: tuple[date, date]
) -> Product:
    title, dearer, liked = GRADES[grade]
    growth = Decimal(1) + (Decimal(0) if family.key in ONE_PRICE else SPREAD * size)
    base_price = shelf_price(Decimal(str(family.price)) * growth * dearer)
    margin = Decimal(str(round(family.margin + rng.uniform(-0.04, 0.04) + 0.03 * grade, 3)))
    base_cost = (base_price * (1 - margin)).quantize(CENT, ROUND_HALF_UP)
    middle = (len(family.sizes) - 1) / 2
    return Product(
        sku=sku,
        family=family,
        grade=title,
        size=size,
        name=f"{family.title} {family.sizes[size]}{' Pro' if grade else ''}",
        prices=_steps(base_price, _rises(family, window, is_price=True), window[0], is_price=True),
        costs=_steps(base_cost, _rises(family, window, is_price=False), window[0], is_price=False),
        breaks=_breaks(family, rng),
        carton=family.carton,
        popularity=liked * rng.lognormvariate(0, 0.7) / (1 + 0.35 * abs(size - middle)),
        stock=_stock(rng, is_everyday=size in (0, 1) and grade == 0),
        ended=_ended(family, sku, size, grade, window[1], is_rare=rng.random() < 0.02),
    )


def _ended(family: Family, sku: str, size: int, grade: int, last_day: date, *, is_rare: bool) -> date | None:
    """The day from which it is sold no more. The everyday sizes stay."""
    if family.key in ENDED_FAMILIES and (size, grade) == (2, 0):
        return last_day - timedelta(days=ENDED_DAYS_AGO)
    if not is_rare or (size < 2 and grade == 0):
        return None
    return last_day - timedelta(days=Random(f"ended:{sku}").randint(120, 600))


def _stock(rng: Random, *, is_everyday: bool) -> int:
    """What lies on the shelf. The everyday sizes never run out."""
    if is_everyday or rng.random() > 0.06:
        return rng.randint(300, 3000)
    return rng.choice((0, 0, 4, 12))


def _breaks(family: Family, rng: Random) -> tuple[tuple[int, Decimal], ...]:
    """Three in five products are cheaper in quantity. The first step is two to three usual orders away."""
    if rng.random() > 0.6 or family.usual_quantity < 3:
        return ()
    first = max(5, round(family.usual_quantity * rng.choice((2, 2.5, 3)) / 5) * 5)
    return tuple(
        (first * times, factor)
        for times, factor in zip((1, 2, 5), BREAK_FACTORS[: rng.choice((1, 2, 2, 3))], strict=False)
    )


def _complements(product: Product, by_family: dict[str, tuple[Product, ...]]) -> Iterable[Product]:
    """For each family needed for the same job: the size that matches, in the same grade."""
    for key in product.family.goes_with:
        theirs = by_family[key]
        last = len(theirs[0].family.sizes) - 1
        mine = max(1, len(product.family.sizes) - 1)
        size = round(product.size * last / mine)
        yield next(each for each in theirs if each.size == size and each.grade == product.grade)


def _substitutes(product: Product, by_family: dict[str, tuple[Product, ...]]) -> Iterable[Product]:
    """The same size in the other grade."""
    return (
        each
        for each in by_family[product.family.key]
        if each.size == product.size and each.grade != product.grade
    )
