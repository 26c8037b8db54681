"""The rows an import copies: an event, an order and its lines as COPY text, with our ids and base currency.

Scoring writes the same facts of orders that come one by one; a test holds the two equal.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from uuid import UUID

from psycopg import Connection as PsycopgConnection
from sqlalchemy import Connection, text

from services.ingest.imports.file_orders import Incoming
from services.ingest.store import flags_json
from shared import identities
from shared.domain.order import CustomerRef, LineKind, Order, OrderStatus, in_base

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


@dataclass(slots=True)
class Names:
    """Our ids by outside id, of one source: a history of a million lines asks for each once.

    Ids learnt in a transaction that fails must be forgotten.
    """

    source: str
    customers: dict[str, int] = field(default_factory=dict)
    products: dict[str, int] = field(default_factory=dict)

    def learn(self, connection: Connection, orders: Collection[Order]) -> None:
        """Know every customer and product of these orders, making the new ones."""
        customers = {
            (self.source, order.customer.id): order.customer
            for order in orders
            if order.customer is not None and order.customer.id not in self.customers
        }
        parents = {
            each.parent_id: CustomerRef(each.parent_id) for each in customers.values() if each.parent_id
        }
        lines = {
            (self.source, line.sku): line
            for order in orders
            for line in order.lines
            if line.kind is LineKind.PRODUCT and line.sku is not None and line.sku not in self.products
        }
        customer_ids = identities.customer_ids(
            connection, {(self.source, name): parent for name, parent in parents.items()} | customers
        )
        if parents:
            identities.lock_new_names(connection)
            parent_of = {
                customer_ids[name]: (self.source, each.parent_id)
                for name, each in customers.items()
                if each.parent_id
            }
            identities.name_parents(connection, parent_of)
        product_ids = identities.product_ids(connection, lines)
        self.customers |= {name: own_id for (_, name), own_id in customer_ids.items()}
        self.products |= {name: own_id for (_, name), own_id in product_ids.items()}

    def forget(self) -> None:
        """Know nothing: what was learnt was rolled back."""
        self.customers.clear()
        self.products.clear()


NOTHING = "\\N"
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})

EVENTS = (
    "event (id, source, external_id, version, revision, digest, is_current, entry_point, state, import_run_id,"
    " received_at, applied_at, flags)"
)
ORDERS = (
    "sales_order (id, source, external_id, version, digest, event_id, number, channel, status, kind, is_test,"
    " is_history, is_counted, ordered_at, currency, customer_id, rep_external_id, original_order_id, net,"
    " base_net)"
)
LINES = (
    "order_line (order_id, line_no, ordered_at, customer_id, product_id, external_id, parent_line_id, kind,"
    " is_counted,"
    " quantity, net, base_net, base_unit_cost, title, returns_order_id, returns_line_id, return_reason)"
)


def copy_text(text: str | None) -> str:
    """One text column."""
    if text is None:
        return NOTHING
    return text if text.isprintable() and "\\" not in text else text.translate(_ESCAPES)


def event_row(new: Incoming, event_id: UUID, revision: int, run_id: int, now: str) -> str:
    """The event of an imported order: its file is its body."""
    order = new.order
    return (
        f"{event_id}\t{copy_text(order.source)}\t{copy_text(order.id)}\t{order.version}\t{revision}\t\\\\x{new.digest.hex()}\tt\timport"
        f"\tapplied\t{run_id}\t{now}\t{now}\t{copy_text(flags_json(order))}\n"
    )


def order_row(new: Incoming, order_id: int, event_id: UUID, revision: int, names: Names, rates: Rates) -> str:
    """The order itself."""
    order = new.order
    net = order.net
    rate = rates.on(order.currency, order.ordered_at.date())
    return (
        f"{order_id}\t{copy_text(order.source)}\t{copy_text(order.id)}\t{revision}\t\\\\x{new.digest.hex()}\t{event_id}"
        f"\t{copy_text(order.number)}\t{copy_text(order.channel)}\t{order.status.value}\t{order.kind.value}"
        f"\t{_flag(order.is_test)}\tt\t{_flag(is_counted(order))}\t{order.ordered_at.isoformat()}\t{order.currency}"
        f"\t{_customer(order, names)}\t{copy_text(order.rep_id)}\t{copy_text(order.original_order_id)}"
        f"\t{net!s}\t{_money(net, rate)}\n"
    )


def line_rows(new: Incoming, order_id: int, names: Names, rates: Rates) -> Iterator[str]:
    """The lines of an order."""
    order = new.order
    at = order.ordered_at.isoformat()
    rate = rates.on(order.currency, order.ordered_at.date())
    customer, order_counts = _customer(order, names), _flag(is_counted(order))
    products = names.products
    for number, line in enumerate(order.lines, start=1):
        product = products[line.sku] if line.kind is LineKind.PRODUCT and line.sku is not None else NOTHING
        cost = None if line.unit_cost is None else in_base(line.unit_cost, rate)
        yield (
            f"{order_id}\t{number}\t{at}\t{customer}\t{product}\t{copy_text(line.id)}\t{copy_text(line.parent_id)}"
            f"\t{line.kind.value}\t{order_counts}"
            f"\t{line.quantity!s}\t{line.net!s}\t{_money(line.net, rate)}\t{NOTHING if cost is None else cost}"
            f"\t{copy_text(line.title)}\t{copy_text(line.returns_order_id)}\t{copy_text(line.returns_line_id)}"
            f"\t{copy_text(line.return_reason)}\n"
        )


def is_counted(order: Order) -> bool:
    """Is it trade: confirmed or closed, and no test?"""
    return not order.is_test and order.status in (OrderStatus.CONFIRMED, OrderStatus.CLOSED)


def _customer(order: Order, names: Names) -> str:
    return NOTHING if order.customer is None else str(names.customers[order.customer.id])


def _money(amount: Decimal, rate: Decimal | None) -> str:
    """An amount in base currency."""
    made = amount if rate is ONE else in_base(amount, rate)
    return NOTHING if made is None else str(made)


def _flag(is_true: bool) -> str:  # noqa: FBT001 - it writes a boolean
    return "t" if is_true else "f"


def copy_rows(connection: Connection, target: str, rows: Sequence[str]) -> None:
    """Copy rows into a table, in the transaction of the connection."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, PsycopgConnection)  # noqa: S101 - the one driver we use
    with driver.cursor() as cursor, cursor.copy(f"COPY {target} FROM STDIN") as copy:
        copy.write("".join(rows))
