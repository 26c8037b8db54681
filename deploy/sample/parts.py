"""The part a customer plays in a planted situation, and the entry the truth file makes of it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from random import Random

from deploy.sample.catalogue import Catalogue, Product
from deploy.sample.people import Customer
from deploy.sample.trades import everyday_products


@dataclass(frozen=True, slots=True)
class ScriptLine:
    """One line the customer orders on the last day, at this share of its usual price."""

    product: Product
    quantity: int
    price_share: Decimal = Decimal(1)


@dataclass(frozen=True, slots=True)
class Purchase:
    """Something bought on a day of its own, whatever the habit says."""

    day: date
    product: Product
    quantity: int


@dataclass(frozen=True, slots=True)
class Terms:
    """What an account pays otherwise than the list and its own discount would have it.

    `frozen` names the products that keep the price of the day `since`. `discount` comes off everything, or off the
    products in `discounted`. `creeping` says by how much more each month since `since`, on the families in
    `creeping_on` or on all.
    """

    since: date | None = None
    frozen: frozenset[str] = frozenset()
    discount: Decimal = Decimal(0)
    discounted: frozenset[str] = frozenset()
    creeping: Decimal = Decimal(0)
    creeping_on: frozenset[str] = frozenset()
    is_agreed: bool = False

    @property
    def agreed_on(self) -> frozenset[str]:
        """The products a written agreement names."""
        return self.frozen | self.discounted if self.is_agreed else frozenset()


@dataclass(frozen=True, slots=True)
class Part:
    """What a customer does otherwise than its habit would have it. An empty part bends nothing.

    `kind` is the signal kind the situation is about; `expect` says whether that kind should find it, or is "quiet".
    `subject` is the product or category it is about. From `since` on, its quantities shrink to `shrinks_to`, it buys
    nothing of the families in `drops`, and the second product of each of `switches` in place of the first. A staple
    is on `staple_share` of its orders, one after the other. `closed` are days, ends excluded, on which it buys
    nothing; `months` the only ones in which it buys. `branch` is the situation of the customer who becomes its
    branch. `script` is what it orders on the last day, `morning_script` what it ordered hours before.
    """

    situation: str = ""
    expect: str = "quiet"
    note: str = ""
    subject: str | None = None
    since: date | None = None
    staples: tuple[Product, ...] = ()
    kind: str = ""
    # What it buys.
    usual: tuple[tuple[str, int], ...] = ()
    lines: float | None = None
    size: float = 1.0
    shrinks_to: float = 1.0
    staple_share: float = 0.7
    buys_staples_only: bool = False
    refuses: frozenset[str] = frozenset()
    drops: frozenset[str] = frozenset()
    switches: tuple[tuple[Product, Product], ...] = ()
    purchases: tuple[Purchase, ...] = ()
    # When it buys.
    cadence: float | None = None
    regularity: float | None = None
    starts: date | None = None
    stops: date | None = None
    months: frozenset[int] = frozenset()
    closed: tuple[tuple[date, date], ...] = ()
    branch: str = ""
    # What it pays.
    terms: Terms = Terms()
    # What it does on the last day.
    script: tuple[ScriptLine, ...] = ()
    morning_script: tuple[ScriptLine, ...] = ()
    order_kind: str = "sale"
    line_reason: str = ""

    @property
    def drops_since(self) -> date:
        """When it stopped buying what it drops; never, for one that drops nothing."""
        return self.since or date.max

    @property
    def is_on_last_day(self) -> bool:
        """Whether the situation shows in an order of the last day."""
        return bool(self.script)


BYSTANDER = Part()


@dataclass(frozen=True, slots=True)
class Scene:
    """What a maker of parts may look at. `number` counts the customers given the same situation, from 0."""

    seed: int
    catalogue: Catalogue
    customer: Customer
    last_day: date
    number: int

    def ago(self, days: int) -> date:
        """So many days before the last one."""
        return self.last_day - timedelta(days=days)

    @property
    def rng(self) -> Random:
        """Chances of this customer's own, the same at every call."""
        return Random(f"{self.seed}:part:{self.customer.id}")

    def everyday(self, count: int, category: str | None = None) -> tuple[Product, ...]:
        """Products that sell all year, of this category or else of the trade's own."""
        return everyday_products(self.catalogue, self.customer.trade, category)[:count]


# Makers of parts in the order they choose, how many customers each gets, and the trades it chooses from.
Bill = tuple[tuple[Callable[[Scene], Part], int, tuple[str, ...]], ...]
ANY_TRADE: tuple[str, ...] = ()
