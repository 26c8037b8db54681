"""Growth: how the time of a fit grows with the lines, the company being copied k times with other customers.

Facts are read and models built and graded by the fit's own functions; what a fit publishes is its rows, and these grow
with the customers alone.
"""

import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from math import log
from pathlib import Path

import duckdb

from bench.history import REFERENCE
from bench.system import ROOT
from services.scoring.engine import open_engine
from services.scoring.fit import models
from services.scoring.fit.model import Model
from services.scoring.prove import facts_from
from shared.plugins import discover

LINES = (1_000_000, 3_000_000, 10_000_000)
AS_OF = datetime(2011, 3, 1, tzinfo=UTC)
MOST_EXPONENT = 1.1
MOST_MEGABYTES = 1_500

# One copy of everybody a number: the same goods, invoices and customers of their own.
_COPIES = """
SELECT invoice_no + copy * 1000000 AS order_id, product_id, customer_id + copy * 100000 AS customer_id, told_at,
       told_at::date AS told_day, told_at AS at, told_at::date AS day, quantity, net, net AS base_net,
       CAST(NULL AS DOUBLE) AS unit_cost, '' AS channel, 'GBP' AS currency, true AS is_of_sale
FROM (
    SELECT dense_rank() OVER (ORDER BY invoice) AS invoice_no,
           dense_rank() OVER (ORDER BY upper(trim(stock_code))) AS product_id,
           CAST(customer_id AS BIGINT) AS customer_id, CAST(invoice_ts AS TIMESTAMP) AS told_at,
           CAST(quantity AS DOUBLE) AS quantity, round(quantity * unit_price, 4) AS net
    FROM '{file}' WHERE is_product AND NOT overlap_copy AND NOT is_cancel AND unit_price > 0 AND quantity > 0
) AS sold CROSS JOIN generate_series(0, {copies} - 1) AS many (copy)
"""


@dataclass(frozen=True, slots=True)
class Size:
    """A fit of so many lines: what it took, in a process of its own."""

    lines: int
    seconds: float
    processor: float
    megabytes: float


def measure(sizes: tuple[int, ...] = LINES) -> list[Size]:
    """Fit companies of these many lines, each in a process of its own."""
    found = []
    for size in sizes:
        command = [sys.executable, "-m", "bench.growth", str(size)]
        done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
        found.append(Size(**json.loads(done.stdout.splitlines()[-1])))
        print(found[-1], flush=True)
    return found


def exponent(sizes: list[Size]) -> float:
    """Return b of processor time = a x lines^b, from the smallest to the largest."""
    return log(sizes[-1].processor / sizes[0].processor) / log(sizes[-1].lines / sizes[0].lines)


def _fit(size: int, file: Path = REFERENCE) -> Size:
    """Build and grade every model on the company copied until it has about so many lines."""
    with open_engine(threads=2, memory="900MB") as engine, duckdb.connect() as source:
        one = _COPIES.format(file=file, copies=1)
        own, customers, goods = source.execute(
            f"SELECT count(*), list(DISTINCT customer_id), max(product_id) FROM ({one})"
        ).fetchall()[0]
        copies = max(1, round(size / own))
        lines = source.sql(_COPIES.format(file=file, copies=copies)).to_arrow_reader(50_000)
        products = {number: (f"Item {number}", f"Group {number % 40}") for number in range(1, goods + 1)}
        known = [each for each in customers if each is not None]
        heads = {each + copy * 100_000: each + copy * 100_000 for each in known for copy in range(copies)}
        began, processor = time.perf_counter(), time.process_time()
        facts = facts_from(engine, AS_OF, "UTC", lines, products=products, heads=heads, owners={})
        for model in discover(models, "MODEL", Model).values():
            if model.grade is not None:
                model.grade(facts)
            for piece in model.build(facts):
                for _ in engine.stream(piece.rows):
                    pass
        return Size(
            own * copies,
            time.perf_counter() - began,
            time.process_time() - processor,
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        )


if __name__ == "__main__":
    told = _fit(int(sys.argv[1]))
    print(json.dumps({name: getattr(told, name) for name in Size.__slots__}))
