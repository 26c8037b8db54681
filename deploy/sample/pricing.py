"""What a customer of the sample company pays for a product on a day."""

from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from functools import cache

from deploy.sample.catalogue import CENT, Product
from deploy.sample.parts import Part

# Prices in pounds are set by this rate and kept; only the market rate moves.
LIST_RATES = {"EUR": Decimal(1), "GBP": Decimal("0.86")}
CREEP_A_MONTH = Decimal("0.017")
MOST_CREEP = Decimal("0.10")
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
    if part.prices_frozen and part.since and day > part.since and product in part.staples:
        day = part.since
    listed = listed_price(product, quantity, currency, day)
    single = listed_price(product, 1, currency, day)
    price = min(listed, single * (1 - tier))
    if part.creeps and part.since and day > part.since:
        months = Decimal((day - part.since).days) / 30
        price *= 1 - min(MOST_CREEP, CREEP_A_MONTH * months)
    return price.quantize(CENT, ROUND_HALF_UP)
