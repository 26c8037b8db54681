"""Drift on real orders: how well going_quiet ranks, beside what anybody could rank by, judged from the file itself."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import mean
from typing import Any

import duckdb
import numpy as np

from services.scoring.fit import bgnbd

FIRST = 100

Row = Mapping[str, str]
Judge = Callable[[Iterable[float], Iterable[float]], "Ranked"]


@dataclass(frozen=True, slots=True)
class Ranked:
    """What the first hundred of a ranking held, and how well its score ranks all."""

    auc: float
    precision: float
    money: float


def lost(file: duckdb.DuckDBPyConnection, cutoff: str) -> dict[str, tuple[float, float, bool, float]]:
    """Return each live customer's silence, own gap, whether they were lost, and their trade of a quarter."""
    found = rows_of(
        file,
        f"WITH past AS (SELECT customer, min(day) AS a, max(day) AS z, count(DISTINCT day) AS n FROM line"
        f" WHERE quantity > 0 AND day < '{cutoff}' GROUP BY 1)"
        f" SELECT customer, date_diff('day', z, DATE '{cutoff}'),"
        f" date_diff('day', z, DATE '{cutoff}') * (n - 1) / date_diff('day', a, z),"
        f" customer NOT IN (SELECT customer FROM line WHERE quantity > 0 AND day >= '{cutoff}'"
        f" AND day < DATE '{cutoff}' + 90),"
        f" (SELECT greatest(sum(net), 0) / 3 FROM line AS l WHERE l.customer = past.customer AND day < '{cutoff}'"
        f" AND day >= DATE '{cutoff}' - 270)"
        f" FROM past WHERE n >= 4 AND date_diff('day', z, DATE '{cutoff}') <= 180 ORDER BY 1",
    )
    return {row[0]: (float(row[1]), float(row[2]), bool(row[3]), float(row[4] or 0)) for row in found}


def judge(file: duckdb.DuckDBPyConnection, cutoff: str, rows: Iterable[Row]) -> dict[str, Ranked]:
    """Judge going_quiet beside days since the last order and the gap over the customer's own."""
    known = lost(file, cutoff)
    exported = {row["customer"]: row for row in rows}
    judged = [customer for customer in known if customer in exported]
    print(
        f"{cutoff}: {len(judged)} customers judged, {len(known)} live by the file, {len(exported)} exported"
    )
    gone = [known[each][2] for each in judged]
    money = [known[each][3] for each in judged]

    def ranked(score: Iterable[float], order: Iterable[float]) -> Ranked:
        first = sorted(zip(order, gone, money, strict=True), key=lambda each: -each[0])[:FIRST]
        return Ranked(
            _auc(list(score), gone),
            mean(each[1] for each in first),
            sum(m for _, is_gone, m in first if is_gone),
        )

    chance = [float(exported[each]["score"]) for each in judged]
    return {
        "going_quiet, by gain": ranked(chance, [float(exported[each]["value"]) for each in judged]),
        "going_quiet, by chance": ranked(chance, chance),
        "going_quiet, chance x spend": ranked(
            chance, [one * amount for one, amount in zip(chance, money, strict=True)]
        ),
        "days since the last order": ranked(
            [known[each][0] for each in judged], [known[each][0] for each in judged]
        ),
        "gap over own mean": ranked([known[each][1] for each in judged], [known[each][1] for each in judged]),
        "spend x BG/NBD's chance of being gone": _bgnbd(file, cutoff, judged, ranked, money),
    }


def _bgnbd(
    file: duckdb.DuckDBPyConnection, cutoff: str, judged: list[str], ranked: Judge, money: list[float]
) -> Ranked:
    """Fit BG/NBD on everybody who had bought by then, in weeks."""
    found = rows_of(
        file,
        f"SELECT customer, count(DISTINCT day) - 1, date_diff('day', min(day), max(day)) / 7,"
        f" date_diff('day', min(day), DATE '{cutoff}') / 7 FROM line WHERE quantity > 0 AND day < '{cutoff}'"
        " GROUP BY 1",
    )
    repeats, recency, age = (np.array([row[place] for row in found], float) for place in (1, 2, 3))
    alive = dict(
        zip(
            (row[0] for row in found),
            bgnbd.fit(repeats, recency, age).alive(repeats, recency, age),
            strict=True,
        )
    )
    gone = [1 - float(alive[each]) for each in judged]
    return ranked(gone, [one * amount for one, amount in zip(gone, money, strict=True)])


def _auc(score: list[float], outcome: list[bool]) -> float:
    """Return the chance that one with the outcome scores above one without; ties count half."""
    places = defaultdict(list)
    for place, value in enumerate(sorted(score), 1):
        places[value].append(place)
    ranks = sum(mean(places[value]) for value, hit in zip(score, outcome, strict=True) if hit)
    hits = sum(outcome)
    return (ranks - hits * (hits + 1) / 2) / (hits * (len(outcome) - hits))


def rows_of(file: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    return file.execute(query).fetchall()


def table(drift: Mapping[str, Mapping[str, Ranked]], averages: Mapping[str, Ranked]) -> Iterator[str]:
    """Write every day's rankings, then their means."""
    yield "| day | ranking | AUC | P@100 | money of the lost in the first 100 |"
    yield "|---|---|---|---|---|"
    for day, rankings in (*drift.items(), ("mean", averages)):
        for name, each in rankings.items():
            yield f"| {day} | {name} | {each.auc:.3f} | {each.precision:.2f} | £{each.money:,.0f} |"


def averaged(drift: Mapping[str, Mapping[str, Ranked]]) -> dict[str, Ranked]:
    """Return each ranking's means over the days."""
    days = list(drift.values())
    return {
        name: Ranked(*(mean(getattr(day[name], part) for day in days) for part in Ranked.__slots__))
        for name in days[0]
    }
