"""Price-volume-mix bridge: why the margin of two periods differs, split into effects that sum to the difference.

SIGNALS.md S5, with q quantity, p price, c unit cost, m = p - c and Q the quantity of the items in both periods:

    price   sum (p1 - p0) q1              cost  -sum (c1 - c0) q1
    volume  (Q1/Q0 - 1) sum q0 m0         mix    sum (q1 - q0 Q1/Q0) m0
    new     sum q1 m1 of items not sold before    lost  -sum q0 m0 of items no longer sold

Price and cost are taken at the quantities of the second period, so there is no cross term. Every effect of an item
is rounded to the cent such that the item's effects, and so all of them, sum to the change of margin to the cent.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import ROUND_HALF_EVEN, Decimal

CENT = Decimal("0.01")
NONE = Decimal(0)
CULPRITS = 3
CAUSES = ("price", "cost", "mix", "volume", "new", "lost")


@dataclass(frozen=True, slots=True)
class Sold:
    """What was sold of an item in a period: quantity, net sales and what they cost, in base currency."""

    quantity: Decimal = NONE
    net: Decimal = NONE
    cost: Decimal = NONE

    @property
    def margin(self) -> Decimal:
        """Net sales less cost, to the cent."""
        return (self.net - self.cost).quantize(CENT, ROUND_HALF_EVEN)


@dataclass(frozen=True, slots=True)
class Effects:
    """What each cause added to the margin, in cents of base currency; a loss is negative."""

    price: Decimal = NONE
    cost: Decimal = NONE
    volume: Decimal = NONE
    mix: Decimal = NONE
    new: Decimal = NONE
    lost: Decimal = NONE

    @property
    def total(self) -> Decimal:
        """The change of margin that the effects explain."""
        return sum((getattr(self, each.name) for each in fields(self)), NONE)

    def __add__(self, other: "Effects") -> "Effects":
        return Effects(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))


@dataclass(frozen=True, slots=True)
class Bridge:
    """The effects of each item, by its name."""

    items: Mapping[str, Effects]

    @property
    def effects(self) -> Effects:
        """The effects of all items."""
        return sum(self.items.values(), Effects())

    def cause(self, causes: Sequence[str] = CAUSES) -> str | None:
        """The one of the causes that cost the most margin; None where none cost any."""
        worst = min(causes, key=lambda each: getattr(self.effects, each))
        return worst if getattr(self.effects, worst) < 0 else None

    def culprits(self, causes: Sequence[str] = CAUSES, most: int = CULPRITS) -> list[str]:
        """The items that lost most margin by these causes, the worst first; items that gained are none."""
        lost = {
            name: sum((getattr(effects, cause) for cause in causes), NONE)
            for name, effects in self.items.items()
        }
        losing = [name for name, effect in lost.items() if effect < 0]
        return sorted(losing, key=lambda name: (lost[name], name))[:most]


def bridge(items: Iterable[tuple[str, Sold, Sold]]) -> Bridge:
    """Return the bridge from the first period to the second. Each item stands once, with both of its periods."""
    rows = list(items)
    common = [(before, after) for _, before, after in rows if before.quantity > 0 and after.quantity > 0]
    quantity = sum((before.quantity for before, _ in common), NONE)
    growth = sum((after.quantity for _, after in common), NONE) / quantity if quantity else NONE
    return Bridge({name: _effects(before, after, growth) for name, before, after in rows})


def _effects(before: Sold, after: Sold, growth: Decimal) -> Effects:
    """Return the effects of one item. `growth` is Q1/Q0; what rounding leaves over is the mix effect's."""
    change = after.margin - before.margin
    if before.quantity <= 0:
        return Effects(new=change)
    if after.quantity <= 0:
        return Effects(lost=change)
    price = (after.net - before.net / before.quantity * after.quantity).quantize(CENT, ROUND_HALF_EVEN)
    cost = (before.cost / before.quantity * after.quantity - after.cost).quantize(CENT, ROUND_HALF_EVEN)
    volume = ((growth - 1) * (before.net - before.cost)).quantize(CENT, ROUND_HALF_EVEN)
    return Effects(price=price, cost=cost, volume=volume, mix=change - price - cost - volume)
