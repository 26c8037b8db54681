"""This file writes rows as the text PostgreSQL's COPY reads: a tab between columns, its own mark for nothing."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from uuid import UUID

from psycopg import Connection as PsycopgConnection
from sqlalchemy import Connection

from services.ingest.imports.file_orders import Incoming
from services.ingest.imports.identities import Names
from services.ingest.imports.rates import ONE, Rates
from services.ingest.store import flags_json
from shared.domain.money import rounded
from shared.domain.order import Line, LineKind, Order, OrderStatus

NOTHING = "\\N"
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})

EVENTS = (
    "event (id, source, external_id, version, revision, digest, is_head, door, state, import_run_id, received_at,"
    " applied_at, flags)"
)
ORDERS = (
    "sales_order (id, source, external_id, version, digest, event_id, number, channel, status, kind, is_test,"
    " is_history, counts, ordered_at, currency, customer_id, rep_external_id, original_order_id, net, base_net)"
)
LINES = (
    "order_line (order_id, line_no, ordered_at, customer_id, product_id, external_id, parent_line_id, kind, counts,"
    " quantity, net, base_net, base_unit_cost, title, returns_order_id, returns_line_id, return_reason)"
)


def field(text: str | None) -> str:
    """One text column."""
    if text is None:
        return NOTHING
    return text if text.isprintable() and "\\" not in text else text.translate(_ESCAPES)


def event_row(new: Incoming, event_id: UUID, revision: int, run_id: int, now: str) -> str:
    """The event of an imported order: its file is its body."""
    order = new.order
    return (
        f"{event_id}\t{field(order.source)}\t{field(order.id)}\t{order.version}\t{revision}\t\\\\x{new.digest.hex()}\tt\timport"
        f"\tapplied\t{run_id}\t{now}\t{now}\t{field(flags_json(order))}\n"
    )


def order_row(new: Incoming, order_id: int, event_id: UUID, revision: int, names: Names, rates: Rates) -> str:
    """The order itself."""
    order = new.order
    net = order.net
    rate = rates.on(order.currency, order.ordered_at.date())
    return (
        f"{order_id}\t{field(order.source)}\t{field(order.id)}\t{revision}\t\\\\x{new.digest.hex()}\t{event_id}"
        f"\t{field(order.number)}\t{field(order.channel)}\t{order.status.value}\t{order.kind.value}"
        f"\t{_flag(order.is_test)}\tt\t{_flag(counts(order))}\t{order.ordered_at.isoformat()}\t{order.currency}"
        f"\t{_customer(order, names)}\t{field(order.rep_id)}\t{field(order.original_order_id)}"
        f"\t{net!s}\t{_money(net, rate)}\n"
    )


def line_rows(new: Incoming, order_id: int, names: Names, rates: Rates) -> Iterator[str]:
    """The lines of an order."""
    order = new.order
    at = order.ordered_at.isoformat()
    rate = rates.on(order.currency, order.ordered_at.date())
    customer, order_counts = _customer(order, names), _flag(counts(order))
    products = names.products
    for number, line in enumerate(order.lines, start=1):
        product = products[line.sku] if line.kind is LineKind.PRODUCT and line.sku is not None else NOTHING
        cost = NOTHING if line.unit_cost is None or rate is None else str(rounded(line.unit_cost * rate))
        yield (
            f"{order_id}\t{number}\t{at}\t{customer}\t{product}\t{field(line.id)}\t{field(line.parent_id)}"
            f"\t{line.kind.value}\t{order_counts}"
            f"\t{line.quantity!s}\t{line.net!s}\t{_money(line.net, rate)}\t{cost}\t{field(line.title)}"
            f"\t{_given_back(line)}\n"
        )


def counts(order: Order) -> bool:
    """Is it trade: confirmed or closed, and no test?"""
    return not order.is_test and order.status in (OrderStatus.CONFIRMED, OrderStatus.CLOSED)


def _given_back(line: Line) -> str:
    if line.returns_order_id is None and line.returns_line_id is None and line.return_reason is None:
        return "\\N\t\\N\t\\N"
    return f"{field(line.returns_order_id)}\t{field(line.returns_line_id)}\t{field(line.return_reason)}"


def _customer(order: Order, names: Names) -> str:
    return NOTHING if order.customer is None else str(names.customers[order.customer.id])


def _money(amount: Decimal, rate: Decimal | None) -> str:
    """An amount in base currency."""
    if rate is None:
        return NOTHING
    return str(amount if rate is ONE else rounded(amount * rate))


def _flag(is_true: bool) -> str:  # noqa: FBT001 - it writes a boolean
    return "t" if is_true else "f"


def copy_rows(connection: Connection, target: str, rows: Sequence[str]) -> None:
    """Copy rows into a table, in the transaction of the connection."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, PsycopgConnection)  # noqa: S101 - the one driver we use
    with driver.cursor() as cursor, cursor.copy(f"COPY {target} FROM STDIN") as copy:
        copy.write("".join(rows))
