"""Facts for a backtest without a database: a company's own export as tables of the engine."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import ibis
import pyarrow as pa

from services.scoring.engine import Engine
from services.scoring.fit.facts import Facts, Predictions, history_of, order_days_of, purchases_of


def facts_from(  # noqa: PLR0913 - what an export tells of
    engine: Engine,
    as_of: datetime,
    zone: str,
    lines: pa.Table | pa.RecordBatchReader,
    *,
    products: Mapping[int, tuple[str, str | None]],
    heads: Mapping[int, int],
    owners: Mapping[int, int],
) -> Facts:
    """Return facts of product lines as `read_facts` has them. `products` have name and category; `heads` customers."""
    own = engine.load("line", lines if isinstance(lines, pa.RecordBatchReader) else lines.to_reader())
    purchases = engine.keep("purchase", purchases_of(own))

    def table(called: str, rows: Sequence[tuple[object, ...]], /, **columns: pa.DataType) -> ibis.Table:
        values = list(zip(*rows, strict=True)) or [()] * len(columns)
        schema = pa.schema(list(columns.items()))
        arrays = [pa.array(each, kind) for each, kind in zip(values, columns.values(), strict=True)]
        return engine.load(called, pa.table(arrays, schema).to_reader())

    named = [(number, category, True, name) for number, (name, category) in products.items()]
    customers = [(number, "", head, True) for number, head in heads.items()]
    return Facts(
        engine=engine,
        as_of=as_of,
        zone=zone,
        lines=own,
        purchases=purchases,
        history=engine.keep("history", history_of(purchases)),
        order_days=engine.keep("order_day", order_days_of(own, purchases)),
        products=table(
            "product",
            named,
            product_id=pa.int64(),
            category=pa.string(),
            is_active=pa.bool_(),
            name=pa.string(),
        ),
        customers=table(
            "customer",
            customers,
            customer_id=pa.int64(),
            segment=pa.string(),
            head_id=pa.int64(),
            is_active=pa.bool_(),
        ),
        owners=table("owner", list(owners.items()), customer_id=pa.int64(), rep_id=pa.int64()),
        predictions=Predictions(engine, None, {}),
    )
