"""The part a customer plays in a planted situation, and the entry the truth file makes of it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

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
class Part:
    """What a customer does otherwise than its habit would have it. An empty part bends nothing."""

    situation: str = ""
    expect: str = "quiet"
    note: str = ""
    subject: str | None = None
    since: date | None = None
    staples: tuple[Product, ...] = ()
    usual: tuple[tuple[str, int], ...] = ()
    cadence: float | None = None
    lines: float | None = None
    size: float = 1.0
    refuses: frozenset[str] = frozenset()
    drops: frozenset[str] = frozenset()
    stops: date | None = None
    month: int | None = None
    buys_staples_only: bool = False
    creeps: bool = False
    prices_frozen: bool = False
    script: tuple[ScriptLine, ...] = ()

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

    catalogue: Catalogue
    customer: Customer
    last_day: date
    number: int

    def ago(self, days: int) -> date:
        """So many days before the last one."""
        return self.last_day - timedelta(days=days)

    def everyday(self, count: int, category: str | None = None) -> tuple[Product, ...]:
        """Products that sell all year, of this category or else of the trade's own."""
        return everyday_products(self.catalogue, self.customer.trade, category)[:count]


# Makers of parts in the order they choose, how many customers each gets, and the trades it chooses from.
Bill = tuple[tuple[Callable[[Scene], Part], int, tuple[str, ...]], ...]
ANY_TRADE: tuple[str, ...] = ()
