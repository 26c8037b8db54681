"""Orders applied, judged and stored, beside the no-op jobs of a stock `rq worker`."""

import json
import sys
from urllib.request import Request, urlopen

import psycopg
import redis
from rq import Queue
from rq.job import Job

from bench.figures import Figure
from bench.orders import made_orders
from bench.system import System, free_port, run, service, wait_for, worker

ORDERS = 6000
JOBS = 400


def measure(system: System) -> Figure:
    """Orders a second of one scoring worker, and jobs a second of one stock worker, before and after."""
    before = _stock_jobs_per_second(system)
    mine = _orders_per_second(system)
    theirs = (before + _stock_jobs_per_second(system)) / 2
    return Figure(
        "one worker scoring orders of ten lines (apply, detect, store)",
        f"{mine:.0f} orders/s",
        f"stock `rq worker`, no-op jobs: {theirs:.0f} jobs/s",
        mine / theirs,
        "at least 15",
        mine / theirs >= 15,
    )


def _stock_jobs_per_second(system: System) -> float:
    url = system.stack.redis_url
    if url is None:
        raise RuntimeError("no Redis here: the stock worker cannot be measured")
    with redis.Redis.from_url(url) as connection:
        queue = Queue("bench-noop", connection=connection)
        jobs = [queue.enqueue("bench.noop.nothing") for _ in range(JOBS)]
        rq = [sys.executable, "-m", "rq.cli", "worker", "--burst", "--quiet", "--url", url, "bench-noop"]
        run(rq)
        ended = [
            job for job in Job.fetch_many([job.id for job in jobs], connection=connection) if job is not None
        ]
    began = min(job.started_at for job in ended if job.started_at)
    last = max(job.ended_at for job in ended if job.ended_at)
    return len(ended) / (last - began).total_seconds()


def _orders_per_second(system: System) -> float:
    """Fill the queue by the bulk door, start one worker, and time it from its first batch to its last."""
    port = free_port()
    token = system.tipoff("token", "create", f"bench-{port}", "--source", "standard")
    orders = made_orders(system.folder / "sample", ORDERS, prefix=f"scoring-{port}")
    body = "\n".join(json.dumps(order) for order in orders).encode()
    headers = {"Content-Type": "application/x-ndjson", "Authorization": f"Bearer {token}"}
    with system.running(service("ingest", port)):
        wait_for(f"http://127.0.0.1:{port}/healthz")
        with urlopen(Request(f"http://127.0.0.1:{port}/v1/orders", body, headers), timeout=120) as answer:
            answer.read()
    with system.running(worker("scoring")), psycopg.connect(system.libpq_url, autocommit=True) as connection:
        system.wait_for_tasks("score")
        row = connection.execute(
            "WITH done AS (SELECT task.finished_at, count(*) AS n FROM task JOIN event ON event.id::text = task.key"
            " WHERE task.kind = 'score' AND event.external_id LIKE %s GROUP BY 1)"
            " SELECT (sum(n) - (SELECT n FROM done ORDER BY finished_at LIMIT 1))"
            " / extract(epoch FROM max(finished_at) - min(finished_at)) FROM done",
            (f"scoring-{port}-%",),
        ).fetchone()
    if row is None:
        raise RuntimeError("nothing was scored")
    return float(row[0])
