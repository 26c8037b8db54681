"""Other companies of the reference data, read by `tipoff prove`'s own functions: quiet where nothing can be learnt?"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

import duckdb

from bench.history import REFERENCE
from services.ingest.imports.trade import read_trade
from services.scoring import backtest, signals
from services.scoring.engine import open_engine
from services.scoring.facts import Assumptions
from services.scoring.prove import facts_from
from shared.domain.signal import DaySignalKind, SignalKind
from shared.plugins import discover

DATA = REFERENCE.parents[1]
MORNINGS = 4
EVERY = timedelta(weeks=4)

EXPORTS: Mapping[str, str] = {
    "superstore": "SELECT order_id, order_date, customer_id, customer_name, product_id, product_name, category, sales,"
    " quantity, profit FROM '{data}/superstore/orders.parquet'",
    "adventureworks": "SELECT SalesOrderNumber, OrderDate, ResellerKey, ProductNumber, OrderQuantity, SalesAmount,"
    " ProductStandardCost FROM '{data}/adventureworks/reseller_sales.parquet'",
}


def lines() -> Iterator[str]:
    """Write what the day kinds would have said on four mornings, a month apart, the last 90 days being over."""
    yield "Four mornings a month apart, whose 90 days are over; each customer, or customer and item, is said once."
    yield ""
    yield "| company | customers | orders | alerts by kind |"
    yield "|---|---|---|---|"
    for name, query in EXPORTS.items():
        customers, orders, said = _said(query.format(data=DATA))
        told = ", ".join(f"{kind} {number}" for kind, number in sorted(said.items())) or "none"
        yield f"| {name} | {customers:,} | {orders:,} | {told} |"


def _said(query: str) -> tuple[int, int, Counter[str]]:
    with TemporaryDirectory() as folder, duckdb.connect() as connection:
        file = Path(folder) / "orders.csv"
        connection.execute(f"COPY ({query}) TO '{file}' (HEADER)")
        trade = read_trade(file, None, ZoneInfo("UTC"), datetime.now(UTC), lambda _: None)
    kinds = [
        kind for kind in discover(signals, "KIND", SignalKind).values() if isinstance(kind, DaySignalKind)
    ]
    end = trade.last + timedelta(seconds=1)
    last = datetime.combine((end - backtest.HORIZON).date(), time.min, UTC)
    moments = [last - EVERY * step for step in reversed(range(MORNINGS))]
    with open_engine(threads=2, memory="900MB") as engine:
        whole = facts_from(
            engine,
            end,
            "UTC",
            trade.lines,
            products={
                number: (name, trade.categories.get(number)) for number, name in trade.products.names.items()
            },
            heads={number: number for number in trade.customers.names},
            owners={},
        )
        whole = replace(whole, assumptions=Assumptions(base_currency=trade.currency))
        rows = [each for judged in backtest.walk(whole, kinds, moments) for each in judged]
    said = Counter(each.kind for each in rows if each.signal is not None and each.is_new)
    return len(trade.customers.names), trade.orders, said
