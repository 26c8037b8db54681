"""The last day, order by order as it is reported: ordinary business, the planted situations, and the odd ones."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

from deploy.sample.company import Company
from deploy.sample.history import Draft, as_sample, edited, returned
from deploy.sample.orders import SampleOrder, Wish, moment, place, place_as_guest
from deploy.sample.parts import ScriptLine
from deploy.sample.people import OWN_USE, TEST_ACCOUNT, Customer

ORDINARY_ORDERS = 20
GUEST_ORDERS = 2
# An order and what the truth file says of it: the situation and why nobody should be told.
Oddity = tuple[SampleOrder, str, str]


def last_day(
    company: Company, wanted: list[Draft], next_number: int
) -> tuple[list[SampleOrder], list[Oddity]]:
    """Every report of the day in the order they are sent, and those among them that must not speak."""
    rng = Random(f"{company.seed}:last day")
    ordinary = [draft for draft in wanted if draft[2] and not company.part_of(draft[2]).situation]
    ordinary = [draft for draft in ordinary if draft[2] and _is_plain(draft[2])]
    ordinary = rng.sample(ordinary, min(ORDINARY_ORDERS, len(ordinary)))
    guests = [draft for draft in wanted if draft[2] is None] or [_counter_sale(company, rng)]
    chosen = sorted((*ordinary, *guests[:GUEST_ORDERS], *_scripted(company, rng)), key=lambda each: each[:2])
    placed = [_place(company, f"SO-{next_number + at}", draft, rng) for at, draft in enumerate(chosen)]
    plain = {draft[1] for draft in ordinary}
    odd = list(
        _oddities(company, [each for each in placed if each.customer and each.customer.id in plain], rng)
    )
    odd += [(each, "guest", "a guest is nobody's customer") for each in placed if each.customer is None]
    swapped = {each.id for each, _, _ in odd if each.version == 1 and each.id.startswith("SO")}
    reports = [each for each in placed if each.id not in swapped] + [each for each, _, _ in odd]
    reports.sort(key=lambda each: (each.ordered_at, each.id, each.version))
    return _with_repeat(reports, rng), odd


def _is_plain(customer: Customer) -> bool:
    return customer.status == "active" and not (customer.is_internal or customer.is_test)


def _scripted(company: Company, rng: Random) -> Iterator[Draft]:
    for customer in company.customers:
        part = company.part_of(customer)
        if not part.script:
            continue
        at = moment(customer, company.last_day, rng)
        if part.morning_script:
            morning = at.replace(hour=8)
            at = at.replace(hour=14)
            yield morning, customer.id, customer, _wishes(part.morning_script)
        yield at, customer.id, customer, _wishes(part.script)


def _wishes(script: tuple[ScriptLine, ...]) -> tuple[Wish, ...]:
    return tuple(Wish(line.product, line.quantity, line.price_share) for line in script)


def _counter_sale(company: Company, rng: Random) -> Draft:
    home = company.customers[0]
    wishes = tuple(Wish(product, 1) for product in rng.sample(company.catalogue.products, 2))
    return moment(home, company.last_day, rng), "guest", None, wishes


def _place(company: Company, order_id: str, draft: Draft, rng: Random) -> SampleOrder:
    at, _, customer, wishes = draft
    if customer is None:
        return place_as_guest(order_id, at, wishes)
    part = company.part_of(customer)
    order = place(order_id, customer, part, at, wishes, rng)
    lines = tuple(replace(line, reason=part.line_reason) if line.product else line for line in order.lines)
    return replace(order, rep_id=company.rep_id_of(customer), kind=part.order_kind, lines=lines)


def _oddities(company: Company, plain: list[SampleOrder], rng: Random) -> Iterator[Oddity]:
    """Ordinary orders turned into what must never alert: each takes one of the day's plain orders."""
    picked = iter(rng.sample(plain, 7))
    accounts = {each.id: each for each in company.customers}
    blocked = next(each for each in company.customers if each.status == "blocked")
    yield _under(next(picked), blocked), "blocked_customer", "no goods before it has paid"
    yield as_sample(next(picked)), "sample_order", "goods given away are no sale"
    yield _under(next(picked), accounts[TEST_ACCOUNT]), "test_order", "marked as a test"
    yield _under(next(picked), accounts[OWN_USE]), "internal_order", "the company's own branch"
    sold = next(picked)
    back = returned(sold, _later(sold), rng, is_linked=True)
    yield back, "return", "goods that come back"
    cancelled = next(picked)
    withdrawn = replace(cancelled, version=2, status="cancelled")
    yield withdrawn, "cancelled", "confirmed in the morning, cancelled within the hour"
    yield edited(next(picked), rng), "edited", "a second version replaces the first; nothing is said twice"


def _under(order: SampleOrder, account: Customer) -> SampleOrder:
    goods = tuple(line for line in order.lines if line.product)
    return replace(order, customer=account, rep_id="", currency="EUR", lines=goods, is_test=account.is_test)


def _later(order: SampleOrder) -> datetime:
    """An hour on, but still on the same day."""
    latest = order.ordered_at.replace(hour=18, minute=30)
    return min(order.ordered_at + timedelta(hours=1), latest)


def _with_repeat(reports: list[SampleOrder], rng: Random) -> list[SampleOrder]:
    """Send one report twice, and second versions three reports after the first."""
    result = [each for each in reports if each.version == 1]
    for second in (each for each in reports if each.version > 1):
        first = next(at for at, each in enumerate(result) if each.id == second.id)
        result.insert(min(first + 4, len(result)), second)
    again = rng.randrange(len(result) // 2)
    result.insert(again + 3, result[again])
    return result
