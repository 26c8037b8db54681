"""This file knows the exchange rates of an import: base currency for one unit, as of the latest day known."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from sqlalchemy import Connection, text

ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class Rates:
    """Rates by currency, each in the order of their days."""

    base_currency: str
    known: Mapping[str, tuple[Sequence[date], Sequence[Decimal]]]

    def on(self, currency: str, day: date) -> Decimal | None:
        """The rate that holds on a day; None while none is known."""
        if currency == self.base_currency:
            return ONE
        days, rates = self.known.get(currency, ((), ()))
        position = bisect_right(days, day)
        return rates[position - 1] if position else None


def load_rates(connection: Connection, base_currency: str) -> Rates:
    """Read every rate."""
    known: dict[str, tuple[list[date], list[Decimal]]] = defaultdict(lambda: ([], []))
    for row in connection.execute(text("SELECT currency, valid_on, rate FROM fx_rate ORDER BY valid_on")):
        known[row.currency][0].append(row.valid_on)
        known[row.currency][1].append(row.rate)
    return Rates(base_currency, dict(known))
