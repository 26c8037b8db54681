"""The money behind each planted situation, by plain sums over the orders, and whether it merits a call.

For a decoy it is the money that seems to be at stake to whoever does not look closer: 0 where nothing seems lost.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from math import exp, log
from statistics import median

from deploy.sample.catalogue import Catalogue, Product
from deploy.sample.company import Company
from deploy.sample.orders import SampleOrder
from deploy.sample.parts import BYSTANDER, Part
from deploy.sample.people import Customer
from deploy.sample.price_situations import FLOOR_MARGIN
from deploy.sample.pricing import LIST_RATES, account_price, listed_price

QUARTER = timedelta(days=91)
YEAR = timedelta(days=364)
# A call costs about so many euro: what is gained by it must be worth that.
CALL_FLOOR = 10.0
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Effect:
    """The chance of the good outcome unaided, and by how much acting shifts its logit: where every kind starts."""

    unaided: float
    shift: float
    per: str = "quarter"

    @property
    def gained(self) -> float:
        """What acting adds to the chance."""
        return 1 / (1 + exp(-log(self.unaided / (1 - self.unaided)) - self.shift)) - self.unaided


EFFECTS = {
    "going_quiet": Effect(0.30, 0.46),
    "spend_drop": Effect(0.30, 0.30),
    "stopped_item": Effect(0.30, 0.46),
    "stopped_category": Effect(0.30, 0.46),
    "half_usual": Effect(0.28, 0.46),
    "basket_gap": Effect(0.13, 1.0, "order"),
    "reorder_due": Effect(0.30, 0.6, "order"),
    "below_floor": Effect(0.10, 2.4, "order"),
    "price_error": Effect(0.10, 2.4, "order"),
    "margin_erosion": Effect(0.20, 1.0),
    "discount_outlier": Effect(0.20, 1.0),
    "cost_not_passed_on": Effect(0.20, 1.15),
    "cross_sell": Effect(0.10, 0.42),
    "up_sell": Effect(0.30, 0.6, "order"),
    "seasonal_repurchase": Effect(0.30, 0.6),
}


@dataclass(frozen=True, slots=True)
class Sold:
    """One product line of a sale: base units, and money in euro."""

    day: date
    product: Product
    units: Decimal
    net: Decimal

    @property
    def cost(self) -> Decimal:
        """What it cost the company."""
        return self.units * self.product.cost_on(self.day)

    @property
    def margin(self) -> Decimal:
        """What it earned."""
        return self.net - self.cost


@dataclass(frozen=True, slots=True)
class Case:
    """One customer in its part: what it bought, and its order of the last day where the part is played there."""

    customer: Customer
    part: Part
    catalogue: Catalogue
    last_day: date
    bought: tuple[Sold, ...]
    ordered: tuple[Sold, ...]

    @property
    def since(self) -> date:
        """From when the situation shows."""
        return self.part.since or self.last_day

    @property
    def of_subject(self) -> list[Sold]:
        """What it bought of the product or category the part is about."""
        return [each for each in self.bought if self._is_subject(each)]

    @property
    def last_quarter(self) -> list[Sold]:
        """What it bought in the last quarter."""
        return [each for each in self.bought if each.day >= self.last_day - QUARTER]

    def ordered_of_subject(self) -> list[Sold]:
        """The lines of the last day's order that the part is about."""
        return [each for each in self.ordered if self._is_subject(each)]

    def listed(self, line: Sold) -> Decimal:
        """What a customer with no part would have paid for this line, in euro."""
        return self._in_euro(line, account_price(*self._terms(line), self.customer.tier, BYSTANDER))

    def listed_single(self, line: Sold) -> Decimal:
        """What the line costs at the list price of a single piece, in euro."""
        currency = self.customer.region.currency
        return self._in_euro(line, listed_price(line.product, 1, currency, line.day))

    def _terms(self, line: Sold) -> tuple[Product, int, date, str]:
        return line.product, int(line.units), line.day, self.customer.region.currency

    def _in_euro(self, line: Sold, price: Decimal) -> Decimal:
        return line.units * price / LIST_RATES[self.customer.region.currency]

    def _is_subject(self, line: Sold) -> bool:
        return self.part.subject in (line.product.sku, line.product.category)


def cases(
    company: Company, history: Iterable[SampleOrder], last_orders: dict[str, SampleOrder]
) -> dict[str, Case]:
    """Every customer who plays a part, with its orders."""
    bought: dict[str, list[Sold]] = defaultdict(list)
    for order in history:
        if order.customer and order.kind == "sale" and order.status == "confirmed":
            bought[order.customer.id].extend(_sold(order))
    return {
        each.id: Case(
            each,
            company.parts[each.id],
            company.catalogue,
            company.last_day,
            tuple(bought[each.id]),
            tuple(_sold(last_orders[each.id])) if each.id in last_orders else (),
        )
        for each in company.customers
        if each.id in company.parts
    }


def stake(case: Case) -> Decimal | None:
    """Euro at stake a quarter, or on the order; None where nobody defined it."""
    measure = STAKES.get(case.part.kind)
    return None if measure is None else max(ZERO, measure(case))


def gain(kind: str, at_stake: Decimal) -> float:
    """What acting is expected to bring."""
    return EFFECTS[kind].gained * float(at_stake)


def _sold(order: SampleOrder) -> Iterable[Sold]:
    for line in order.lines:
        if line.product:
            units = Decimal(line.quantity * line.pack)
            yield Sold(order.ordered_at.date(), line.product, units, line.net / LIST_RATES[order.currency])


def _margin(lines: Iterable[Sold], first: date, end: date) -> Decimal:
    return sum((each.margin for each in lines if first <= each.day < end), ZERO)


def _quarter_before(lines: Iterable[Sold], end: date) -> Decimal:
    """A quarter of the margin of the year before that day."""
    return _margin(lines, end - YEAR, end) / 4


def _all_its_trade(case: Case) -> Decimal:
    return _quarter_before(case.bought, case.since)


def _all_of_the_subject(case: Case) -> Decimal:
    return _quarter_before(case.of_subject, case.since)


def _less_than_last_year(case: Case) -> Decimal:
    """By how much the last quarter stays behind the average one of the year before it."""
    began = case.last_day - QUARTER
    return _quarter_before(case.bought, began) - _margin(case.bought, began, case.last_day)


def _usual_line(case: Case) -> Decimal:
    return median(each.margin for each in case.of_subject)


def _half_missing(case: Case) -> Decimal:
    """What the last purchase stays behind the usual one, as often as it is bought in a quarter."""
    *before, last = sorted(case.of_subject, key=lambda each: each.day)
    usual = median(each.margin for each in before)
    often = QUARTER * len(before) / (before[-1].day - before[0].day)
    return (usual - last.margin) * Decimal(often)


def _under_the_floor(case: Case) -> Decimal:
    return sum((each.cost / (1 - FLOOR_MARGIN) - each.net for each in case.ordered_of_subject()), ZERO)


def _under_its_own_price(case: Case) -> Decimal:
    usual = median(each.net / each.units for each in case.of_subject)
    return sum((each.units * usual - each.net for each in case.ordered_of_subject()), ZERO)


def _eroded(case: Case) -> Decimal:
    """Discount beyond the account's own in the last quarter; without any, what the fallen margin rate costs."""
    if leak := sum((case.listed(each) - each.net for each in case.last_quarter), ZERO):
        return leak
    before = [each for each in case.bought if case.since - YEAR <= each.day < case.since]
    return (_rate(before) - _rate(case.last_quarter)) * sum((each.net for each in case.last_quarter), ZERO)


def _rate(lines: list[Sold]) -> Decimal:
    return sum((each.margin for each in lines), ZERO) / sum((each.net for each in lines), ZERO)


def _odd_discount(case: Case) -> Decimal:
    """Discount beyond the account's own in the last quarter; without any, that of its quantities."""
    if leak := sum((case.listed(each) - each.net for each in case.last_quarter), ZERO):
        return leak
    return sum((case.listed_single(each) - each.net for each in case.last_quarter), ZERO)


def _cost_kept(case: Case) -> Decimal:
    """What the cost rose by and the price did not, over the last quarter."""
    total = ZERO
    for each in case.last_quarter:
        if each.product not in case.part.staples:
            continue
        dearer = each.product.cost_on(case.last_day) - each.product.cost_on(case.since - timedelta(days=1))
        before = [line for line in case.bought if line.product is each.product and line.day < case.since]
        paid_before = before[-1].net / before[-1].units
        total += each.units * dearer - (each.net - each.units * paid_before)
    return total


def _missing_complement(case: Case) -> Decimal:
    """Its usual quantity with each order of the trigger in the last quarter."""
    needed = next(each for each in case.catalogue.products if each.sku == case.part.subject)
    unit = needed.price_on(case.last_day) - needed.cost_on(case.last_day)
    trigger = case.part.staples[0]
    orders = len({each.day for each in case.last_quarter if each.product is trigger})
    return orders * needed.family.usual_quantity * unit


def _to_the_break(case: Case) -> Decimal:
    """What we would earn more on the order at the next break."""
    total = ZERO
    for each in case.ordered_of_subject():
        at = next(least for least, _ in each.product.breaks if least > each.units)
        lifted = at * (each.product.break_price_on(at, each.day) - each.product.cost_on(each.day))
        total += lifted - each.margin
    return total


def _last_season(case: Case) -> Decimal:
    began = case.last_day - YEAR
    return _margin(case.bought, began, began + YEAR)


STAKES: dict[str, Callable[[Case], Decimal]] = {
    "going_quiet": _all_its_trade,
    "spend_drop": _less_than_last_year,
    "stopped_item": _all_of_the_subject,
    "stopped_category": _all_of_the_subject,
    "half_usual": _half_missing,
    "basket_gap": _usual_line,
    "reorder_due": _usual_line,
    "below_floor": _under_the_floor,
    "price_error": _under_its_own_price,
    "margin_erosion": _eroded,
    "discount_outlier": _odd_discount,
    "cost_not_passed_on": _cost_kept,
    "cross_sell": _missing_complement,
    "up_sell": _to_the_break,
    "seasonal_repurchase": _last_season,
}
