"""From the webhook in to the webhook out, through the whole system: how long it takes, and how many a second."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from bench.figures import Figure, Goal
from bench.load_client import Address, Receiver, connect, made_orders, post, webhook
from bench.system import System, free_port, service, wait_for, worker

PER_SECOND = 30
PER_SECOND_DURING_FIT = 10
IN_FLIGHT = 200
"""Orders on their way at any time while the sustained rate is measured: enough for full batches."""

STUCK_SECONDS = 150
"""Longer than a breaker is open: what comes late is not taken for lost."""

Wait = Callable[[int, float, Receiver], None]
"""Returns when the n-th order may be posted; told when the first was, on the clock of `perf_counter`."""


@dataclass(frozen=True, slots=True)
class Run:
    """When each order was posted and when its alert arrived, in seconds since the first was posted."""

    posted: dict[str, float]
    arrived: dict[str, float]

    @property
    def took(self) -> list[float]:
        """Seconds from webhook to webhook, the shortest first."""
        return sorted(at - self.posted[order] for order, at in self.arrived.items())

    @property
    def p50(self) -> float:
        """The median of `took`."""
        return statistics.median(self.took)

    @property
    def p99(self) -> float:
        """What 99 of 100 orders took at most."""
        return self.took[max(0, round(len(self.took) * 0.99) - 1)]

    @property
    def per_second(self) -> tuple[float, float, float]:
        """Arrivals a second: over all, in the first third of the orders, and in the last."""
        times = sorted(self.arrived.values())
        third = len(times) // 3
        return len(times) / times[-1], third / times[third - 1], third / (times[-1] - times[-third - 1])

    @property
    def is_whole(self) -> bool:
        """Whether every order alerted."""
        return self.arrived.keys() == self.posted.keys()


def latency(system: System, *, quick: bool) -> Figure:
    """Post orders at an even pace, and wait for every alert."""
    rounds, count = (1, 60) if quick else (3, 450)

    def wait_for_its_time(number: int, began: float, _receiver: Receiver) -> None:
        time.sleep(max(0.0, began + number / PER_SECOND - time.perf_counter()))

    runs = _runs(system, "latency", range(0, rounds * count, count), wait_for_its_time)
    p50, p99 = statistics.median(run.p50 for run in runs), statistics.median(run.p99 for run in runs)
    return Figure(
        f"webhook in to webhook out at {PER_SECOND} orders/s",
        f"p50 {p50:.2f} s, p99 {p99:.2f} s",
        (
            Goal("p50 at most 0.1 s", p50 <= 0.1),
            Goal("p99 at most 0.5 s", p99 <= 0.5),
            Goal("every order alerted", all(run.is_whole for run in runs)),
        ),
    )


def during_fit(system: System, *, quick: bool) -> Figure:
    """Post orders below cost at an even pace while every model is fitted, again and again."""
    count = 60 if quick else 600
    put = (
        "INSERT INTO task (queue, kind, key) SELECT 'scoring', 'fit', 'bench ' || clock_timestamp()"
        " WHERE NOT EXISTS (SELECT FROM task WHERE kind = 'fit' AND state IN ('ready', 'leased'))"
    )
    with psycopg.connect(system.libpq_url, autocommit=True) as connection:
        fits = 0

        def wait_for_its_time(number: int, began: float, _receiver: Receiver) -> None:
            nonlocal fits
            fits += connection.execute(put).rowcount
            time.sleep(max(0.0, began + number / PER_SECOND_DURING_FIT - time.perf_counter()))

        (run,) = _runs(system, "during_fit", range(40_000, 40_000 + count, count), wait_for_its_time)
    slowest = run.took[-1]
    return Figure(
        f"an order below cost, webhook in to webhook out, {PER_SECOND_DURING_FIT} orders/s while models are fitted"
        f" ({fits} fits)",
        f"p50 {run.p50:.2f} s, p99 {run.p99:.2f} s, slowest {slowest:.2f} s",
        (Goal("every one within 5 s", run.is_whole and slowest <= 5),),
    )


def sustained(system: System, *, quick: bool) -> Figure:
    """Post orders as fast as alerts come out, so that every part of the system is busy at once."""

    def wait_for_alerts(number: int, _began: float, receiver: Receiver) -> None:
        while number - len(receiver.arrived) >= IN_FLIGHT and not receiver.is_stuck(STUCK_SECONDS):
            time.sleep(0.005)

    what = f"sustained, webhook in to webhook out, every order alerting, {IN_FLIGHT} on their way at any time"
    return _throughput(what, _runs(system, "sustained", _starts(10_000, quick=quick), wait_for_alerts))


def burst(system: System, *, quick: bool) -> Figure:
    """Post orders as fast as they are accepted, and let the backlog drain."""
    what = "a burst, webhook in to webhook out, every order alerting, posted as fast as accepted"
    return _throughput(what, _runs(system, "burst", _starts(20_000, quick=quick), lambda *_: None))


def _starts(first: int, *, quick: bool) -> range:
    """Where each round begins: no customer is alerted about a product twice, whatever parts of the bench run."""
    rounds, count = (1, 300) if quick else (3, 3000)
    return range(first, first + rounds * count, count)


def _throughput(what: str, runs: Sequence[Run]) -> Figure:
    """The median round, by its rate over all."""
    middle = sorted(runs, key=lambda run: run.per_second)[len(runs) // 2]
    rate, first, last = middle.per_second
    return Figure(
        what,
        f"{rate:.0f} orders/s over {len(middle.posted):,}; {first:.0f} in the first third, {last:.0f} in the last;"
        f" p50 {middle.p50:.2f} s, p99 {middle.p99:.2f} s",
        (
            Goal("at least 126 orders/s", rate >= 126),
            Goal("the last third no slower than nine tenths of the first", last >= 0.9 * first),
            Goal("every order alerted", all(run.is_whole for run in runs)),
        ),
    )


def _runs(system: System, prefix: str, starts: range, wait: Wait) -> list[Run]:
    """Run ingest, a worker of each queue and a receiver of every alert; post `starts.step` orders from each start."""
    address = ("127.0.0.1", free_port())
    with Receiver() as receiver:
        system.settings["TIPOFF_LOOPBACK_ORIGINS"] = receiver.origin
        system.tipoff("endpoints", "add", receiver.url)
        with system.running(service("ingest", address[1]), worker("scoring"), worker("alerts")):
            wait_for(f"http://127.0.0.1:{address[1]}/healthz")
            time.sleep(3)
            runs = []
            for start in starts:
                orders = made_orders(
                    system.folder / "sample", starts.step, prefix=prefix, start=start, below_cost=True
                )
                runs.append(_run(list(orders), address, system.secret, receiver, wait))
        system.tipoff("endpoints", "remove", receiver.url)
    return runs


def _run(
    orders: Sequence[dict[str, Any]], address: Address, secret: str, receiver: Receiver, wait: Wait
) -> Run:
    """Post orders, each when `wait` returns, until every alert has arrived or none has for so long that none will."""
    receiver.forget()
    posted: dict[str, float] = {}
    began = time.perf_counter()
    with connect(address) as connection:
        for number, order in enumerate(orders):
            ready = webhook(order, address, secret)
            wait(number, began, receiver)
            posted[order["id"]] = time.perf_counter() - began
            if (status := post(connection, ready)) != 202:
                raise RuntimeError(f"{order['id']} was answered {status}")
    while posted.keys() - receiver.arrived.keys() and not receiver.is_stuck(STUCK_SECONDS):
        time.sleep(0.05)
    if len(receiver.arrived) < 3:
        raise RuntimeError(f"{len(receiver.arrived)} of {len(orders)} alerts arrived")
    return Run(posted, {order: at - began for order, at in receiver.arrived.items() if order in posted})
