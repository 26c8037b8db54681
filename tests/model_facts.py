"""Facts of made-up trade, as models and day kinds get them, without a database."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from typing import Any, NamedTuple

import pyarrow as pa

from services.scoring.engine import open_engine
from services.scoring.fit.facts import Facts, Predictions, history_of, order_days_of, purchases_of

AS_OF = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)


class Bought(NamedTuple):
    """One line of an order of its own, in base currency."""

    customer: int
    day: date
    net: float = 100.0
    product: int = 1
    quantity: float = 10.0
    cost: float | None = None


@contextmanager
def facts_of(
    trade: Sequence[Bought],
    *,
    heads: dict[int, int] | None = None,
    categories: dict[int, str] | None = None,
    substitutes: dict[int, int] | None = None,
) -> Iterator[Facts]:
    """Facts as of AS_OF; `heads` names the head office of a branch, the others what is told of products."""
    with open_engine(threads=1, memory="500MB") as engine:
        lines = engine.load("line", _table([_line(number, each) for number, each in enumerate(trade)]))
        purchases = engine.keep("purchase", purchases_of(lines))
        customers = sorted({each.customer for each in trade} | set((heads or {}).values()))
        products = sorted({each.product for each in trade})
        yield Facts(
            engine=engine,
            as_of=AS_OF,
            zone="UTC",
            lines=lines,
            purchases=purchases,
            history=engine.keep("history", history_of(purchases)),
            order_days=engine.keep("order_day", order_days_of(lines, purchases)),
            products=engine.load(
                "product",
                _table(
                    [
                        {
                            "product_id": each,
                            "category": (categories or {}).get(each, "goods"),
                            "is_active": True,
                            "name": f"Item {each}",
                        }
                        for each in products
                    ]
                ),
            ),
            customers=engine.load(
                "customer",
                _table(
                    [
                        {
                            "customer_id": each,
                            "segment": "",
                            "head_id": (heads or {}).get(each, each),
                            "is_active": True,
                        }
                        for each in customers
                    ]
                ),
            ),
            owners=engine.load("owner", _table([{"customer_id": 0, "rep_id": 0}])),
            predictions=Predictions(engine, None, {}),
            substitutes=engine.load(
                "substitute",
                _table([{"product_id": key, "substitute_id": each} for key, each in substitutes.items()]),
            )
            if substitutes
            else None,
        )


def _line(number: int, bought: Bought) -> dict[str, Any]:
    at = datetime.combine(bought.day, time(12))
    return {
        "order_id": number,
        "product_id": bought.product,
        "customer_id": bought.customer,
        "told_at": at,
        "told_day": bought.day,
        "at": at,
        "day": bought.day,
        "quantity": bought.quantity,
        "net": bought.net,
        "base_net": bought.net,
        "unit_cost": bought.cost,
        "channel": "",
        "currency": "EUR",
        "is_of_sale": True,
    }


def _table(rows: list[dict[str, Any]]) -> pa.RecordBatchReader:
    table = pa.Table.from_pylist(rows)
    for place, field in enumerate(table.schema):
        if pa.types.is_null(field.type):
            table = table.set_column(place, field.name, table.column(place).cast(pa.float64()))
    return table.to_reader()
