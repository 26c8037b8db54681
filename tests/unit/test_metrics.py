"""What the metrics say, and that saying it cannot fail or grow without bound."""

from collections import Counter

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy.exc import OperationalError

from shared.metrics import Backlog, Metrics, TaskCollector


def exposed(metrics: Metrics) -> dict[tuple[str, frozenset[str]], float]:
    """Every sample by name and label values."""
    text, _ = metrics.exposition()
    return {
        (sample.name, frozenset(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def a_backlog(**changes: object) -> Backlog:
    values = {"queue": "scoring", "kind": "score", "due": 3, "waiting": 1, "leased": 2, "dead": 1}
    return Backlog(**values | {"oldest_due_seconds": 7.5} | changes)  # type: ignore[arg-type]


def test_a_tally_is_counted_by_its_names() -> None:
    metrics = Metrics("scoring", "1.2.3")
    metrics.count(
        Counter(
            {
                ("signals", "margin"): 2,
                ("alerts", "margin", "too_weak"): 1,
                ("deliveries", "email", "sent"): 4,
                ("tasks", "score", "done"): 9,
                ("orders", "standard", "hook", "stored"): 5,
            }
        )
    )
    found = exposed(metrics)
    assert found["tipoff_signals_total", frozenset({"margin"})] == 2
    assert found["tipoff_alerts_total", frozenset({"margin", "too_weak"})] == 1
    assert found["tipoff_deliveries_total", frozenset({"email", "sent"})] == 4
    assert found["tipoff_tasks_finished_total", frozenset({"score", "done"})] == 9
    assert found["tipoff_orders_received_total", frozenset({"standard", "hook", "stored"})] == 5
    assert found["tipoff_build_info", frozenset({"scoring", "1.2.3"})] == 1


def test_two_services_in_one_process_do_not_share_figures() -> None:
    one, other = Metrics("a", "1"), Metrics("b", "1")
    one.signals.labels("margin").inc()
    assert ("tipoff_signals_total", frozenset({"margin"})) not in exposed(other)


def test_the_backlog_is_read_when_asked_for_and_at_most_once_a_second() -> None:
    metrics = Metrics("scoring", "1")
    reads: list[int] = []
    time = [0.0]

    def read() -> list[Backlog]:
        reads.append(1)
        return [a_backlog(), a_backlog(kind="fit", due=0, dead=0)]

    metrics.registry.register(TaskCollector(read, tick=lambda: time[0]))
    assert reads == []
    found = exposed(metrics)
    assert found["tipoff_tasks_due", frozenset({"scoring", "score"})] == 3
    assert found["tipoff_tasks_oldest_due_seconds", frozenset({"scoring", "score"})] == 7.5
    assert found["tipoff_tasks_dead", frozenset({"scoring", "fit"})] == 0
    assert found["tipoff_database_up", frozenset()] == 1
    exposed(metrics)
    assert len(reads) == 1
    time[0] = 1.1
    exposed(metrics)
    assert len(reads) == 2


@pytest.mark.parametrize(
    "error", [OperationalError("SELECT 1", {}, Exception("gone")), ConnectionError("gone")]
)
def test_a_database_that_is_away_is_a_figure_and_not_an_error(error: Exception) -> None:
    metrics = Metrics("scoring", "1")

    def read() -> list[Backlog]:
        raise error

    metrics.registry.register(TaskCollector(read))
    found = exposed(metrics)
    assert found["tipoff_database_up", frozenset()] == 0
    assert not [name for name, _ in found if name.startswith("tipoff_tasks_due")]


def test_a_busy_service_stays_within_a_thousand_series() -> None:
    metrics = Metrics("alerts", "1")
    kinds = [f"kind_{number}" for number in range(20)]
    for kind in kinds:
        metrics.signals.labels(kind).inc()
        for decision in (
            "sent",
            "too_weak",
            "within_repeat_interval",
            "over_budget",
            "shadow_mode",
            "holdout",
            "no_owner",
            "late",
        ):
            metrics.alerts.labels(kind, decision).inc()
    for route in range(20):
        for method, code in (("GET", "200"), ("GET", "404"), ("GET", "500"), ("POST", "422")):
            metrics.http_requests.labels(f"/r/{route}", method, code).inc()
        metrics.http_request_duration.labels(f"/r/{route}", "GET").observe(0.1)
    metrics.registry.register(TaskCollector(lambda: [a_backlog(kind=kind) for kind in kinds]))
    assert len(exposed(metrics)) < 1000
