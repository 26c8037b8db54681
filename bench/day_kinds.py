"""A night of 100,000 customers: every day kind asked about each of them, the fit not counted.

The company is made up: customers of many rhythms, some of whom stopped, who mostly take the same few goods of 2,000, at
prices of which some slip.
"""

import json
import os
import resource
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import psycopg

from bench.figures import Figure, Goal, table
from bench.system import ROOT, System, system
from services.scoring import night, signals
from services.scoring.jobs import assumed
from shared import tasks
from shared.db import UNHURRIED, Database
from shared.domain.signal import DaySignalKind, SignalKind
from shared.partitions import month_after
from shared.plugins import discover
from shared.settings import read

CUSTOMERS = 100_000
TODAY = date(2026, 3, 2)
DAYS = 450
MOST_SECONDS = 60

_PRODUCTS = """
INSERT INTO product (id, name, category) OVERRIDING SYSTEM VALUE
SELECT id, 'Item ' || id, 'Group ' || id %% 40 FROM generate_series(1, 2000) AS id
"""
_CUSTOMERS = """
INSERT INTO customer (id, name) OVERRIDING SYSTEM VALUE
SELECT id, 'Customer ' || id FROM generate_series(1, %(customers)s) AS id
"""
# Gaps of 30 to 150 days, each order up to 40 % early or late; one in eight stops in the last half year.
_ORDERS = """
INSERT INTO sales_order (source, external_id, version, digest, event_id, status, kind, is_history, is_counted,
                         ordered_at, currency, customer_id, net, base_net)
SELECT 'bench', c || '-' || n, 1, '', gen_random_uuid(), 'confirmed', 'sale', true, true,
       placed.day + interval '9 hours', 'GBP', c, 0, 0
FROM generate_series(1, %(customers)s) AS c
CROSS JOIN LATERAL (SELECT 30 + c * 7919 %% 121 AS gap,
                           CASE WHEN c %% 8 = 0 THEN 180 - c * 31 %% 180 ELSE 0 END AS stopped) AS rhythm
CROSS JOIN LATERAL generate_series(0, %(days)s / gap) AS n
CROSS JOIN LATERAL (SELECT %(today)s::date - %(days)s + n * gap + c * 13 %% gap
                           + ((random() - 0.5) * 0.8 * gap)::int AS day) AS placed
WHERE placed.day >= %(today)s::date - %(days)s AND placed.day < %(today)s::date - stopped
"""
# Four lines of ten favourites each; one customer in twenty pays less and less on them.
_LINES = """
INSERT INTO order_line (order_id, line_no, ordered_at, customer_id, product_id, external_id, kind, is_counted, quantity,
                        net, base_net, base_unit_cost)
SELECT sale.id, k, sale.ordered_at, sale.customer_id, product_id, k::text, 'product', true, quantity,
       round(quantity * price, 2), round(quantity * price, 2),
       CASE WHEN product_id %% 8 <> 0 THEN round((5 + product_id %% 90) * 0.65, 4) END
FROM sales_order AS sale CROSS JOIN generate_series(1, 4) AS k
CROSS JOIN LATERAL (SELECT 1 + (sale.customer_id * 37 + (k + (random() * 6)::int) * 101) %% 2000 AS product_id,
                           1 + (random() * 11)::int AS quantity) AS taken
CROSS JOIN LATERAL (
    SELECT round(((5 + product_id %% 90) * (0.97 + random() * 0.06)
                  * CASE WHEN sale.customer_id %% 20 = 0 AND sale.ordered_at > %(today)s::date - 90 THEN 0.85 ELSE 1 END
                 )::numeric, 2) AS price) AS paid
"""


def measure(customers: int = CUSTOMERS) -> Figure:
    """Make the company, fit its models, and judge a night."""
    with system(with_company=False) as running:
        running.settings |= {"TIPOFF_BASE_CURRENCY": "GBP", "TIPOFF_TIME_ZONE": "Europe/London"}
        lines = _company(running, customers)
        running.vacuum()
        began = time.perf_counter()
        print(f"{lines:,} lines", running.tipoff("fit", "--as-of", TODAY.isoformat()), flush=True)
        print(f"fit: {time.perf_counter() - began:.0f} s", flush=True)
        running.vacuum()
        night = [sys.executable, "-m", "bench.day_kinds", "--night"]
        environment = {**os.environ, **running.settings}
        done = subprocess.run(night, env=environment, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    told = json.loads(done.stdout.splitlines()[-1])
    return Figure(
        f"every day kind about {customers:,} customers, {lines:,} lines",
        f"{told['seconds']:.0f} s ({told['processor']:.0f} s of processor), {told['megabytes']:,.0f} MB;"
        f" {', '.join(f'{name} {number:,}' for name, number in told['signals'].items())}",
        (Goal(f"at most {MOST_SECONDS} s", told["seconds"] <= MOST_SECONDS),),
    )


def _company(running: System, customers: int) -> int:
    """Write the company straight into the tables; return how many lines it has."""
    words = {"customers": customers, "today": TODAY, "days": DAYS}
    with psycopg.connect(running.libpq_url) as connection:
        _months(connection)
        connection.execute("SELECT setseed(0.5)")
        for statement in (_PRODUCTS, _CUSTOMERS, _ORDERS, _LINES):
            connection.execute(statement, words)
        row = connection.execute("SELECT count(*) FROM order_line").fetchone()
    return int(row[0]) if row else 0


def _months(connection: psycopg.Connection) -> None:
    month = (TODAY - timedelta(days=DAYS)).replace(day=1)
    while month <= TODAY:
        after = month_after(month)
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS order_line_{month:%Y_%m} PARTITION OF order_line"
            f" FOR VALUES FROM ('{month} 00:00+00') TO ('{after} 00:00+00')"
        )
        month = after


def _night() -> None:
    """Evaluate every day kind as the worker does, in a process of its own, and print what it took."""
    kinds = [
        kind for kind in discover(signals, "KIND", SignalKind).values() if isinstance(kind, DaySignalKind)
    ]
    settings = read()
    database = Database(settings.database_url.get_secret_value(), UNHURRIED)
    as_of = datetime.combine(TODAY, datetime.min.time(), UTC) + timedelta(hours=3)
    token = uuid4()
    with database.transaction() as connection:
        tasks.put(connection, "scoring", "evaluate", [f"{TODAY}:{kind.name}" for kind in kinds])
        handler = tasks.Handler("evaluate", lambda _: tasks.Tally(), batch=len(kinds))
        batch = tasks.claim(connection, handler, token)
    began, processor = time.perf_counter(), time.process_time()
    tally = night.evaluate(database, settings, assumed(settings), kinds, as_of, batch)
    told = {
        "seconds": time.perf_counter() - began,
        "processor": time.process_time() - processor,
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "signals": {name: number for (what, name), number in tally.items() if what == "signals"},
    }
    print(json.dumps(told))


if __name__ == "__main__":
    if "--night" in sys.argv:
        _night()
    else:
        print(table([measure(*(int(each) for each in sys.argv[1:]))]))
