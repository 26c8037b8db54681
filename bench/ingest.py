"""One webhook of ten lines, verified and committed, beside a bare Flask route doing one INSERT."""

import statistics
import sys

import psycopg

from bench import bare
from bench.figures import Figure, Goal
from bench.load_client import Answers, made_orders, post_all, request, webhook
from bench.system import THREADS, System, free_port, service, wait_for
from deploy.supervisor import Part

CONNECTIONS = 8


def measure(system: System, *, quick: bool) -> Figure:
    """Requests a second of both, in turns; the first pair of rounds only warms up."""
    rounds, per_round = (1, 200) if quick else (9, 1000)
    ours, peer = ("127.0.0.1", free_port()), ("127.0.0.1", free_port())
    with psycopg.connect(system.libpq_url, autocommit=True) as connection:
        connection.execute(bare.TABLE)
    pairs: list[tuple[Answers, Answers]] = []
    with system.running(service("ingest", ours[1]), _peer(system, peer[1])):
        wait_for(f"http://127.0.0.1:{ours[1]}/healthz")
        wait_for(f"http://127.0.0.1:{peer[1]}/")
        for number in range(rounds + 1):
            orders = made_orders(system.folder / "sample", per_round, prefix=f"ingest-{number}")
            signed = [webhook(order, ours, system.secret) for order in orders]
            headers = {"Content-Type": "application/json"}
            plain = [request("/orders", peer, headers, each.partition(b"\r\n\r\n")[2]) for each in signed]
            pairs.append((post_all(ours, signed, CONNECTIONS), post_all(peer, plain, CONNECTIONS)))
    for answers in (each for pair in pairs for each in pair):
        if answers.statuses != {202: per_round}:
            raise RuntimeError(f"not every order was accepted: {dict(answers.statuses)}")
    ratio = statistics.median(mine.per_second / theirs.per_second for mine, theirs in pairs[1:])
    return Figure(
        "one webhook of ten lines, verified, read and committed",
        f"{statistics.median(mine.per_second for mine, _ in pairs[1:]):.0f} requests/s",
        (
            Goal("at least 0.9 of the peer until the webhook is stored", ratio >= 0.9),
            Goal("at least 0.5 of the peer until it is read", ratio >= 0.5),
        ),
        f"bare Flask route, one INSERT: {statistics.median(their.per_second for _, their in pairs[1:]):.0f} requests/s",
        ratio,
    )


def _peer(system: System, port: int) -> Part:
    """The bare route as its users would serve it, whatever serves ours."""
    app = f"bench.bare:create_app({system.libpq_url!r})"
    options = [
        "--workers",
        "1",
        "--worker-class",
        "gthread",
        "--threads",
        str(THREADS),
        "--no-control-socket",
    ]
    return Part("peer", [sys.executable, "-m", "gunicorn", *options, "--bind", f"127.0.0.1:{port}", app])
