"""Journey: receivers that refuse, hang, break and vanish lose no message, and operators are told another way."""

import threading
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.alerts import deliver, jobs
from services.alerts.channel import ChannelConfig
from services.alerts.jobs import handlers, sending_of
from services.alerts.store import notices
from services.alerts.store.endpoints import Use
from shared.db import Database
from shared.drainer import Drainer
from shared.metrics import Metrics
from shared.settings import Settings
from tests import http_receiver, mail_sink
from tests.alert_rows import (
    NOW,
    a_customer,
    a_signal,
    an_endpoint,
    an_order,
    decide_task,
    drain,
    due_now,
    rows,
    settings,
    urgent_alerts,
    value,
)


def endpoint(database: Database, url: str, **use: Any) -> None:
    """An endpoint for webhooks."""
    with database.transaction() as connection:
        an_endpoint(connection, url, use=Use(**use))


def both(sink: mail_sink.Sink, receiver: http_receiver.Receiver, **given: object) -> Settings:
    """Settings that reach both, with Olga to be told of failures."""
    values = {"loopback_origins": receiver.url.removesuffix("/hook"), "operators": "olga@example.com"} | given
    return settings(smtp_url=sink.url, **values)


def later(database: Database) -> None:
    """Let the waits of retries and breakers pass."""
    rows(database, "UPDATE endpoint_health SET open_until = now() - interval '1 s' RETURNING 1")
    due_now(database)


config_of = jobs.config_of


def deliver_quickly(given: Settings) -> ChannelConfig:
    """What channels need, with a short deadline."""
    return replace(config_of(given), deadline_seconds=0.5)


def watch(database: Database, told: Settings) -> None:
    """Look for endpoints that fail, as a worker does now and then, and send what there is to tell."""
    with database.transaction() as connection:
        notices.watch(connection, sending_of(told))
    drain(database, told)


def states(database: Database) -> list[tuple[str, int]]:
    """How many alerts' deliveries are in which state."""
    query = "SELECT state, count(*) FROM delivery WHERE operator_notice IS NULL GROUP BY state ORDER BY state"
    return [tuple(row) for row in rows(database, query)]


def test_a_relay_that_refuses_every_text_loses_no_mail_and_operators_hear_of_it_by_webhook(
    database: Database, sink: mail_sink.Sink, receiver: http_receiver.Receiver
) -> None:
    urgent_alerts(database, 25)
    told = both(sink, receiver, budget_per_rep=100)
    endpoint(database, receiver.url, is_for_operators=True)
    sink.data_answers = ["554 transaction failed"] * 60

    drain(database, told)
    later(database)
    drain(database, told)

    assert states(database) == [("ready", 25)]
    (notice,) = receiver.requests
    assert b"554 transaction failed" in notice.body
    assert (
        value(database, "SELECT count(*) FROM attempt WHERE outcome = 'refused'") < 35
    )  # the breaker is open
    sink.data_answers.clear()
    later(database)
    drain(database, told)
    drain(database, told)

    assert states(database) == [("sent", 25)]
    assert len({mail["Message-ID"] for mail in sink.mails}) == len(sink.mails) == 25
    assert value(database, "SELECT count(*) FROM endpoint_health") == 0


def test_one_refusal_after_other_failures_gives_nothing_up(
    database: Database, sink: mail_sink.Sink, receiver: http_receiver.Receiver
) -> None:
    urgent_alerts(database, 1, email=None)
    endpoint(database, receiver.url)
    receiver.answers = [*[(503, {})] * 4, (404, {}), (204, {})]
    told = both(sink, receiver)

    for _ in range(6):
        drain(database, told)
        later(database)

    assert states(database) == [("sent", 1)]
    (mail,) = sink.mails
    assert mail["To"] == "olga@example.com"
    assert str(mail["Subject"]).startswith("Tipoff: webhook ")
    assert str(mail["Subject"]).endswith(" refuses a message")


def test_an_address_that_does_not_exist_is_suppressed_and_its_later_mails_are_given_up_at_once(
    database: Database, sink: mail_sink.Sink, receiver: http_receiver.Receiver
) -> None:
    urgent_alerts(database, 2)
    endpoint(database, receiver.url, is_for_operators=True)
    sink.rcpt_answers = ["550 5.1.1 no such user"] * 2
    told = both(sink, receiver, budget_per_rep=100)

    drain(database, told)
    with database.transaction() as connection:
        customer = a_customer(connection, value(database, "SELECT min(id) FROM rep"), "Another")
        order = an_order(connection, customer, "INV-9")
        a_signal(connection, customer, order, urgent=True, selling=False)
        decide_task(connection, order)
    drain(database, told)

    assert states(database) == [("dead", 3)]
    assert value(database, "SELECT address FROM suppressed_address") == "ruth@example.com"
    assert len(rows(database, "SELECT 1 FROM attempt WHERE outcome = 'rejected'")) == 2
    assert len(receiver.requests) == 1  # one notice within the hour, not three


def test_a_relay_that_is_slower_than_a_lease_gets_one_mail(
    database: Database, sink: mail_sink.Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (deliver, jobs):
        monkeypatch.setattr(module, "LEASE", timedelta(seconds=1))
    urgent_alerts(database, 1)
    sink.seconds = 4.0
    told = settings(smtp_url=sink.url)
    metrics = Metrics("alerts", "test")
    drainer = Drainer(database, handlers(database, told, lambda: NOW, metrics, lambda _: None), metrics.count)
    is_over = threading.Event()

    def keep_leases() -> None:
        while not is_over.wait(0.2):
            drainer.renew_leases()

    threading.Thread(target=keep_leases).start()
    until = time.monotonic() + 20
    while time.monotonic() < until and states(database) != [("sent", 1)]:
        drainer.drain(0.5)
        time.sleep(0.1)
    is_over.set()

    assert states(database) == [("sent", 1)]
    assert len(sink.mails) == 1
    assert rows(database, "SELECT n, outcome FROM attempt") == [(1, "sent")]


def test_what_may_have_arrived_is_held_where_an_endpoint_asks_for_it(
    database: Database,
    sink: mail_sink.Sink,
    receiver: http_receiver.Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    urgent_alerts(database, 1, email=None)
    endpoint(database, receiver.url, on_unknown="hold")
    told = both(sink, receiver)
    monkeypatch.setattr(jobs, "config_of", deliver_quickly)
    receiver.delay_seconds = 3.0

    drain(database, told)

    assert states(database) == [("held", 1)]
    assert len(receiver.requests) == 1
    (mail,) = sink.mails
    assert str(mail["Subject"]).endswith(" is held: it may have arrived, and nobody knows")


def test_an_endpoint_that_fails_is_told_of_after_an_hour_and_a_day_and_switched_off_after_five(
    database: Database, sink: mail_sink.Sink, receiver: http_receiver.Receiver
) -> None:
    urgent_alerts(database, 1, email=None)
    endpoint(database, "http://127.0.0.1:1/hook")
    rows(database, "UPDATE endpoint SET name = 'CRM' RETURNING 1")
    told = both(sink, receiver, loopback_origins="http://127.0.0.1:1")
    drain(database, told)
    subjects = []

    for hours in (0.5, 2, 3, 25, 26, 121, 122):
        since = f"failing_since = now() - interval '{hours} hours', failures = 30"
        rows(database, f"UPDATE endpoint_health SET {since} RETURNING 1")
        watch(database, told)
        subjects += [(hours, mail["Subject"]) for mail in sink.mails]
        sink.mails.clear()

    assert subjects == [
        (2, "Tipoff: CRM has failed for 1 h; 1 message waits"),
        (25, "Tipoff: CRM has failed for 24 h; 1 message waits"),
        (121, "Tipoff: CRM was switched off after five days; 1 message waits"),
    ]
    assert value(database, "SELECT state FROM endpoint") == "off"


def test_all_workers_share_a_breaker(
    database: Database, sink: mail_sink.Sink, receiver: http_receiver.Receiver
) -> None:
    urgent_alerts(database, 3, email=None)
    endpoint(database, "http://127.0.0.1:1/hook")
    told = both(sink, receiver, loopback_origins="http://127.0.0.1:1", budget_per_rep=100)

    drain(database, told)
    due_now(database)
    drain(database, told)  # a worker of its own, which has not seen the failure

    assert value(database, "SELECT count(*) FROM attempt") == 1
    assert states(database) == [("ready", 3)]


@pytest.mark.parametrize(
    ("recipients", "is_allowed"),
    [("ann@example.com", False), ("@crm.example.com", True), ("@example.com", False), ("*", True)],
)
def test_the_list_of_recipients_is_asked_about_endpoints_by_their_host(
    recipients: str, *, is_allowed: bool
) -> None:
    sending = sending_of(settings(recipients=recipients, loopback_origins="http://127.0.0.1:9000"))

    assert sending.allows_endpoint("https://crm.example.com/tipoff") is is_allowed
    assert sending.allows_endpoint("http://127.0.0.1:9000/hook")


def test_nothing_is_sent_to_an_endpoint_off_the_list(
    database: Database, receiver: http_receiver.Receiver
) -> None:
    urgent_alerts(database, 1, email=None)
    endpoint(database, "https://crm.example.com/hook")

    drain(database, settings(recipients="ann@example.com"))

    assert rows(database, "SELECT state FROM delivery") == [("not_allowed",)]
    assert rows(database, "SELECT 1 FROM attempt") == []
