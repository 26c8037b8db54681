"""The customers of the sample company: who they are, which trade each follows, and how large each one is."""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from random import Random

from deploy.sample.names import TRADE_WORDS, invented_name, legal_form
from deploy.sample.reps import REGIONS, Region
from deploy.sample.trades import SHARES


@dataclass(frozen=True, slots=True)
class Customer:
    """One account. `weight` is how large it is beside the typical one (1)."""

    id: str
    name: str
    trade: str
    region: Region
    city: str
    weight: float
    tier: Decimal
    channel: str
    phone: str
    joined: date
    is_old: bool
    status: str = "active"
    is_internal: bool = False
    is_test: bool = False
    parent_id: str | None = None
    is_unassigned: bool = False

    @property
    def email(self) -> str:
        """Where the customer is written to."""
        return f"orders@{''.join(c for c in self.name.lower() if c.isalpha())}.example"


OWN_USE = "C0001"
TEST_ACCOUNT = "C0002"


def build_customers(seed: int, first_day: date, count: int = 600) -> tuple[Customer, ...]:
    """The company's own accounts, then `count` customers. Everything but `joined` depends on the seed alone."""
    home = REGIONS[0]
    quiet = {
        "weight": 0.3,
        "tier": Decimal(0),
        "channel": "internal",
        "phone": "",
        "joined": first_day,
        "is_old": True,
    }
    customers = [
        Customer(OWN_USE, "Own use, Dublin branch", "Builder", home, "Dublin", is_internal=True, **quiet),  # type: ignore[arg-type]
        Customer(TEST_ACCOUNT, "Web shop test account", "Builder", home, "Dublin", is_test=True, **quiet),  # type: ignore[arg-type]
    ]
    taken: set[str] = set()
    for number in range(count):
        rng = Random(f"{seed}:customer:{number}")
        customers.append(_customer(rng, f"C{1001 + number}", first_day, taken))
    return tuple(_with_branches(seed, customers))


def _customer(rng: Random, customer_id: str, first_day: date, taken: set[str]) -> Customer:
    trade = rng.choices(list(SHARES), list(SHARES.values()))[0]
    region = rng.choices(REGIONS, [each.share for each in REGIONS])[0]
    weight = rng.lognormvariate(0, 1.0)
    name = next(n for n in iter(lambda: _company_name(rng, trade, region), "") if n not in taken)
    taken.add(name)
    joined_late = rng.random() < 0.2
    return Customer(
        id=customer_id,
        name=name,
        trade=trade,
        region=region,
        city=rng.choice(region.cities),
        weight=weight,
        tier=_tier(rng, weight),
        channel=rng.choices(("web", "phone", "edi"), (0.5, 0.35, 0.15))[0],
        phone=f"{region.dialling} 0{rng.randint(200, 999)}",
        joined=first_day + timedelta(days=rng.randint(20, 520))
        if joined_late
        else first_day - timedelta(days=300),
        is_old=not joined_late,
        status=rng.choices(("active", "blocked", "closed"), (0.97, 0.015, 0.015))[0],
        is_unassigned=rng.random() < 0.02,
    )


def _company_name(rng: Random, trade: str, region: Region) -> str:
    return f"{invented_name(rng)} {rng.choice(TRADE_WORDS[trade])} {rng.choice(legal_form(region.country))}"


def _tier(rng: Random, weight: float) -> Decimal:
    """The account's standing discount. Most pay the list price; size earns a little."""
    if weight > 3:
        return rng.choice((Decimal("0.06"), Decimal("0.08"), Decimal("0.10")))
    return rng.choices((Decimal(0), Decimal("0.03"), Decimal("0.05")), (0.62, 0.26, 0.12))[0]


def _with_branches(seed: int, customers: list[Customer]) -> list[Customer]:
    """Eight groups: two customers each become branches of a third of the same region."""
    rng = Random(f"{seed}:branches")
    result = list(customers)
    for head_at in rng.sample(range(2, len(result)), 8):
        head = result[head_at]
        near = [at for at in range(2, len(result)) if result[at].region is head.region and at != head_at]
        for at in rng.sample(near, 2):
            branch = result[at]
            if branch.parent_id is None and not any(each.parent_id == branch.id for each in result):
                result[at] = replace(branch, parent_id=head.id)
    return result
