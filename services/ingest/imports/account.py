"""The account of an import: what each row of the file became, to the ten-thousandth.

Every row is in exactly one category. What the file is worth (quantity x price of every row) must equal the sum of the
categories; what stands in the database must equal the net of the stored ones.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from services.ingest.imports.file_orders import VALUE_SCALE, FileOrder, Incoming
from services.ingest.store import Comparison
from shared.domain.order import LineKind, Order, OrderKind

ZERO = Decimal(0)
STORED = ("sales", "sales to guests", "returns", "adjustments", "non-product lines")
OTHERS = ("repeated", "older versions", "rejected")


@dataclass(slots=True)
class Entry:
    """Rows of the file, what they are worth there, and what they brought in net."""

    rows: int = 0
    value: int = 0
    net: Decimal = ZERO

    def add(self, values: Iterable[int]) -> None:
        """Count rows that brought in nothing."""
        for value in values:
            self.rows += 1
            self.value += value


@dataclass(slots=True)
class Account:
    """Categories, reasons for rejection, and how many orders had which end."""

    entries: dict[str, Entry] = field(default_factory=lambda: {name: Entry() for name in (*STORED, *OTHERS)})
    reasons: dict[str, Entry] = field(default_factory=dict)
    orders: dict[str, int] = field(default_factory=dict)
    doubles: int = 0
    """Stored rows that say exactly what another row of their order says."""

    def book(self, new: Incoming, comparison: Comparison) -> None:
        """Book an order that was decided about. A conflict is booked by `reject`."""
        self._count("older version" if comparison is Comparison.STALE else comparison)
        if comparison is Comparison.DUPLICATE:
            self.entries["repeated"].add(new.file_order.values)
        elif comparison is Comparison.STALE:
            self.entries["older versions"].add(new.file_order.values)
        elif comparison in (Comparison.NEW, Comparison.NEWER):
            self.doubles += new.file_order.doubles
            traded, other = self.entries[category(new.order)], self.entries["non-product lines"]
            for line, value in zip(new.order.lines, new.file_order.values, strict=False):
                entry = traded if line.kind is LineKind.PRODUCT else other
                entry.rows += 1
                entry.value += value
                entry.net += line.net
            for line in new.order.lines[len(new.file_order.values) :]:
                other.net += line.net

    def add(self, other: "Account") -> None:
        """Add what another account holds."""
        for mine, theirs in ((self.entries, other.entries), (self.reasons, other.reasons)):
            for name, entry in theirs.items():
                total = mine.setdefault(name, Entry())
                total.rows, total.value, total.net = (
                    total.rows + entry.rows, total.value + entry.value, total.net + entry.net,
                )  # fmt: skip
        self.doubles += other.doubles
        for end, number in other.orders.items():
            self.orders[end] = self.orders.get(end, 0) + number

    def pass_over(self, file_order: FileOrder) -> None:
        """Book an order that comes again in a newer version."""
        self._count("older version")
        self.entries["older versions"].add(file_order.values)

    def reject(self, file_order: FileOrder, reason: str) -> None:
        """Book an order that was refused."""
        self._count("rejected")
        self.reject_rows(reason, len(file_order.rows), sum(file_order.values))

    def reject_rows(self, reason: str, rows: int, value: int) -> None:
        """Book rows that were refused."""
        for entry in (self.entries["rejected"], self.reasons.setdefault(reason, Entry())):
            entry.rows += rows
            entry.value += value

    def _count(self, end: str) -> None:
        self.orders[str(end)] = self.orders.get(str(end), 0) + 1

    @property
    def rows(self) -> int:
        """Rows of all categories."""
        return sum(entry.rows for entry in self.entries.values())

    @property
    def value(self) -> int:
        """What all categories are worth."""
        return sum(entry.value for entry in self.entries.values())

    @property
    def stored(self) -> Entry:
        """All rows that came in."""
        kept = [self.entries[name] for name in STORED]
        return Entry(
            sum(entry.rows for entry in kept),
            sum(entry.value for entry in kept),
            sum((entry.net for entry in kept), ZERO),
        )

    def as_json(self) -> dict[str, object]:
        """What is kept with the import run."""
        return {
            "categories": {name: _shown(entry) for name, entry in self.entries.items()},
            "rejected": {name: _shown(entry) for name, entry in self.reasons.items()},
            "orders": self.orders,
            "exact_duplicates_kept": self.doubles,
        }


def category(order: Order) -> str:
    """Which category the product lines of a stored order belong to."""
    if order.kind in (OrderKind.RETURN, OrderKind.CREDIT):
        return "returns"
    if order.kind is not OrderKind.SALE:
        return "adjustments"
    return "sales" if order.customer is not None else "sales to guests"


def money(value: int) -> Decimal:
    """Return a value as an amount."""
    return Decimal(value) / VALUE_SCALE


def _shown(entry: Entry) -> Mapping[str, object]:
    return {"rows": entry.rows, "value": str(money(entry.value)), "net": str(entry.net)}
