"""Lists of items on real orders: how well they rank, what their chances came to, and what stopped items bring."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from math import log2
from statistics import mean

import duckdb

from bench.drift import Row, rows_of

Export = Callable[[str, str, int], Sequence[Row]]
"""Takes a kind, a day, and how many of each customer."""

CROSS_SELL_DAYS = 60
CALL_IT_ALL = 1_000_000


def bought_in(file: duckdb.DuckDBPyConnection, cutoff: str, days: int) -> set[tuple[str, str]]:
    """Return the customers and items bought in so many days."""
    query = (
        f"SELECT DISTINCT customer, item FROM line WHERE quantity > 0 AND day >= '{cutoff}'"
        f" AND day < DATE '{cutoff}' + {days}"
    )
    return {(customer, item) for customer, item in rows_of(file, query)}


def stated(
    file: duckdb.DuckDBPyConnection, export: Export, kind: str, cutoffs: Collection[str]
) -> dict[str, list[tuple[float, bool]]]:
    """Return for each day the chance stated of each listed item, and whether it was bought in time."""
    found = {}
    for cutoff in cutoffs:
        bought = bought_in(file, cutoff, CROSS_SELL_DAYS if kind == "cross_sell" else 90)
        found[cutoff] = [
            (float(row["probability"]), (row["customer"], row["subject"]) in bought)
            for row in export(kind, cutoff, 10)
        ]
    return found


def judged(
    file: duckdb.DuckDBPyConnection, export: Export, kind: str, cutoff: str
) -> tuple[int, float, float]:
    """Judge lists of ten: customers, nDCG@10 and the share of customers with a hit."""
    listed: dict[str, list[str]] = defaultdict(list)
    for row in export(kind, cutoff, 10):
        listed[row["customer"]].append(row["subject"])
    fresh = (
        f" AND (customer, item) NOT IN (SELECT customer, item FROM line WHERE quantity > 0 AND day < '{cutoff}')"
        if kind == "cross_sell"
        else ""
    )
    bought: dict[str, set[str]] = defaultdict(set)
    for customer, item in rows_of(
        file,
        f"SELECT DISTINCT customer, item FROM line WHERE quantity > 0 AND day >= '{cutoff}'"
        f" AND day < DATE '{cutoff}' + 90 AND customer IN (SELECT customer FROM line WHERE quantity > 0"
        f" AND day < '{cutoff}' GROUP BY 1 HAVING count(DISTINCT day) >= 2){fresh}",
    ):
        bought[customer].add(item)
    gains = [list(_hits(listed[customer], items)) for customer, items in bought.items()]
    ideal = [
        sum(1 / log2(place + 1) for place in range(1, min(len(each), 10) + 1)) for each in bought.values()
    ]
    ndcg = mean(sum(each) / best for each, best in zip(gains, ideal, strict=True))
    return len(bought), ndcg, mean(bool(each) for each in gains)


def _hits(listed: list[str], bought: set[str]) -> Iterator[float]:
    for place, item in enumerate(listed[:10], 1):
        if item in bought:
            yield 1 / log2(place + 1)


def stopped(file: duckdb.DuckDBPyConnection, export: Export, cutoffs: Collection[str]) -> Iterator[str]:
    """Write for each day: pairs, share expected back, share that came back, and trade of the first fifty."""
    yield "| day | pairs | stated to come back | came back | trade a quarter of the first 50 |"
    yield "|---|---|---|---|---|"
    for cutoff in cutoffs:
        rows = export("stopped_item", cutoff, CALL_IT_ALL)
        again = bought_in(file, cutoff, 90)
        expected = mean(float(row["probability"]) for row in rows)
        back = mean((row["customer"], row["subject"]) in again for row in rows)
        first = sum(float(row["score"]) for row in rows[:50])
        yield f"| {cutoff} | {len(rows)} | {expected:.2f} | {back:.2f} | £{first:,.0f} |"
