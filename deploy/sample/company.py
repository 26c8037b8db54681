"""The sample company as one value: its people, its goods, and who plays which part between two days."""

from dataclasses import dataclass
from datetime import date, timedelta

from deploy.sample.catalogue import Catalogue, build_catalogue
from deploy.sample.parts import BYSTANDER, Part
from deploy.sample.people import Customer, build_customers
from deploy.sample.reps import Rep, build_reps
from deploy.sample.seasons import months_before
from deploy.sample.situations import cast

MONTHS = 24


@dataclass(frozen=True, slots=True)
class Company:
    """Everything that is settled before the first order. History runs from `first_day` to `last_day`."""

    seed: int
    first_day: date
    last_day: date
    catalogue: Catalogue
    reps: tuple[Rep, ...]
    customers: tuple[Customer, ...]
    parts: dict[str, Part]

    def part_of(self, customer: Customer) -> Part:
        """The part this customer plays; that of a bystander for nearly all."""
        return self.parts.get(customer.id, BYSTANDER)

    def rep_id_of(self, customer: Customer) -> str:
        """The rep of the customer's region; nobody for an unassigned one."""
        return "" if customer.is_unassigned else f"R{customer.region.id[1:]}"


def found_company(seed: int, today: date) -> Company:
    """The company the seed describes, with 24 months behind it that end the day before `today`."""
    first_day, last_day = months_before(today, MONTHS), today - timedelta(days=1)
    catalogue = build_catalogue(seed, first_day, last_day)
    customers = build_customers(seed, first_day)
    planted = cast(seed, customers, catalogue, last_day)
    customers = tuple(planted.known_as(each) for each in customers)
    return Company(seed, first_day, last_day, catalogue, build_reps(seed), customers, planted.parts)
