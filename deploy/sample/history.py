"""All orders of the sample company: baskets priced and numbered in order of time, then what becomes of some of them."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from itertools import chain
from random import Random

from deploy.sample.catalogue import CENT
from deploy.sample.company import Company
from deploy.sample.habits import baskets, habit_of, planned
from deploy.sample.orders import SampleLine, SampleOrder, Wish, moment, place, place_as_guest
from deploy.sample.people import Customer
from deploy.sample.seasons import is_holiday, timeline
from deploy.sample.trades import WANTS, affinities

GUEST_ORDERS_A_DAY = 1.3
# How many orders come with free goods, and for how many bought one is free.
FREE_GOODS_SHARE = 0.012
BOUGHT_FOR_ONE_FREE = 10
Draft = tuple[datetime, str, Customer | None, tuple[Wish, ...]]


def drafts(company: Company) -> list[Draft]:
    """Who wants what and when, sorted by time."""
    found: list[Draft] = []
    liked = {trade: affinities(company.seed, trade, company.catalogue) for trade in WANTS}
    lines = {trade: timeline(trade, company.first_day, company.last_day) for trade in WANTS}
    for customer in company.customers:
        part = company.part_of(customer)
        habit = habit_of(company.seed, customer, part, company.catalogue, liked[customer.trade])
        rng = Random(f"{company.seed}:moments:{customer.id}")
        bought = baskets(company.seed, customer, habit, part, company.catalogue, lines[customer.trade])
        for basket in chain(bought, planned(part)):
            wishes = tuple(Wish(product, quantity) for product, quantity in basket.items)
            found.append((moment(customer, basket.day, rng), customer.id, customer, wishes))
    found.extend(_guests(company))
    return sorted(found, key=lambda draft: (draft[0], draft[1]))


def _guests(company: Company) -> Iterator[Draft]:
    rng = Random(f"{company.seed}:guests")
    days = (company.last_day - company.first_day).days
    home = company.customers[0]
    for ahead in range(days + 1):
        day = company.first_day + timedelta(days=ahead)
        if day.weekday() == 6 or is_holiday(day) or rng.random() > GUEST_ORDERS_A_DAY / 2:
            continue
        for number in range(rng.randint(1, 3)):
            products = rng.sample(
                [p for p in company.catalogue.products if p.is_sold_on(day)], rng.randint(1, 4)
            )
            yield (
                moment(home, day, rng),
                f"guest{number}",
                None,
                tuple(Wish(p, rng.randint(1, 3)) for p in products),
            )


def write_up(company: Company, wanted: list[Draft]) -> list[SampleOrder]:
    """Number and price the drafts."""
    rng = Random(f"{company.seed}:orders")
    orders = []
    for number, (at, _, customer, wishes) in enumerate(wanted, start=100001):
        order_id = f"SO-{number}"
        if customer is None:
            orders.append(place_as_guest(order_id, at, wishes))
            continue
        order = place(order_id, customer, company.part_of(customer), at, wishes, rng)
        if rng.random() < FREE_GOODS_SHARE and not company.part_of(customer).situation:
            order = _with_free_goods(order)
        orders.append(replace(order, rep_id=company.rep_id_of(customer), is_test=customer.is_test))
    return orders


def _with_free_goods(order: SampleOrder) -> SampleOrder:
    """One free for every ten bought, as a line of its own without a price."""
    free = tuple(
        replace(line, id=f"{line.id}F", quantity=line.quantity // BOUGHT_FOR_ONE_FREE, unit_price=Decimal(0),
                discount=Decimal(0))
        for line in order.lines
        if line.product and line.quantity >= BOUGHT_FOR_ONE_FREE
    )  # fmt: skip
    return replace(order, lines=(*order.lines, *free))


def aftermath(company: Company, orders: list[SampleOrder]) -> list[SampleOrder]:
    """The orders with their later versions, cancellations, returns, credits and samples among them."""
    rng = Random(f"{company.seed}:aftermath")
    result: list[SampleOrder] = []
    for order in orders:
        result.append(order)
        fate = rng.random()
        if order.customer is None or company.part_of(order.customer).situation:
            continue
        if fate < 0.015:
            result.append(edited(order, rng))
        elif fate < 0.024:
            result[-1] = replace(order, status="cancelled")
        elif fate < 0.047:
            result.extend(_returned(order, rng, company.last_day))
        elif fate < 0.05:
            result.append(_credit(order))
        elif fate < 0.053:
            result[-1] = as_sample(order)
    return sorted(result, key=lambda each: (each.ordered_at, each.id, each.version))


def edited(order: SampleOrder, rng: Random) -> SampleOrder:
    """The next version: the first line's quantity changes, and the last line goes when there are three or more."""
    first = order.lines[0]
    quantity = first.quantity + rng.choice((1, 2, 3))
    discount = (first.discount / first.quantity * quantity).quantize(CENT, ROUND_HALF_UP)
    kept = order.lines[1:-1] if len(order.lines) > 2 else order.lines[1:]
    changed = replace(first, quantity=quantity, discount=discount)
    return replace(order, version=order.version + 1, lines=(changed, *kept))


def returned(order: SampleOrder, at: datetime, rng: Random, *, is_linked: bool) -> SampleOrder:
    """Some of the first line comes back. Unlinked, it does not say of which sale."""
    line = order.lines[0]
    quantity = -max(1, line.quantity // rng.choice((1, 2)))
    discount = (line.discount / line.quantity * quantity).quantize(CENT, ROUND_HALF_UP)
    reason = rng.choice(("damaged", "wrong item", "ordered too many", "late"))
    back = replace(
        line,
        id="1",
        quantity=quantity,
        discount=discount,
        reason=reason,
        returns=(order.id, line.id) if is_linked else None,
    )
    return replace(
        order, id=order.id.replace("SO", "RT"), ordered_at=at, kind="return", lines=(back,), discount=Decimal(0),
        original_order_id=order.id if is_linked else "",
    )  # fmt: skip


def _returned(order: SampleOrder, rng: Random, last_day: date) -> Iterator[SampleOrder]:
    at = order.ordered_at + timedelta(days=rng.randint(2, 25), minutes=rng.randint(-60, 60))
    is_linked = rng.random() < 0.8
    back = returned(order, at, rng, is_linked=is_linked)
    if at.date() < last_day:
        yield back


def _credit(order: SampleOrder) -> SampleOrder:
    """A tenth of the first line is given back as money; the goods stay."""
    first = order.lines[0]
    amount = (first.net / 10).quantize(CENT, ROUND_HALF_UP)
    line = SampleLine("1", "manual", f"Price correction {first.title}", -1, amount)
    return replace(
        order, id=order.id.replace("SO", "CN"), kind="credit", lines=(line,), discount=Decimal(0),
        original_order_id=order.id,
    )  # fmt: skip


def as_sample(order: SampleOrder) -> SampleOrder:
    """The same goods, given away in small quantity."""
    lines = tuple(
        replace(line, quantity=1, pack=1, uom="each", unit_price=Decimal(0), discount=Decimal(0))
        for line in order.lines[:2]
        if line.product
    )
    return replace(order, kind="sample", lines=lines, discount=Decimal(0))
