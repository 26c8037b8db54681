"""The trade in a file of orders, read without a database: what was bought, by whom, when, and for how much."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from services.ingest.imports.columns import ColumnMap, MapFault, known_maps, read_map
from services.ingest.imports.file_orders import (
    Incoming,
    Window,
    create_views,
    file_orders,
    read_order,
    rejected_rows_query,
    wanted,
    with_newer,
)
from services.ingest.imports.table import FileTable, open_table
from services.ingest.source import ReadContext
from shared.domain.order import Line, LineKind, Order, OrderKind, OrderStatus

TRADE = {OrderKind.SALE, OrderKind.RETURN, OrderKind.CREDIT}
GUESSED = "common"
"""The map of headers that companies commonly have: what another map knows better is read by that one."""

UNCOUNTED = {OrderStatus.DRAFT, OrderStatus.CANCELLED}
SCHEMA = pa.schema(
    [
        ("order_id", pa.int64()), ("product_id", pa.int64()), ("customer_id", pa.int64()),
        ("told_at", pa.timestamp("us")), ("told_day", pa.date32()), ("at", pa.timestamp("us")), ("day", pa.date32()),
        ("quantity", pa.float64()), ("net", pa.float64()), ("base_net", pa.float64()), ("unit_cost", pa.float64()),
        ("channel", pa.string()), ("currency", pa.string()), ("is_of_sale", pa.bool_()),
    ]
)  # fmt: skip


class NoTrade(ValueError):
    """A file from which nothing can be learnt; the message says why, and what to do."""


@dataclass(slots=True)
class Numbered:
    """Ids of ours for names of theirs, from 1, with what each is called."""

    ids: dict[str, int] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)

    def id_of(self, name: str, title: str | None = None) -> int:
        """Return the id of a name; the newest title is what it is called."""
        number = self.ids.setdefault(name, len(self.ids) + 1)
        self.names[number] = title or self.names.get(number, name)
        return number


@dataclass(frozen=True, slots=True)
class Trade:
    """Product lines by order (`SCHEMA`), what ids stand for, and what did not come in."""

    lines: pa.Table
    customers: Numbered
    products: Numbered
    categories: dict[int, str]
    parents: dict[int, int]
    owners: dict[int, int]
    currency: str
    orders: int
    first: datetime
    last: datetime
    refused_rows: int
    refusal: str | None
    other_currency: int
    guests: int
    encoding: str


def fitting_map(table: FileTable, name: str | None) -> ColumnMap:
    """Return the column map of that name, else the one that fits the file's columns, guessing last. Raises MapFault."""
    if name is not None:
        return read_map(name)
    for known in (each for each in ("standard", *known_maps()) if each != GUESSED):
        columns = read_map(known)
        with suppress(MapFault):
            columns.columns_of(table.columns)
            return columns
    guessed = read_map(GUESSED)
    guessed.columns_of(table.columns)
    return guessed


def read_trade(
    file: Path, columns: str | None, zone: ZoneInfo, now: datetime, advance: Callable[[int], None]
) -> Trade:
    """Read the orders of a CSV or Parquet file. Raises FileFault, MapFault and NoTrade."""
    with open_table(file, takes_spreadsheets=True) as table:
        mapped = fitting_map(table, columns)
        create_views(table, mapped)
        refusals: Counter[str] = Counter()
        query = rejected_rows_query(Window())
        for reason, rows in table.connection.execute(
            f"SELECT reason, count(*) FROM ({query}) GROUP BY 1"  # noqa: S608 - our own text
        ).fetchall():
            refusals[reason] += rows
        local = ZoneInfo(mapped.zone) if mapped.zone else zone
        context = ReadContext("file", local, mapped.currency or "", now)
        orders = list(_orders(table, context, refusals, advance))
        encoding = table.encoding
    if not orders:
        reason = refusals.most_common(1)[0][0] if refusals else "it has no rows"
        raise NoTrade(
            f"no order in {file.name} can be read: {reason}\nhint: docs/imports.md names the columns"
        )
    return _trade(orders, local, refusals, encoding)


def _orders(
    table: FileTable, context: ReadContext, refusals: Counter[str], advance: Callable[[int], None]
) -> Iterator[Order]:
    for each, is_outdated in with_newer(file_orders(table.stream(wanted(Window())))):
        advance(len(each.rows))
        if is_outdated:
            continue
        read = read_order(each, context)
        if isinstance(read, Incoming):
            yield read.order
        else:
            refusals[read.reason] += len(each.rows)


def _trade(orders: list[Order], zone: ZoneInfo, refusals: Counter[str], encoding: str) -> Trade:
    counted = [each for each in orders if _is_counted(each)]
    if not counted:
        raise NoTrade(
            "no order in the file is a sale\nhint: docs/imports.md says which kinds of order there are"
        )
    currency = Counter(each.currency for each in counted).most_common(1)[0][0]
    customers, products, reps = Numbered(), Numbered(), Numbered()
    numbers = {each.id: number for number, each in enumerate(counted, 1)}
    sales = {each.id: each for each in counted if each.kind is OrderKind.SALE}
    categories: dict[int, str] = {}
    parents: dict[int, int] = {}
    owners: dict[int, int] = {}
    rows: list[tuple[Any, ...]] = []
    for order in sorted(counted, key=lambda each: each.ordered_at):
        customer = order.customer and customers.id_of(order.customer.id, order.customer.name)
        if customer and order.customer and order.customer.parent_id:
            parents[customer] = customers.id_of(order.customer.parent_id)
        if customer and order.rep_id:
            owners[customer] = reps.id_of(order.rep_id)
        for line in order.lines:
            if line.kind is not LineKind.PRODUCT or not (line.sku or line.title):
                continue
            product = products.id_of(line.sku or line.title or "", line.title)
            if line.category:
                categories[product] = line.category
            rows.append(_row(order, line, numbers, sales, (zone, currency, product, customer)))
    if not rows:
        raise NoTrade(
            "no line in the file names a product\nhint: a column sku or title names what was bought"
        )
    moments = [each.ordered_at for each in counted]
    return Trade(
        lines=pa.table(
            [
                pa.array(values, column.type)
                for values, column in zip(zip(*rows, strict=True), SCHEMA, strict=True)
            ],
            SCHEMA,
        ),
        customers=customers,
        products=products,
        categories=categories,
        parents=parents,
        owners=owners,
        currency=currency,
        orders=len(counted),
        first=min(moments),
        last=max(moments),
        refused_rows=sum(refusals.values()),
        refusal=refusals.most_common(1)[0][0] if refusals else None,
        other_currency=sum(each.currency != currency for each in counted),
        guests=sum(each.customer is None for each in counted),
        encoding=encoding,
    )


def _is_counted(order: Order) -> bool:
    internal = order.customer is not None and order.customer.internal
    return not (order.is_test or internal) and order.status not in UNCOUNTED and order.kind in TRADE


def _row(
    order: Order, line: Line, numbers: dict[str, int], sales: dict[str, Order], names: tuple[Any, ...]
) -> tuple[Any, ...]:
    """Return a line as the facts hold it: what was given back counts for the sale it names."""
    zone, currency, product, customer = names
    named = sales.get(line.returns_order_id or order.original_order_id or "")
    sale = named if named and line.quantity < 0 and named.ordered_at <= order.ordered_at else None
    of = sale or order
    told, at = order.ordered_at, of.ordered_at
    net = float(line.net)
    return (
        numbers[of.id], product, customer,
        told.astimezone(UTC).replace(tzinfo=None), told.astimezone(zone).date(),
        at.astimezone(UTC).replace(tzinfo=None), at.astimezone(zone).date(),
        float(line.quantity), net, net if order.currency == currency else None,
        None if line.unit_cost is None or order.currency != currency else float(line.unit_cost),
        of.channel or "", order.currency, sale is not None or order.kind is OrderKind.SALE,
    )  # fmt: skip
