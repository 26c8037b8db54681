"""What a customer of the sample company pays for a product on a day."""

from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from functools import cache

from deploy.sample.catalogue import CENT, Product
from deploy.sample.parts import Part, Terms

# Prices in pounds are set by this rate and kept; only the market rate moves.
LIST_RATES = {"EUR": Decimal(1), "GBP": Decimal("0.86")}
# Even a price that nobody watches stops falling somewhere.
MOST_CREEP = Decimal("0.12")
# Whoever buys over the counter without an account pays more than the list.
COUNTER_MARK_UP = Decimal("1.12")


@cache
def listed_price(product: Product, quantity: int, currency: str, day: date) -> Decimal:
    """The list price per base unit for this many, in the order's currency."""
    return (product.break_price_on(quantity, day) * LIST_RATES[currency]).quantize(CENT, ROUND_HALF_UP)


def account_price(
    product: Product, quantity: int, day: date, currency: str, tier: Decimal, part: Part
) -> Decimal:
    """The better of the quantity break and the account's own discount, bent by the part the account plays."""
    terms = part.terms
    is_in_force = terms.since is None or day > terms.since
    if is_in_force and product.sku in terms.agreed_on and terms.since:
        agreed = listed_price(product, 1, currency, terms.since) * (1 - max(tier, terms.discount))
        return min(agreed.quantize(CENT, ROUND_HALF_UP), listed_price(product, quantity, currency, day))
    if is_in_force and product.sku in terms.frozen and terms.since:
        day = terms.since
    price = min(
        listed_price(product, quantity, currency, day), listed_price(product, 1, currency, day) * (1 - tier)
    )
    if is_in_force and (not terms.discounted or product.sku in terms.discounted):
        price *= 1 - terms.discount
    if terms.creeping and terms.since and is_in_force and _creeps(product, terms):
        months = Decimal((day - terms.since).days) / 30
        price *= 1 - min(MOST_CREEP, terms.creeping * months)
    return price.quantize(CENT, ROUND_HALF_UP)


def _creeps(product: Product, terms: Terms) -> bool:
    return not terms.creeping_on or product.family.key in terms.creeping_on
