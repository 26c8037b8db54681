"""The sample company written to files, in the columns `tipoff import` documents and the orders `/v1/orders` takes."""

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from deploy.sample import agreements, ledger
from deploy.sample.company import Company, found_company
from deploy.sample.history import aftermath, drafts, write_up
from deploy.sample.last_day import last_day
from deploy.sample.order_rows import ORDER_COLUMNS, as_object, as_rows
from deploy.sample.orders import SampleOrder
from deploy.sample.price_situations import FLOOR_MARGIN
from deploy.sample.stakes import cases
from deploy.sample.truth import as_json, truths

CUSTOMER_COLUMNS = (
    "id,name,status,internal,parent_id,segment,region,territory_id,country,city,channel,phone,email,currency"
)
PRODUCT_COLUMNS = "id,name,category,status,stock,list_price,floor_margin,currency,units_per_pack,substitutes"


@dataclass(frozen=True, slots=True)
class SampleFiles:
    """Where everything was written. Load the entities in this order, then the orders, then send the last day."""

    exchange_rates: Path
    products: Path
    costs: Path
    price_breaks: Path
    price_agreements: Path
    reps: Path
    territories: Path
    customers: Path
    assignments: Path
    targets: Path
    contacts: Path
    holds: Path
    orders: Path
    last_day: Path
    truth: Path
    first_date: date
    last_date: date


def generate(out: Path, today: date, seed: int = 7) -> SampleFiles:
    """Write the company of this seed, with 24 months of orders that end the day before `today`."""
    out.mkdir(parents=True, exist_ok=True)
    company = found_company(seed, today)
    wanted = drafts(company)
    before = [draft for draft in wanted if draft[0].date() < company.last_day]
    history = aftermath(company, write_up(company, before))
    of_the_day = [draft for draft in wanted if draft[0].date() == company.last_day]
    reports, odd = last_day(company, of_the_day, 100001 + len(before))
    last_orders = {each.customer.id: each for each in reports if each.customer}
    planted = cases(company, history, last_orders)
    files = SampleFiles(
        **{name: out / file for name, file in FILES.items()},
        first_date=company.first_day,
        last_date=company.last_day,
    )
    _write_entities(files, company, history)
    order_of = {customer_id: each.id for customer_id, each in last_orders.items()}
    _table(files.orders, ORDER_COLUMNS, (row for order in history for row in as_rows(order)))
    files.last_day.write_text("".join(json.dumps(as_object(each)) + "\n" for each in reports), "utf-8")
    files.truth.write_text(as_json(truths(planted, odd, order_of, company.last_day)), "utf-8")
    return files


FILES = {
    "exchange_rates": "exchange-rates.csv",
    "products": "products.csv",
    "costs": "costs.csv",
    "price_breaks": "price-breaks.csv",
    "price_agreements": "price-agreements.csv",
    "reps": "reps.csv",
    "territories": "territories.csv",
    "customers": "customers.csv",
    "assignments": "assignments.csv",
    "targets": "targets.csv",
    "contacts": "contacts.csv",
    "holds": "holds.csv",
    "orders": "orders.csv",
    "last_day": "last_day.ndjson",
    "truth": "truth.json",
}


def _write_entities(files: SampleFiles, company: Company, history: list[SampleOrder]) -> None:
    _table(files.exchange_rates, "currency,valid_on,rate", ledger.exchange_rates(company))
    _table(files.products, PRODUCT_COLUMNS, _products(company))
    _table(files.costs, "product_id,valid_from,cost,currency", _costs(company))
    _table(
        files.price_breaks, "product_id,min_quantity,unit_price,currency,valid_from", _price_breaks(company)
    )
    _table(files.reps, "id,name,email,phone,time_zone,manager_id,default_owner", _reps(company))
    _table(files.territories, "id,name,region,rep_id,valid_from", ledger.territories(company))
    _table(files.customers, CUSTOMER_COLUMNS, _customers(company))
    _table(files.assignments, "customer_id,rep_id,valid_from", ledger.assignments(company))
    _table(files.price_agreements, agreements.COLUMNS, agreements.price_agreements(company))
    _table(files.contacts, "id,customer_id,at,channel,by,result", ledger.contacts(company))
    _table(files.holds, "customer_id,kind,valid_from,valid_to,note", ledger.holds(company))
    _table(files.targets, "rep_id,period_start,period_end,amount,currency", ledger.targets(company, history))


def _table(path: Path, header: str, rows: Iterable[Iterable[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header.split(","))
        writer.writerows(rows)


def _products(company: Company) -> Iterator[ledger.Row]:
    for each in company.catalogue.products:
        yield (
            each.sku, each.name, each.category, "active" if each.is_active else "discontinued", str(each.stock),
            str(each.prices[-1].amount), str(FLOOR_MARGIN), "EUR", str(each.carton),
            ";".join(other.sku for other in company.catalogue.substitutes[each.sku]),
        )  # fmt: skip


def _costs(company: Company) -> Iterator[ledger.Row]:
    for each in company.catalogue.products:
        for step in each.costs:
            yield each.sku, step.since.isoformat(), str(step.amount), "EUR"


def _price_breaks(company: Company) -> Iterator[ledger.Row]:
    for each in company.catalogue.products:
        for step in each.prices:
            for least, _ in each.breaks:
                price = each.break_price_on(least, step.since)
                yield each.sku, str(least), str(price), "EUR", step.since.isoformat()


def _reps(company: Company) -> Iterator[ledger.Row]:
    director = company.reps[0]
    for each in company.reps:
        manager = "" if each.is_director else director.id
        yield (
            each.id,
            each.name,
            each.email,
            each.phone,
            each.time_zone,
            manager,
            str(each.is_director).lower(),
        )


def _customers(company: Company) -> Iterator[ledger.Row]:
    for each in company.customers:
        yield (
            each.id, each.name, each.status, str(each.is_internal).lower(), each.parent_id or "", each.trade,
            each.region.name, "" if each.is_unassigned else each.region.id, each.region.country, each.city,
            each.channel, each.phone, each.email, each.region.currency,
        )  # fmt: skip
