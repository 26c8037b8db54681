"""How good the signals are on real orders: `make quality` writes docs/signal-quality.md.

Online Retail II is imported as a company would, then each kind is exported as of past days (`tipoff signals export`)
and judged by what the file says happened in the 90 days after. Needs the reference data beside the project
(TIPOFF_REFERENCE, default ../shared).
"""

import csv
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import log2
from statistics import mean
from typing import Any

import duckdb

from bench.history import REFERENCE
from bench.system import ROOT, System, system

DOCUMENT = ROOT / "docs" / "signal-quality.md"
CUTOFFS = ("2010-08-01", "2010-09-01", "2010-10-01", "2010-11-01", "2010-12-01")
LAST = CUTOFFS[-1]
FIRST = 100
FLOORS = {"AUC": 0.71, "P@100": 0.42, "money": 58_000}
REORDER_FLOOR = 0.425
CALL_IT_ALL = 1_000_000

Row = Mapping[str, str]
Judge = Callable[[Iterable[float], Iterable[float]], "Ranked"]


@dataclass(frozen=True, slots=True)
class Ranked:
    """What the first hundred of a ranking held, and how well its score ranks all."""

    auc: float
    precision: float
    money: float


def main() -> int:
    """Measure and write. Fails when a floor is missed."""
    if not REFERENCE.exists():
        sys.exit(f"the real orders are not there: {REFERENCE}")
    with system(with_company=False) as running, duckdb.connect() as file:
        running.settings |= {
            "TIPOFF_BASE_CURRENCY": "GBP",
            "TIPOFF_TIME_ZONE": "Europe/London",
            "TIPOFF_BUSINESS_TIME": "2011-03-01T03:00:00+00:00",
        }
        rejects = str(running.folder / "rejects.csv")
        running.tipoff("import", "orders", str(REFERENCE), "--columns", "online_retail", "--rejects", rejects)
        _read(file)
        fit = _fit(running)
        drift = {cutoff: _drift(running, file, cutoff) for cutoff in CUTOFFS}
        calibration = {cutoff: _calibration(running, file, cutoff) for cutoff in CUTOFFS}
        stopped = _stopped(running, file)
        lists = {kind: _lists(running, file, kind) for kind in ("reorder_due", "cross_sell")}
    text, missed = _document(drift, calibration, stopped, lists, fit)
    DOCUMENT.write_text(text)
    print(text)
    for each in missed:
        print(f"MISSED: {each}")
    return 1 if missed else 0


def _read(file: duckdb.DuckDBPyConnection) -> None:
    """Read what was bought and given back, straight from the source: the judge shares no code with the product."""
    file.execute(
        "CREATE TABLE line AS SELECT CAST(CAST(customer_id AS BIGINT) AS VARCHAR) AS customer,"
        " upper(trim(stock_code)) AS item, quantity, quantity * unit_price AS net, CAST(invoice_ts AS DATE) AS day"
        f" FROM '{REFERENCE}' WHERE customer_id IS NOT NULL AND NOT overlap_copy AND is_product AND unit_price > 0"
    )


def _fit(running: System) -> tuple[float, float, float]:
    """Fit every model as a night would; return seconds, seconds of processor time, and peak megabytes."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "services.cli", "fit"]
    process = subprocess.Popen(command, env={**os.environ, **running.settings}, cwd=ROOT)
    _, _, usage = os.wait4(process.pid, 0)
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def _export(running: System, kind: str, cutoff: str, top: int) -> list[Row]:
    """Return the rows of `tipoff signals export`, exported once for each kind and day."""
    out = running.folder / f"{kind}-{cutoff}-{top}.csv"
    if not out.exists():
        running.tipoff(
            "signals", "export", "--as-of", cutoff, "--kind", kind, "--top", str(top), "--out", str(out)
        )
    with out.open(newline="") as lines:
        return list(csv.DictReader(lines))


def _rows(file: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
    return file.execute(query).fetchall()


def _lost(file: duckdb.DuckDBPyConnection, cutoff: str) -> dict[str, tuple[float, float, bool, float]]:
    """Return each live customer's silence, own gap, whether they were lost, and their trade of a quarter."""
    found = _rows(
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


def _drift(running: System, file: duckdb.DuckDBPyConnection, cutoff: str) -> dict[str, Ranked]:
    """Judge going_quiet beside days since the last order and the gap over the customer's own."""
    known = _lost(file, cutoff)
    exported = {row["customer"]: row for row in _export(running, "going_quiet", cutoff, CALL_IT_ALL)}
    judged = [customer for customer in known if customer in exported]
    print(
        f"{cutoff}: {len(judged)} customers judged, {len(known)} live by the file, {len(exported)} exported"
    )
    lost = [known[each][2] for each in judged]
    money = [known[each][3] for each in judged]

    def ranked(score: Iterable[float], order: Iterable[float]) -> Ranked:
        first = sorted(zip(order, lost, money, strict=True), key=lambda each: -each[0])[:FIRST]
        return Ranked(
            _auc(list(score), lost), mean(each[1] for each in first), sum(m for _, gone, m in first if gone)
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
    import numpy as np  # noqa: PLC0415 - with scipy a second to import; only this baseline needs them

    from services.scoring.fit import bgnbd  # noqa: PLC0415

    found = _rows(
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


def _calibration(running: System, file: duckdb.DuckDBPyConnection, cutoff: str) -> list[tuple[float, bool]]:
    """Return the chance of coming back that was stated of each customer, and whether they did."""
    known = _lost(file, cutoff)
    rows = _export(running, "going_quiet", cutoff, CALL_IT_ALL)
    return [
        (float(row["probability"]), not known[row["customer"]][2]) for row in rows if row["customer"] in known
    ]


def _stopped(running: System, file: duckdb.DuckDBPyConnection) -> list[tuple[str, int, float, float, float]]:
    """Return for each day: pairs, share expected back, share that came back, and both of the first fifty."""
    found = []
    for cutoff in CUTOFFS[2:]:
        rows = _export(running, "stopped_item", cutoff, CALL_IT_ALL)
        again = set(
            _rows(
                file,
                f"SELECT DISTINCT customer, item FROM line WHERE quantity > 0 AND day >= '{cutoff}'"
                f" AND day < DATE '{cutoff}' + 90",
            )
        )
        back = [(row["customer"], row["subject"]) in again for row in rows]
        first = [float(row["score"]) for row in rows[:50]]
        found.append(
            (cutoff, len(rows), mean(float(row["probability"]) for row in rows), mean(back), sum(first))
        )
    return found


def _lists(running: System, file: duckdb.DuckDBPyConnection, kind: str) -> tuple[int, float, float]:
    """Judge lists of ten: customers, nDCG@10 and the share of customers with a hit.

    Re-order over all items; cross-sell over items the customer had never bought.
    """
    listed: dict[str, list[str]] = defaultdict(list)
    for row in _export(running, kind, LAST, 10):
        listed[row["customer"]].append(row["subject"])
    fresh = (
        f" AND (customer, item) NOT IN (SELECT customer, item FROM line WHERE quantity > 0 AND day < '{LAST}')"
        if kind == "cross_sell"
        else ""
    )
    bought: dict[str, set[str]] = defaultdict(set)
    for customer, item in _rows(
        file,
        f"SELECT DISTINCT customer, item FROM line WHERE quantity > 0 AND day >= '{LAST}' AND day < DATE '{LAST}' + 90"
        f" AND customer IN (SELECT customer FROM line WHERE quantity > 0 AND day < '{LAST}' GROUP BY 1"
        f" HAVING count(DISTINCT day) >= 2){fresh}",
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


def _document(
    drift: Mapping[str, Mapping[str, Ranked]],
    calibration: Mapping[str, list[tuple[float, bool]]],
    stopped: list[tuple[str, int, float, float, float]],
    lists: Mapping[str, tuple[int, float, float]],
    fit: tuple[float, float, float],
) -> tuple[str, list[str]]:
    """Return the page, and what missed its floor."""
    last = drift[LAST]["going_quiet, by gain"]
    averages = {
        name: Ranked(*(mean(getattr(drift[day][name], part) for day in CUTOFFS) for part in Ranked.__slots__))
        for name in drift[LAST]
    }
    ours = averages["going_quiet, by gain"]
    others = {name: each for name, each in averages.items() if not name.startswith("going_quiet")}
    checks = {
        f"AUC at {LAST} is {last.auc:.3f}, floor {FLOORS['AUC']}": last.auc >= FLOORS["AUC"],
        f"P@100 at {LAST} is {last.precision:.2f}, floor {FLOORS['P@100']}": last.precision
        >= FLOORS["P@100"],
        f"money at {LAST} is £{last.money:,.0f}, floor £{FLOORS['money']:,}": last.money >= FLOORS["money"],
        "mean AUC beats every baseline": all(ours.auc > each.auc for each in others.values()),
        "mean money by gain beats every baseline": all(ours.money > each.money for each in others.values()),
        f"re-order nDCG@10 is {lists['reorder_due'][1]:.3f}, floor {REORDER_FLOOR}": lists["reorder_due"][1]
        >= REORDER_FLOOR,
        f"fit takes {fit[0]:.0f} s ({fit[1]:.0f} s of processor) and {fit[2]:,.0f} MB, at most 30 s and 1,500 MB": (
            fit[0] <= 30 and fit[2] <= 1500
        ),
    }
    parts = [
        "# How good the signals are",
        "",
        "Made by `make quality` on the UCI Online Retail II orders up to February 2011, by `tipoff signals export`",
        "as of past days; judged straight from the source file by the 90 days after each.",
        "",
        *(f"- {'met' if met else '**missed**'}: {check}" for check, met in checks.items()),
        "",
        "## Who goes quiet",
        "",
        "Live customers: four order days, one within 180 days. Lost: no order in 90 days. Money: their sales of the",
        "last 270 days / 3, of those of the first 100 who were lost.",
        "",
        "| day | ranking | AUC | P@100 | money of the lost in the first 100 |",
        "|---|---|---|---|---|",
        *(_line(day, name, each) for day in CUTOFFS for name, each in drift[day].items()),
        *(_line("mean", name, each) for name, each in averages.items()),
        "",
        "## Who comes back by themselves: stated and seen",
        "",
        f"Tenths of all customers of the five days by stated chance. {LAST} runs into the first Christmas the history",
        "sees, is marked estimated in the product, and stands apart.",
        "",
        *_deciles("five days but the last", [pair for day in CUTOFFS[:-1] for pair in calibration[day]]),
        *_deciles(LAST, calibration[LAST]),
        "## Stopped items",
        "",
        "| day | pairs | stated to come back | came back | trade a quarter of the first 50 |",
        "|---|---|---|---|---|",
        *(
            f"| {day} | {n} | {stated:.2f} | {seen:.2f} | £{first:,.0f} |"
            for day, n, stated, seen, first in stopped
        ),
        "",
        "## Lists of ten",
        "",
        "| list | customers | nDCG@10 | with a hit |",
        "|---|---|---|---|",
        *(f"| {kind} | {n:,} | {ndcg:.3f} | {hit:.3f} |" for kind, (n, ndcg, hit) in lists.items()),
        "",
        "Re-order is judged over all items, cross-sell over those the customer had never bought.",
        "",
    ]
    return "\n".join(parts), [check for check, met in checks.items() if not met]


def _line(day: str, name: str, each: Ranked) -> str:
    return f"| {day} | {name} | {each.auc:.3f} | {each.precision:.2f} | £{each.money:,.0f} |"


def _deciles(title: str, pairs: list[tuple[float, bool]]) -> Iterator[str]:
    yield f"| {title}: customers | stated | seen | seen ÷ stated |"
    yield "|---|---|---|---|"
    pairs = sorted(pairs)
    for part in range(10):
        tenth = pairs[part * len(pairs) // 10 : (part + 1) * len(pairs) // 10]
        stated, seen = mean(p for p, _ in tenth), mean(hit for _, hit in tenth)
        yield f"| {len(tenth)} | {stated:.2f} | {seen:.2f} | {seen / stated:.2f} |"
    yield ""


if __name__ == "__main__":
    sys.exit(main())
