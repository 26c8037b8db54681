"""How well margin erosion is found: `python -m bench.margin_quality`.

Discounts that creep up a point a month are injected into a real wholesaler's orders: thirty of its regular customers
leak for the last six months, on all of their items or on half of them. The kind's own candidates judge the changed
orders; precision is of everybody they name, the customers whose prices really slip in the data included.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from statistics import fmean

import ibis

from bench.figures import Figure, Goal, goals, table
from bench.history import REFERENCE
from services.scoring.engine import Engine, open_engine
from services.scoring.facts import Assumptions
from services.scoring.signals import margin_erosion

AS_OF = datetime(2011, 3, 1, tzinfo=UTC)
SEEDS = 20
LEAKING = 30
MONTHS = 6

# Exact copies and cancelled invoices left out; there are no costs.
_PURCHASES = """
CREATE TABLE real_purchase AS
SELECT (hash(invoice) >> 8)::bigint AS order_id, item.product_id, customer_id::bigint AS customer_id,
       max(invoice_ts) AS at, max(invoice_ts)::date AS day, sum(quantity)::double AS quantity,
       round(sum(quantity * unit_price), 4)::double AS net, NULL::double AS unit_cost, '' AS channel, 'GBP' AS currency
FROM '{lines}' AS line JOIN product AS item ON item.sku = upper(trim(stock_code))
WHERE is_product AND NOT is_cancel AND NOT overlap_copy AND NOT exact_dup AND quantity > 0 AND unit_price > 0
  AND customer_id IS NOT NULL AND invoice_ts < TIMESTAMP '{as_of}'
GROUP BY 1, 2, 3
"""

_PRODUCTS = """
CREATE TABLE product AS
SELECT row_number() OVER (ORDER BY sku) AS product_id, sku, name, NULL::varchar AS category, true AS is_active
FROM (SELECT upper(trim(stock_code)) AS sku, mode(description) AS name FROM '{lines}' WHERE is_product GROUP BY 1)
"""

_REGULAR = """
SELECT customer_id FROM real_purchase GROUP BY 1
HAVING count(DISTINCT day) FILTER (WHERE day >= DATE '{as_of}' - 180) >= 3
   AND count(DISTINCT day) FILTER (WHERE day < DATE '{as_of}' - 180) >= 3
ORDER BY 1
"""

# One point in the first month, six in the sixth.
_INJECTED = """
CREATE OR REPLACE TABLE purchase AS
SELECT * REPLACE (net * left_over AS net), net * left_over AS base_net
FROM (SELECT *, CASE WHEN customer_id IN ({customers}) AND day >= DATE '{as_of}' - 180
                          AND hash(product_id, customer_id, {seed}) % 2 < {halves}
                THEN 1 - 0.01 * (floor((179 - (DATE '{as_of}' - day)) / 30) + 1) ELSE 1 END AS left_over
      FROM real_purchase)
"""


@dataclass(frozen=True, slots=True)
class Quality:
    """Means over the seeds: precision, recall, customers named, and those of them whose gain is worth a call."""

    precision: float
    recall: float
    named: float
    worth_a_call: float
    regular: int


def load(engine: Engine, lines: Path, as_of: date) -> list[int]:
    """Load products and purchases before the day; return the regular customers."""
    engine.database.execute(_PRODUCTS.format(lines=lines))
    engine.database.execute(_PURCHASES.format(lines=lines, as_of=as_of))
    return [row[0] for row in engine.database.execute(_REGULAR.format(as_of=as_of)).fetchall()]


@dataclass(frozen=True, slots=True)
class Wholesaler:
    """The tables of the engine as a kind asks for them."""

    accounts: ibis.Table
    products: ibis.Table
    agreements: ibis.Table | None = None
    assumptions: Assumptions = field(default_factory=Assumptions)

    def keep(self, name: str, rows: Callable[[], ibis.Table]) -> ibis.Table:  # noqa: ARG002 - the protocol's
        """Keep nothing: the purchases are others for each seed."""
        return rows()


def facts_of(engine: Engine) -> Wholesaler:
    """Return what the kinds judge: the tables `purchase` and `product` of the engine."""

    def table(name: str) -> ibis.Table:
        rows = engine.database.sql(f'SELECT * FROM "{name}" LIMIT 0').to_arrow_table()
        return ibis.table(ibis.Schema.from_pyarrow(rows.schema), name=name)

    return Wholesaler(table("purchase"), table("product"))


def measure(
    lines: Path, *, halves: int, as_of: datetime = AS_OF, seeds: Sequence[int] = range(SEEDS)
) -> Quality:
    """Inject the creep, once a seed, into all items (`halves` 2) or half of them (1), and judge."""
    with open_engine(threads=2, memory="900MB") as engine:
        regular = load(engine, lines, as_of.date())
        precisions, recalls, counts, worth = [], [], [], []
        for seed in seeds:
            leaking = set(random.Random(seed).sample(regular, LEAKING))
            engine.database.execute(
                _INJECTED.format(
                    customers=", ".join(map(str, leaking)), as_of=as_of.date(), seed=seed, halves=halves
                )
            )
            rows = margin_erosion.candidates(facts_of(engine), as_of)
            named = engine.rows(rows.filter(rows.found).select("customer_id", "gain"))
            found = {row["customer_id"] for row in named}
            precisions.append(len(found & leaking) / len(found) if found else 1.0)
            recalls.append(len(found & leaking) / LEAKING)
            counts.append(len(found))
            worth.append(sum(row["gain"] >= Assumptions().call_cost for row in named))
    return Quality(fmean(precisions), fmean(recalls), fmean(counts), fmean(worth), len(regular))


def figures(lines: Path, *, seeds: int = SEEDS) -> list[Figure]:
    """Measure both injections, each with its goals."""
    found = []
    for what, halves, least_precision, least_recall in (("all", 2, 0.9, 0.7), ("half of the", 1, 0.6, 0.5)):
        quality = measure(lines, halves=halves, seeds=range(seeds))
        who = f"{LEAKING} of {quality.regular} customers, mean of {seeds} seeds"
        found.append(
            Figure(
                what=f"Margin creep, {what} items leak: {who}",
                ours=f"precision {quality.precision:.2f}, recall {quality.recall:.2f}; {quality.named:.0f} named,"
                f" {quality.worth_a_call:.0f} of them worth a call",
                goals=(
                    Goal(f"precision at least {least_precision}", quality.precision >= least_precision),
                    Goal(f"recall at least {least_recall}", quality.recall >= least_recall),
                ),
            )
        )
    return found


if __name__ == "__main__":
    measured = figures(REFERENCE)
    print(table(measured), goals(measured), sep="\n\n")
