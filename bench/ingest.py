"""One webhook of ten lines, verified and committed, beside a bare Flask route doing one INSERT."""

import statistics
import sys

import psycopg

from bench.figures import Figure
from bench.hammer import Answers, hammer, request
from bench.orders import made_orders, webhook
from bench.system import THREADS, System, free_port, service, wait_for
from deploy.supervisor import Part

ROUNDS = 9
PER_ROUND = 1000
CONNECTIONS = 8


def measure(system: System) -> Figure:
    """Requests a second in turns, bare and real, on the same server with the same settings."""
    ours, bare = ("127.0.0.1", free_port()), ("127.0.0.1", free_port())
    with psycopg.connect(system.libpq_url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS bare_event (id bigserial PRIMARY KEY, body bytea NOT NULL)"
        )
    peer = Part("bare", [sys.executable, "-m", "bench.bare_server", f"127.0.0.1:{bare[1]}", str(THREADS)])
    with system.running(service("ingest", ours[1]), peer, settings={"BARE_DATABASE_URL": system.libpq_url}):
        wait_for(f"http://127.0.0.1:{ours[1]}/healthz")
        wait_for(f"http://127.0.0.1:{bare[1]}/healthz")
        pairs = []
        for number in range(ROUNDS + 1):
            orders = list(made_orders(system.folder / "sample", PER_ROUND, prefix=f"ingest-{number}"))
            signed = [webhook(order, ours, system.secret) for order in orders]
            headers = {"Content-Type": "application/json"}
            plain = [request("/orders", bare, headers, each.partition(b"\r\n\r\n")[2]) for each in signed]
            pairs.append((hammer(bare, plain, CONNECTIONS), hammer(ours, signed, CONNECTIONS)))
    return _figure(pairs[1:])


def _figure(pairs: list[tuple[Answers, Answers]]) -> Figure:
    for _, real in pairs:
        if real.statuses != {202: PER_ROUND}:
            raise RuntimeError(f"ingest did not accept everything: {dict(real.statuses)}")
    ratio = statistics.median(real.per_second / bare.per_second for bare, real in pairs)
    mine = statistics.median(real.per_second for _, real in pairs)
    theirs = statistics.median(bare.per_second for bare, _ in pairs)
    return Figure(
        "one webhook of ten lines, verified and committed",
        f"{mine:.0f} requests/s",
        f"bare Flask route, one INSERT: {theirs:.0f} requests/s",
        ratio,
        "at least 0.7",
        ratio >= 0.7,
    )
