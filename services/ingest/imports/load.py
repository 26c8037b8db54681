"""Loads a batch of imported orders in one transaction: compared with what is held, then copied.

An order that is held already is a repeat, whatever entry point it came through; a newer one replaces the whole order.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from uuid import UUID, uuid4

from psycopg import Connection as PsycopgConnection
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from services.ingest.compare import (
    Comparison,
    CurrentRevision,
    compare,
    is_newer_by_receipt,
    version_to_keep,
)
from services.ingest.imports.file_orders import Incoming
from services.ingest.store import flags_json, overtaken, revision_after
from shared import identities, tasks
from shared.clock import real_now
from shared.db import Database
from shared.domain.money import rounded
from shared.domain.order import CustomerRef, Line, LineKind, Order, OrderStatus

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
        cost = NOTHING if line.unit_cost is None or rate is None else str(rounded(line.unit_cost * rate))
        yield (
            f"{order_id}\t{number}\t{at}\t{customer}\t{product}\t{copy_text(line.id)}\t{copy_text(line.parent_id)}"
            f"\t{line.kind.value}\t{order_counts}"
            f"\t{line.quantity!s}\t{line.net!s}\t{_money(line.net, rate)}\t{cost}\t{copy_text(line.title)}"
            f"\t{_given_back(line)}\n"
        )


def is_counted(order: Order) -> bool:
    """Is it trade: confirmed or closed, and no test?"""
    return not order.is_test and order.status in (OrderStatus.CONFIRMED, OrderStatus.CLOSED)


def _given_back(line: Line) -> str:
    if line.returns_order_id is None and line.returns_line_id is None and line.return_reason is None:
        return "\\N\t\\N\t\\N"
    return f"{copy_text(line.returns_order_id)}\t{copy_text(line.returns_line_id)}\t{copy_text(line.return_reason)}"


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


TRIES = 3

_HELD = text(
    "SELECT external_id, id, version, digest, coalesce(revision, version) AS revision FROM event"
    " WHERE source = :source AND external_id = ANY(:ids) AND is_current"
)

_LOCK = text(
    "SELECT external_id, id, version, digest, coalesce(revision, version) AS revision FROM event"
    " WHERE source = :source AND external_id = ANY(:ids) AND is_current ORDER BY id FOR NO KEY UPDATE"
)

_REMEMBER = text(
    "UPDATE event SET version = told.version, revision = coalesce(revision, event.version)"
    " FROM unnest(CAST(:ids AS uuid[]), CAST(:versions AS bigint[])) AS told (id, version) WHERE event.id = told.id"
)

_STEP_DOWN = text(
    "UPDATE event SET is_current = false, state = CASE WHEN state = 'accepted' THEN 'stale' ELSE state END"
    " WHERE id = ANY(:ids)"
)

_TAKE_AWAY = text(
    "WITH gone AS (DELETE FROM sales_order WHERE source = :source AND external_id = ANY(:ids)"
    " RETURNING id, external_id), lines AS (DELETE FROM order_line USING gone WHERE order_id = gone.id)"
    " SELECT external_id, id FROM gone"
)

_WITHDRAW = text(
    "UPDATE signal SET withdrawn_at = now(), withdrawn_reason = 'the order was amended'"
    " FROM unnest(CAST(:ids AS bigint[]), CAST(:versions AS bigint[])) AS newer (order_id, version)"
    " WHERE signal.occasion = 'order:' || newer.order_id AND signal.order_version < newer.version"
    " AND withdrawn_at IS NULL"
    " RETURNING signal.order_id, newer.version"
)

_NEW_IDS = text(
    "SELECT nextval(pg_get_serial_sequence('sales_order', 'id')) FROM generate_series(1, :number)"
)


@dataclass(frozen=True, slots=True)
class Run:
    """What every batch of an import shares."""

    id: int
    source: str
    database: Database
    names: Names
    rates: Rates


def compare_only(run: Run, batch: Sequence[Incoming]) -> list[Comparison]:
    """What would become of these orders."""
    with run.database.transaction() as connection:
        return _compare_each(connection, _held(connection, run.source, batch, lock=False), batch)


def load(run: Run, batch: Sequence[Incoming]) -> list[Comparison]:
    """Load a batch and return what became of each order; committed when this returns."""
    for attempt in range(1, TRIES + 1):
        try:
            with run.database.transaction() as connection:
                return _load(connection, run, batch)
        except IntegrityError:  # one of them came in by webhook meanwhile: look again
            run.names.forget()
            if attempt == TRIES:
                raise
    raise AssertionError("the last try returns or raises")


def _load(connection: Connection, run: Run, batch: Sequence[Incoming]) -> list[Comparison]:
    held = _held(connection, run.source, batch, lock=False)
    comparisons = _compare_each(connection, held, batch)
    if Comparison.NEWER in comparisons:
        held |= _held(connection, run.source, _newer(batch, comparisons), lock=True)
        comparisons = _compare_each(connection, held, batch)
    wanted = [
        each
        for each, comparison in zip(batch, comparisons, strict=True)
        if comparison in (Comparison.NEW, Comparison.NEWER)
    ]
    _remember_versions(connection, held, batch, comparisons)
    if wanted:
        order_ids = _make_room(connection, run.source, held, _newer(batch, comparisons))
        revisions = {
            each.order.id: revision_after(held[each.order.id], each.order.version)
            for each in _newer(batch, comparisons)
        }
        run.names.learn(connection, [each.order for each in wanted])
        _copy_all(connection, run, wanted, order_ids, revisions)
        _withdraw(connection, wanted, order_ids, revisions)
    return comparisons


def _remember_versions(
    connection: Connection,
    held: dict[str, CurrentRevision],
    batch: Sequence[Incoming],
    comparisons: Sequence[Comparison],
) -> None:
    """A repeat changes nothing, but the higher version is remembered."""
    kept: dict[UUID, int] = {}
    for each, comparison in zip(batch, comparisons, strict=True):
        current = held.get(each.order.id)
        if comparison is Comparison.DUPLICATE and current is not None:
            version = version_to_keep(current.version, each.order.version)
            if version != current.version:
                kept[current.event_id] = version
    if kept:
        values = {"ids": list(kept), "versions": list(kept.values())}
        connection.execute(_REMEMBER, values)


def _withdraw(
    connection: Connection, wanted: Sequence[Incoming], kept: dict[str, int], revisions: dict[str, int]
) -> None:
    """Take back what was said of orders that are replaced, and have alerts draw its conclusions."""
    newer = [each for each in wanted if each.order.id in kept]
    if not newer:
        return
    ids = [kept[each.order.id] for each in newer]
    rows = connection.execute(
        _WITHDRAW, {"ids": ids, "versions": [revisions[each.order.id] for each in newer]}
    )
    if keys := {f"order:{row.order_id}@{row.version}" for row in rows}:
        tasks.put(connection, "alerts", "decide", sorted(keys))


def _newer(batch: Sequence[Incoming], comparisons: Sequence[Comparison]) -> list[Incoming]:
    return [
        each for each, comparison in zip(batch, comparisons, strict=True) if comparison is Comparison.NEWER
    ]


def _held(
    connection: Connection, source: str, batch: Sequence[Incoming], *, lock: bool
) -> dict[str, CurrentRevision]:
    ids = [each.order.id for each in batch]
    rows = connection.execute(_LOCK if lock else _HELD, {"source": source, "ids": ids})
    return {
        row.external_id: CurrentRevision(row.id, row.version, bytes(row.digest), row.revision) for row in rows
    }


def _compare_each(
    connection: Connection, held: Mapping[str, CurrentRevision], batch: Sequence[Incoming]
) -> list[Comparison]:
    comparisons = [compare(held.get(each.order.id), each.order.version, each.digest) for each in batch]
    by_receipt = [
        (each.order, each.digest)
        for each in _newer(batch, comparisons)
        if is_newer_by_receipt(held[each.order.id], each.order)
    ]
    before = overtaken(connection, by_receipt)
    return [
        Comparison.STALE if comparison is Comparison.NEWER and each.order.id in before else comparison
        for each, comparison in zip(batch, comparisons, strict=True)
    ]


def _make_room(
    connection: Connection, source: str, held: dict[str, CurrentRevision], newer: Sequence[Incoming]
) -> dict[str, int]:
    """Take away what newer readings replace; return the ids that stay with their orders."""
    if not newer:
        return {}
    ids = [each.order.id for each in newer]
    connection.execute(_STEP_DOWN, {"ids": [held[each].event_id for each in ids]})
    rows = connection.execute(_TAKE_AWAY, {"source": source, "ids": ids})
    return {row.external_id: row.id for row in rows}


def _copy_all(
    connection: Connection,
    run: Run,
    new: Sequence[Incoming],
    kept: dict[str, int],
    revision_of: dict[str, int],
) -> None:
    """Copy events, orders and lines."""
    fresh = iter(connection.execute(_NEW_IDS, {"number": len(new) - len(kept)}).scalars().all())
    order_ids = [kept[each.order.id] if each.order.id in kept else next(fresh) for each in new]
    event_ids: list[UUID] = [uuid4() for _ in new]
    revisions = [revision_of.get(each.order.id, each.order.version) for each in new]
    now = real_now().isoformat()
    copy_rows(connection, EVENTS, [
        event_row(each, event_id, revision, run.id, now)
        for each, event_id, revision in zip(new, event_ids, revisions, strict=True)
    ])  # fmt: skip
    copy_rows(connection, ORDERS, [
        order_row(each, order_id, event_id, revision, run.names, run.rates)
        for each, order_id, event_id, revision in zip(new, order_ids, event_ids, revisions, strict=True)
    ])  # fmt: skip
    copy_rows(connection, LINES, [
        row
        for each, order_id in zip(new, order_ids, strict=True)
        for row in line_rows(each, order_id, run.names, run.rates)
    ])  # fmt: skip
