"""Every metric of Tipoff; each process holds them in a registry of its own.

Label values come from code (kinds, channels, outcomes, route rules), never from data: no customer, product or
order is a label. What stands in the database is read from it when somebody asks, not kept in step by hand. Where
every webhook counts, labels are looked up once: Prometheus's look-up costs three times the counting.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from threading import Lock
from time import monotonic
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from sqlalchemy import text

from shared.db import DATABASE_ERRORS, Database
from shared.logs import output

log = logging.getLogger(__name__)

REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
ORDER_TO_ALERT_SECONDS = (0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 900, 1800, 3600, 7200)
CACHE_SECONDS = 1.0
SLOW_CACHE_SECONDS = 15.0

Figures = TypeVar("Figures")


class Metrics:
    """The metrics of one process."""

    def __init__(self, service: str, version: str) -> None:
        self.service = service
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.registry.register(LogCollector())
        build = self._gauge("tipoff_build_info", "What runs here; always 1.", ("service", "version"))
        build.labels(service, version).set(1)
        self.http_requests = self._counter(
            "http_requests_total", "Requests answered, by route rule.", ("route", "method", "code")
        )
        self.http_request_duration = self._histogram(
            "http_request_duration_seconds", "Time to answer.", ("route", "method"), REQUEST_SECONDS
        )
        self.orders_received = self._counter(
            "tipoff_orders_received_total",
            "Orders that came in, by what became of them.",
            ("source", "entry_point", "outcome"),
        )
        self.orders_flagged = self._counter(
            "tipoff_orders_flagged_total", "Orders taken in though their totals differ.", ("source",)
        )
        self.received = cache(self.orders_received.labels)
        self.signals = self._counter("tipoff_signals_total", "Signals found.", ("kind",))
        self.silenced = self._counter(
            "tipoff_kinds_silenced_total",
            "Nights on which a kind that finds absences was silent, as the feed of orders was stale.",
            ("kind",),
        )
        self.signals_dropped = self._counter(
            "tipoff_signals_dropped_total", "Findings not stored: they bring less than they cost.", ("kind",)
        )
        self.outcomes = self._counter(
            "tipoff_outcomes_total", "What was said and is over, judged by the orders that came.", ("kind",)
        )
        self.alerts = self._counter(
            "tipoff_alerts_total", "What was decided of signals.", ("kind", "decision")
        )
        self.deliveries = self._counter(
            "tipoff_deliveries_total", "Attempts to send.", ("channel", "outcome")
        )
        self.order_to_alert = self._histogram(
            "tipoff_order_to_alert_seconds",
            "From an order's receipt to its alert sent.",
            (),
            ORDER_TO_ALERT_SECONDS,
        )
        self.tasks_finished = self._counter(
            "tipoff_tasks_finished_total", "Tasks, by how they ended.", ("kind", "outcome")
        )
        self.model_fit = self._gauge(
            "tipoff_model_fit_timestamp_seconds", "When a model was last fitted; 0: never.", ("model",)
        )
        self.last_order = self._gauge(
            "tipoff_last_order_timestamp_seconds", "When a source last sent an order.", ("source",)
        )
        self.heard_from = cache(self.last_order.labels)

    def count(self, tally: Mapping[tuple[str, ...], int]) -> None:
        """Add what a batch did: ("signals", kind), ("dropped", kind), ("alerts", kind, decision) ..."""
        counters = {
            "signals": self.signals,
            "silenced": self.silenced,
            "dropped": self.signals_dropped,
            "outcomes": self.outcomes,
            "alerts": self.alerts,
            "deliveries": self.deliveries,
            "tasks": self.tasks_finished,
            "orders": self.orders_received,
        }
        for (name, *labels), number in tally.items():
            counters[name].labels(*labels).inc(number)

    def exposition(self) -> tuple[bytes, str]:
        """What Prometheus reads, and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    def _counter(self, name: str, meaning: str, labels: tuple[str, ...]) -> Counter:
        return Counter(name, meaning, labels, registry=self.registry)

    def _gauge(self, name: str, meaning: str, labels: tuple[str, ...]) -> Gauge:
        return Gauge(name, meaning, labels, registry=self.registry)

    def _histogram(
        self, name: str, meaning: str, labels: tuple[str, ...], buckets: tuple[float, ...]
    ) -> Histogram:
        return Histogram(name, meaning, labels, buckets=buckets, registry=self.registry)


class LogCollector(Collector):
    """Says how many log lines this process could not write."""

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield the count."""
        yield CounterMetricFamily(
            "tipoff_log_lines_lost_total",
            "Log lines that could not be written, as on a full disk.",
            value=output.lost,
        )


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits in one queue for one kind: counts, and the age in seconds of the oldest due task."""

    queue: str
    kind: str
    due: int
    waiting: int
    leased: int
    dead: int
    oldest_due_seconds: float


def backlog(database: Database) -> list[Backlog]:
    """Read the state of every queue; uses the partial indexes only, never the done tasks."""
    with database.autocommit() as connection:
        rows = connection.execute(
            text(
                "SELECT queue, kind, count(*) FILTER (WHERE state = 'ready' AND run_at <= now()) AS due,"
                " count(*) FILTER (WHERE state = 'ready' AND run_at > now()) AS waiting,"
                " count(*) FILTER (WHERE state = 'leased') AS leased, count(*) FILTER (WHERE state = 'dead') AS dead,"
                " coalesce(extract(epoch FROM now() - min(run_at) FILTER (WHERE state = 'ready' AND run_at <= now())),"
                " 0)::float8 AS oldest_due_seconds"
                " FROM task WHERE state IN ('ready', 'leased', 'dead') GROUP BY queue, kind ORDER BY queue, kind"
            )
        )
        return [Backlog(**row) for row in rows.mappings()]


class TaskCollector(Collector):
    """Reads the backlog when somebody scrapes, at most once a second. A database away is a figure, not an error."""

    def __init__(
        self, read: Callable[[], Iterable[Backlog]], *, tick: Callable[[], float] = monotonic
    ) -> None:
        self._read = _Remembered(lambda: list(read()), CACHE_SECONDS, tick)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauges."""
        backlog = self._read()
        up = GaugeMetricFamily("tipoff_database_up", "Whether the database answered this scrape.")
        up.add_metric([], 0 if backlog is None else 1)
        yield up
        for name, meaning, field in (
            ("tipoff_tasks_due", "Tasks whose time has come.", "due"),
            (
                "tipoff_tasks_oldest_due_seconds",
                "Age of the oldest task whose time has come.",
                "oldest_due_seconds",
            ),
            ("tipoff_tasks_leased", "Tasks a worker holds.", "leased"),
            ("tipoff_tasks_dead", "Tasks that were given up.", "dead"),
        ):
            family = GaugeMetricFamily(name, meaning, labels=("queue", "kind"))
            for each in backlog or ():
                family.add_metric([each.queue, each.kind], float(getattr(each, field)))
            yield family


class QuarantineCollector(Collector):
    """Reads how many messages of each source wait in quarantine when somebody scrapes."""

    def __init__(self, read: Callable[[], Mapping[str, int]]) -> None:
        self._read = _Remembered(read, SLOW_CACHE_SECONDS, monotonic)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauge; no figures while the database is away."""
        family = GaugeMetricFamily(
            "tipoff_events_quarantined", "Messages that wait in quarantine.", labels=("source",)
        )
        for source, number in (self._read() or {}).items():
            family.add_metric([source], number)
        yield family


@dataclass(frozen=True, slots=True)
class DeliveryBacklog:
    """What waits to be sent, by channel: counts, the age in seconds of the oldest, and what ended unsent by state."""

    waiting: Mapping[str, int]
    oldest_seconds: Mapping[str, float]
    unsent: Mapping[tuple[str, str], int]
    failing: Mapping[str, int]
    is_paused: bool


class DeliveryCollector(Collector):
    """Reads what waits to be sent, and what ended unsent, when somebody scrapes."""

    def __init__(self, read: Callable[[], DeliveryBacklog]) -> None:
        self._read = _Remembered(read, SLOW_CACHE_SECONDS, monotonic)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauges; no figures while the database is away."""
        backlog = self._read()
        families = [
            GaugeMetricFamily(name, meaning, labels=labels)
            for name, meaning, labels in (
                ("tipoff_deliveries_waiting", "Deliveries whose time has come.", ["channel"]),
                (
                    "tipoff_deliveries_oldest_waiting_seconds",
                    "For how long the oldest has waited.",
                    ["channel"],
                ),
                ("tipoff_deliveries_unsent", "Deliveries that ended unsent.", ["channel", "state"]),
                ("tipoff_endpoints_failing", "Endpoints that fail now.", ["channel"]),
            )
        ]
        paused = GaugeMetricFamily("tipoff_sending_paused", "Whether an operator has paused all sending.")
        if backlog is not None:
            waiting, oldest, unsent, failing = families
            for family, figures in ((waiting, backlog.waiting), (failing, backlog.failing)):
                for channel, number in figures.items():
                    family.add_metric([channel], number)
            for channel, seconds in backlog.oldest_seconds.items():
                oldest.add_metric([channel], seconds)
            for labels, number in backlog.unsent.items():
                unsent.add_metric(labels, number)
            paused.add_metric([], int(backlog.is_paused))
        yield from (*families, paused)


class _Remembered(Generic[Figures]):
    """Figures read from the database, kept for some seconds; None while it is away."""

    def __init__(self, read: Callable[[], Figures], seconds: float, tick: Callable[[], float]) -> None:
        self._read = read
        self._seconds = seconds
        self._tick = tick
        self._lock = Lock()
        self._known: Figures | None = None
        self._known_until = float("-inf")

    def __call__(self) -> Figures | None:
        with self._lock:
            if self._tick() >= self._known_until:
                try:
                    self._known = self._read()
                except (*DATABASE_ERRORS, OSError) as error:
                    log.warning("no figures from the database: %s", type(error).__name__)
                    self._known = None
                self._known_until = self._tick() + self._seconds
            return self._known
