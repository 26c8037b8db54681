"""Who plays which part: the situations planted in the sample company, given to customers who are otherwise ordinary."""

from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from random import Random

from deploy.sample import (
    basket_situations,
    half_situations,
    last_day_situations,
    margin_situations,
    price_situations,
    quiet_situations,
    seasonal_situations,
    stopped_situations,
)
from deploy.sample.catalogue import Catalogue
from deploy.sample.parts import ANY_TRADE, Bill, Part, Scene
from deploy.sample.people import Customer

# Played by euro accounts that pay the list price.
STRICT_BILL: Bill = (
    (margin_situations.cost_not_passed_on, 5, ("Facility manager",)),
    (seasonal_situations.november_buyer, 8, ("Facility manager", "Landscaper")),
    (stopped_situations.dropped_category, 5, tuple(stopped_situations.SIDELINES)),
    *last_day_situations.BILL,
    (margin_situations.price_erosion, 6, ANY_TRADE),
    (quiet_situations.gone_quiet, 10, ANY_TRADE),
    (stopped_situations.dropped_item, 5, ANY_TRADE),
    (seasonal_situations.season_ahead, 4, ANY_TRADE),
    (seasonal_situations.slow_but_regular, 4, ("Electrician", "Facility manager", "Workshop")),
    # Of its size, currency and channel there must be others to hold its prices against.
    (margin_situations.odd_discount, 4, ANY_TRADE),
)
# Played by any ordinary account, some of them in pounds.
BILL: Bill = (
    *margin_situations.BILL,
    *stopped_situations.BILL,
    *price_situations.BILL,
    *basket_situations.BILL,
    *quiet_situations.BILL,
    *half_situations.BILL,
)
HIGHEST_TIER = Decimal("0.03")


@dataclass(frozen=True, slots=True)
class Cast:
    """The part of each customer who plays one, and the head office of each who became a branch for it."""

    parts: dict[str, Part]
    head_of: dict[str, str]

    def known_as(self, customer: Customer) -> Customer:
        """The customer, under its head office and from its first day on when it is such a branch."""
        if customer.id not in self.head_of:
            return customer
        joined = self.parts[customer.id].starts or customer.joined
        return replace(customer, parent_id=self.head_of[customer.id], joined=joined)


def cast(seed: int, customers: tuple[Customer, ...], catalogue: Catalogue, last_day: date) -> Cast:
    """Give every situation its customers. Who plays what depends on the seed alone, not on the date."""
    free = [each for each in customers if _is_ordinary(each)]
    Random(f"{seed}:cast").shuffle(free)
    found = Cast({}, {})
    for bill, is_fit in ((STRICT_BILL, _pays_the_euro_list), (BILL, _is_ordinary)):
        for maker, count, trades in bill:
            chosen = [each for each in free if is_fit(each) and (not trades or each.trade in trades)][:count]
            for number, customer in enumerate(chosen):
                scene = Scene(seed, catalogue, customer, last_day, number)
                found.parts[customer.id] = part = maker(scene)
                free.remove(customer)
                if part.branch:
                    branch = next(
                        each for each in free if each.region is customer.region and each not in chosen
                    )
                    free.remove(branch)
                    found.head_of[branch.id] = customer.id
                    found.parts[branch.id] = quiet_situations.branch_of(part)
    return found


def _is_ordinary(customer: Customer) -> bool:
    """Mid-sized, with hardly a discount, there since before the history began."""
    return (
        customer.status == "active"
        and not (customer.is_internal or customer.is_test or customer.is_unassigned or customer.parent_id)
        and customer.tier <= HIGHEST_TIER
        and customer.is_old
        and 0.5 < customer.weight < 4
    )


def _pays_the_euro_list(customer: Customer) -> bool:
    return customer.region.currency == "EUR" and customer.tier == 0 and 0.6 < customer.weight < 3
