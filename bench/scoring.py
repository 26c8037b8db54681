"""Orders applied, judged and stored, beside the no-op jobs of a stock `rq worker`."""

import json
import statistics
import sys
import time
from urllib.request import Request, urlopen

import psycopg
import redis
from rq import Queue
from rq.job import Job

from bench.figures import Figure, Goal
from bench.load_client import made_orders
from bench.system import System, free_port, run, service, wait_for, worker

COSTS = {"TIPOFF_CALL_COST": "10", "TIPOFF_CORRECTION_COST": "3"}
"""What acting costs where nothing is set; the other parts set 0, so that every order alerts."""

WARM_UP = 400
CHILD_SECONDS = 6.0
"""How long the worker's child may take to begin, once a first large batch came."""

HOLD_BACK = (
    "UPDATE task SET run_at = 'infinity' FROM event WHERE event.id::text = task.key AND task.kind = 'score'"
    " AND task.state = 'ready' AND event.external_id LIKE %s"
)

SCORED_PER_SECOND = (
    "WITH done AS (SELECT task.finished_at, count(*) AS n FROM task JOIN event ON event.id::text = task.key"
    " WHERE task.kind = 'score' AND event.external_id LIKE %s GROUP BY 1)"
    " SELECT (sum(n) - (SELECT n FROM done ORDER BY finished_at LIMIT 1))"
    " / extract(epoch FROM max(finished_at) - min(finished_at)) FROM done"
)
"""Orders a second from the end of the first batch to the end of the last, by the beginning of the events' ids."""


def measure(system: System, *, quick: bool) -> Figure:
    """Orders a second of one scoring worker, and jobs a second of one stock worker before and after each round."""
    rounds, orders, jobs = (1, 500, 50) if quick else (3, 6000, 400)
    stock = [_stock_jobs_per_second(system, jobs)]
    mine = []
    for _ in range(rounds):
        mine.append(_orders_per_second(system, orders))
        stock.append(_stock_jobs_per_second(system, jobs))
    ratio = statistics.median(
        rate * 2 / (before + after) for rate, before, after in zip(mine, stock[:-1], stock[1:], strict=True)
    )
    return Figure(
        "one worker scoring orders of ten lines (apply, detect, store)",
        f"{statistics.median(mine):.0f} orders/s",
        (Goal("at least 20 orders for each no-op job of a stock `rq worker`", ratio >= 20),),
        f"stock `rq worker`, no-op jobs: {statistics.median(stock):.0f} jobs/s",
        ratio,
    )


def _stock_jobs_per_second(system: System, count: int) -> float:
    url = system.stack.redis_url
    if url is None:
        raise RuntimeError("no Redis here: the stock worker cannot be measured")
    with redis.Redis.from_url(url) as connection:
        queue = Queue("bench-noop", connection=connection)
        jobs = [queue.enqueue("time.sleep", 0) for _ in range(count)]
        rq = [sys.executable, "-m", "rq.cli", "worker", "--burst", "--quiet", "--url", url, "bench-noop"]
        run(rq)
        ended = [
            job for job in Job.fetch_many([job.id for job in jobs], connection=connection) if job is not None
        ]
    began = min(job.started_at for job in ended if job.started_at)
    last = max(job.ended_at for job in ended if job.ended_at)
    return len(ended) / (last - began).total_seconds()


def _orders_per_second(system: System, count: int) -> float:
    """Post orders as NDJSON and let one worker score them that runs already, as the peer's does when it is measured.

    It is timed from the end of its first batch to the end of its last.
    """
    port = free_port()
    token = system.tipoff("token", "create", f"bench-{port}", "--source", "standard")
    orders = [
        *made_orders(system.folder / "sample", WARM_UP, prefix=f"warm-{port}"),
        *made_orders(system.folder / "sample", count, prefix=f"scoring-{port}"),
    ]
    body = "\n".join(json.dumps(order) for order in orders).encode()
    headers = {"Content-Type": "application/x-ndjson", "Authorization": f"Bearer {token}"}
    with system.running(service("ingest", port)):
        wait_for(f"http://127.0.0.1:{port}/healthz")
        with urlopen(Request(f"http://127.0.0.1:{port}/v1/orders", body, headers), timeout=120) as answer:
            answer.read()
        with psycopg.connect(system.libpq_url, autocommit=True) as connection:
            connection.execute(HOLD_BACK, (f"scoring-{port}-%",))
    with (
        system.running(worker("scoring"), settings=COSTS),
        psycopg.connect(system.libpq_url, autocommit=True) as connection,
    ):
        system.wait_for_tasks("score")  # but for those held back
        time.sleep(CHILD_SECONDS)
        connection.execute("UPDATE task SET run_at = now() WHERE run_at = 'infinity'")
        system.wait_for_tasks("score")
        row = connection.execute(SCORED_PER_SECOND, (f"scoring-{port}-%",)).fetchone()
    if row is None or row[0] is None:
        raise RuntimeError("fewer than two batches were scored")
    return float(row[0])
