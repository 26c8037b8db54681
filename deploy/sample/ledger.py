"""The tables beside the orders: exchange rates, rep targets, territories, assignments, contacts and holds."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from random import Random

from deploy.sample.company import Company
from deploy.sample.orders import SampleOrder
from deploy.sample.parts import BYSTANDER
from deploy.sample.people import Customer
from deploy.sample.pricing import LIST_RATES
from deploy.sample.reps import DIRECTOR, REGIONS

Row = tuple[str, ...]


def exchange_rates(company: Company) -> Iterator[Row]:
    """One pound in euro, weekly, wandering a little around the rate the price list was set by."""
    rng = Random(f"{company.seed}:rates")
    centre = 1 / float(LIST_RATES["GBP"])
    rate = centre
    day = company.first_day - timedelta(days=7)
    while day <= company.last_day:
        yield "GBP", day.isoformat(), f"{rate:.4f}"
        rate += 0.1 * (centre - rate) + rng.gauss(0, 0.004)
        day += timedelta(days=7)


def territories(company: Company) -> Iterator[Row]:
    """Each region belongs to one rep; one region changed hands a year ago."""
    since = company.first_day.replace(day=1).isoformat()
    for number, region in enumerate(REGIONS, start=1):
        if number == 9:
            yield region.id, region.name, region.country, "R10", since
            yield region.id, region.name, region.country, "R09", _month(company.last_day, -12).isoformat()
        else:
            yield region.id, region.name, region.country, f"R{number:02d}", since


def assignments(company: Company) -> Iterator[Row]:
    """The largest accounts belong to somebody by name: the director, or a neighbour's rep."""
    rng = Random(f"{company.seed}:assignments")
    since = company.first_day.isoformat()
    largest = sorted(company.customers, key=lambda each: -each.weight)[:12]
    for at, customer in enumerate(largest):
        if at < 3:
            yield customer.id, DIRECTOR.id, since
        elif rng.random() < 0.3:
            yield customer.id, f"R{rng.randint(1, len(REGIONS)):02d}", since


def targets(company: Company, orders: list[SampleOrder]) -> Iterator[Row]:
    """Monthly revenue targets: what the same month brought in an average year, a little stretched."""
    sold: dict[tuple[str, int], Decimal] = defaultdict(Decimal)
    for order in orders:
        if order.rep_id and order.status == "confirmed" and not order.is_test:
            sold[order.rep_id, order.ordered_at.month] += order.net / LIST_RATES[order.currency] / 2
    rng = Random(f"{company.seed}:targets")
    stretch = {rep.id: Decimal(str(round(rng.uniform(0.94, 1.12), 2))) for rep in company.reps}
    for ahead in range(-24, 3):
        start = _month(company.last_day, ahead)
        end = _month(start, 1) - timedelta(days=1)
        for rep in company.reps[1:]:
            amount = sold[rep.id, start.month] * stretch[rep.id] / 500
            yield rep.id, start.isoformat(), end.isoformat(), f"{round(amount) * 500}.00", "EUR"


def _month(day: date, ahead: int) -> date:
    """The first of the month that many months after this day's."""
    index = day.year * 12 + day.month - 1 + ahead
    return date(index // 12, index % 12 + 1, 1)


def contacts(company: Company) -> Iterator[Row]:
    """What reps wrote down of the last quarter: a call or a mail to every fourth customer."""
    rng = Random(f"{company.seed}:contacts")
    for number, customer in enumerate(_ordinary(company)[::4], start=1):
        day = company.last_day - timedelta(days=rng.randrange(1, 90))
        at = f"{day.isoformat()}T{rng.randrange(8, 17):02}:{rng.randrange(60):02}:00Z"
        channel, result = rng.choice(("phone", "mail")), rng.choice(("reached", "no answer", "offer sent"))
        yield f"K{number:04}", customer.id, at, channel, company.rep_id_of(customer), result


def holds(company: Company) -> Iterator[Row]:
    """A complaint that was settled, two that are open, and an account on credit hold. None plays a part."""
    chosen = Random(f"{company.seed}:holds").sample(_ordinary(company), 4)
    for customer, (kind, since, until, note) in zip(chosen, _HOLDS, strict=True):
        begun = company.last_day - timedelta(days=since)
        settled = "" if until is None else (company.last_day - timedelta(days=until)).isoformat()
        yield customer.id, kind, begun.isoformat(), settled, note


_HOLDS = (
    ("complaint", 140, 131, "A pallet came damaged; sent again"),
    ("complaint", 12, None, "Wrong colour, waits for a credit note"),
    ("complaint", 4, None, "Two cartons short"),
    ("credit_hold", 9, None, "Three invoices overdue"),
)


def _ordinary(company: Company) -> list[Customer]:
    return [
        each
        for each in company.customers
        if company.part_of(each) is BYSTANDER
        and each.status == "active"
        and not (each.is_internal or each.is_test)
    ]
