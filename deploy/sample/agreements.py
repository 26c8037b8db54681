"""Prices agreed in writing: which account pays what for which product, and for how long."""

from collections.abc import Iterator
from datetime import timedelta

from deploy.sample.company import Company
from deploy.sample.pricing import account_price

COLUMNS = "customer_id,product_id,unit_price,currency,valid_from,valid_to"
# Every agreement runs on for some months.
RUNS_ON = timedelta(days=120)


def price_agreements(company: Company) -> Iterator[tuple[str, ...]]:
    """One row for each product of each agreement."""
    products = {each.sku: each for each in company.catalogue.products}
    for customer in company.customers:
        part = company.part_of(customer)
        since = part.terms.since
        for sku in sorted(part.terms.agreed_on):
            if since is None:
                continue
            currency = customer.region.currency
            price = account_price(products[sku], 1, company.last_day, currency, customer.tier, part)
            until = company.last_day + RUNS_ON
            yield customer.id, sku, str(price), currency, since.isoformat(), until.isoformat()
