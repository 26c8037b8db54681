"""Receivers that hang or drip hold up no other, and an outage of hours loses and doubles nothing."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from statistics import quantiles

import pytest
from sqlalchemy import text

from services.alerts import jobs
from services.alerts.jobs import handlers
from shared.db import DRAIN, Database
from shared.drainer import Drainer
from shared.metrics import Metrics
from tests import databases, http_receiver, mail_sink
from tests.alert_rows import (
    NOW,
    drain,
    rows,
    settings,
    urgent_alerts,
    value,
)
from tests.conftest import Servers

ALERTS, ENDPOINTS, ILL = 20, 50, 5
AT_THESE = "endpoint_id IN (SELECT id FROM endpoint WHERE address = ANY(:urls))"


def add_endpoints(database: Database, urls: list[str]) -> None:
    with database.transaction() as connection:
        for url in urls:
            connection.execute(
                text("INSERT INTO endpoint (channel, address) VALUES ('webhook', :url)"), {"url": url}
            )


def seconds_to_healthy_ones(database: Database, healthy: list[str], ill: list[str]) -> float:
    """The 95th percentile of the time from the start until a delivery to a healthy endpoint is recorded as sent."""
    origins = " ".join({url.rpartition("/")[0] for url in (*healthy, *ill)})
    told = settings(loopback_origins=origins)
    urgent_alerts(database, ALERTS, email=None)
    add_endpoints(database, [*healthy, *ill])
    metrics = Metrics("alerts", "test")
    drainer = Drainer(database, handlers(database, told, lambda: NOW, metrics, lambda _: None), metrics.count)
    query = f"SELECT count(*) FROM delivery WHERE state = 'sent' AND {AT_THESE}"
    began = value(database, "SELECT clock_timestamp()")
    until = time.monotonic() + 120
    while time.monotonic() < until and value(database, query, urls=healthy) < ALERTS * len(healthy):
        drainer.drain(1)
        time.sleep(0.05)
    assert value(database, query, urls=healthy) == ALERTS * len(healthy)
    while time.monotonic() < until and value(database, "SELECT count(*) FROM attempt WHERE outcome IS NULL"):
        time.sleep(0.2)
    sent = rows(
        database,
        f"SELECT extract(epoch FROM sent_at - :began)::float8 AS seconds FROM delivery WHERE {AT_THESE}",
        began=began,
        urls=healthy,
    )
    return float(quantiles([row.seconds for row in sent], n=20)[-1])


@contextmanager
def a_database(servers: Servers, name: str) -> Iterator[Database]:
    made = Database(databases.create(servers.database_url, name).url, DRAIN)
    yield made
    made.close()


def test_five_of_fifty_endpoints_that_hang_or_drip_cost_the_others_at_most_a_fifth(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    config_of = jobs.config_of
    monkeypatch.setattr(jobs, "config_of", lambda told: replace(config_of(told), deadline_seconds=5.0))
    with ExitStack() as stack:
        receivers = [stack.enter_context(http_receiver.running()) for _ in range(3)]
        well, hangs, drips = receivers
        hangs.delay_seconds, drips.drip_seconds = 60.0, 0.5
        healthy = [f"{well.url}/{number}" for number in range(ENDPOINTS - ILL)]
        ill = [f"{hangs.url}/{number}" for number in range(3)] + [
            f"{drips.url}/{number}" for number in range(2)
        ]
        alone = partial(seconds_to_healthy_ones, healthy=healthy, ill=[])
        beside = partial(seconds_to_healthy_ones, healthy=healthy, ill=ill)
        measured: dict[str, list[float]] = {"alone": [], "beside": []}
        for turn in range(3):
            for name, measure in (("alone", alone), ("beside", beside)):
                with a_database(servers, f"tipoff_receivers_{name}_{turn}") as database:
                    measured[name].append(measure(database))
    alone_p95, beside_p95 = (sorted(each)[1] for each in measured.values())
    print(
        f"p95 of {ALERTS * (ENDPOINTS - ILL)} deliveries: {alone_p95:.2f} s alone, {beside_p95:.2f} s beside the ill"
    )
    assert beside_p95 <= alone_p95 * 1.2 + 0.5


def test_mail_away_and_a_failing_webhook_for_hours_lose_and_double_nothing(database: Database) -> None:
    with ExitStack() as stack:
        sink = stack.enter_context(mail_sink.running())
        receiver = stack.enter_context(http_receiver.running())
        away = settings(
            smtp_url="smtp://127.0.0.1:9?starttls=never",
            loopback_origins=receiver.url.rpartition("/")[0],
            budget_per_rep=1000,
        )
        back = away.model_copy(update={"smtp_url": settings(smtp_url=sink.url).smtp_url})
        urgent_alerts(database, 60)
        add_endpoints(database, [receiver.url])
        receiver.answers = [(503, {})] * 10_000

        for _ in range(300):  # five hours, a minute a step
            a_minute_passes(database)
            drain(database, away, waits=False)
        attempts = value(database, "SELECT count(*) FROM attempt")
        receiver.answers.clear()
        asked = len(receiver.requests)
        for _ in range(3):
            a_minute_passes(database)
            drain(database, back)

    assert rows(database, "SELECT DISTINCT state FROM delivery") == [("sent",)]
    assert len({mail["Message-ID"] for mail in sink.mails}) == len(sink.mails) == 60
    assert len(receiver.requests) - asked == 60
    assert attempts < 1000, "a breaker asks once a minute, whatever waits"
    print(
        f"{attempts} attempts in five hours of both away; all 120 went within three minutes of their return"
    )


def a_minute_passes(database: Database) -> None:
    """For everything that waits by the database's clock."""
    rows(database, "UPDATE task SET run_at = run_at - interval '1 min' WHERE state = 'ready' RETURNING 1")
    rows(
        database,
        "UPDATE endpoint_health SET open_until = open_until - interval '1 min',"
        " failing_since = failing_since - interval '1 min' RETURNING 1",
    )
