"""What was decided may change before it is sent: a stop, shadow mode, another list, an amendment, a dead receiver."""

import smtplib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import text

from services.alerts import jobs
from services.alerts.channel import Channel, ChannelConfig, OutboundMessage, Send, Unavailable
from services.alerts.store import endpoints
from shared import tasks
from shared.db import Database
from tests import mail_sink
from tests.alert_rows import (
    NOW,
    a_customer,
    a_rep,
    a_signal,
    an_order,
    decide_task,
    drain,
    due_now,
    rows,
    settings,
)


def draw_up(database: Database, number: int = 1) -> None:
    """Orders of as many customers of one rep, each with something to say."""
    with database.transaction() as connection:
        rep = a_rep(connection)
        for each in range(number):
            customer = a_customer(connection, rep, f"Customer {each}")
            order = an_order(connection, customer, f"INV-{each}")
            a_signal(connection, customer, order)
            decide_task(connection, order)


@pytest.mark.parametrize(
    ("told", "state"),
    [({"sending": "shadow"}, "shadow"), ({"recipients": "@elsewhere.example"}, "not_allowed")],
)
def test_what_waits_is_held_to_the_settings_of_today(
    database: Database, sink: mail_sink.Sink, told: dict[str, str], state: str
) -> None:
    draw_up(database)
    sink.data_answers = ["451 busy"]
    drain(database, settings(smtp_url=sink.url))
    due_now(database)
    drain(database, settings(smtp_url=sink.url, **told))
    assert sink.mails == []
    assert rows(database, "SELECT state FROM delivery") == [(state,)]


def test_a_pause_stops_the_batch_in_hand(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []

    @contextmanager
    def opened(_config: ChannelConfig) -> Iterator[Send]:
        def send(outbound: OutboundMessage) -> None:
            sent.append(outbound.recipient)
            with database.transaction() as connection:
                endpoints.set_paused(connection, paused=True)
            time.sleep(0.3)

        yield send

    channel = Channel("email", opened, lambda *_: None, is_for_users=True)
    monkeypatch.setattr(jobs, "installed_channels", lambda: {"email": channel})
    draw_up(database, 5)
    drain(database, settings())
    assert len(sent) == 1
    assert rows(database, "SELECT state, count(*) FROM delivery GROUP BY state ORDER BY state") == [
        ("ready", 4),
        ("sent", 1),
    ]
    assert rows(database, "SELECT count(*) FROM attempt") == [(1,)]
    assert (
        rows(database, "SELECT attempts, error FROM task WHERE kind = 'deliver' AND state = 'ready'")
        == [(0, "sending is paused")] * 4
    )


def test_a_relay_that_refuses_us_refuses_no_recipient(
    database: Database, sink: mail_sink.Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_up(database)
    with monkeypatch.context() as expired:
        expired.setattr(smtplib.SMTP, "mail", lambda *_, **__: (530, b"5.7.0 sign in"))
        drain(database, settings(smtp_url=sink.url))
    assert rows(database, "SELECT state FROM delivery") == [("ready",)]


def test_a_receiver_that_is_down_is_asked_once_a_minute_whatever_waits_for_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    @contextmanager
    def opened(_setup: ChannelConfig) -> Iterator[Send]:
        def send(outbound: OutboundMessage) -> None:
            asked.append(outbound.recipient)
            raise Unavailable("no connection", is_down=True)

        yield send

    monkeypatch.setattr(
        jobs, "installed_channels", lambda: {"webhook": Channel("webhook", opened, lambda *_: None)}
    )
    with database.transaction() as connection:
        customer = a_customer(connection, a_rep(connection, email=None))
        connection.execute(
            text("INSERT INTO endpoint (channel, address) VALUES ('webhook', 'https://dead.example')")
        )
        for number in range(50):
            order = an_order(connection, customer, f"INV-{number}")
            a_signal(connection, customer, order, subject=f"product:{number}", urgent=True, selling=False)
            decide_task(connection, order)
    drain(database, settings())
    assert asked == ["https://dead.example"]


def test_an_amendment_leaves_what_was_said_before(database: Database, sink: mail_sink.Sink) -> None:
    friday = NOW - timedelta(days=3)
    with database.transaction() as connection:
        customer = a_customer(connection, a_rep(connection))
        first = an_order(connection, customer, "1", at=friday)
        a_signal(connection, customer, first, value=100, as_of=friday)
        decide_task(connection, first)
    drain(database, settings(smtp_url=sink.url, business_time=friday))
    with database.transaction() as connection:
        second = an_order(connection, customer, "2")
        a_signal(connection, customer, second, value=200)
        decide_task(connection, second)
    sink.data_answers = ["451 busy"]
    drain(database, settings(smtp_url=sink.url))
    amend(database, second)
    with database.transaction() as connection:
        a_signal(connection, customer, second, value=100, version=2)
    drain(database, settings(smtp_url=sink.url))
    assert [row.reason for row in rows(database, "SELECT reason FROM decision ORDER BY signal_id")] == [
        "first_time",
        "much_more_money",
        "within_repeat_interval",
    ]
    assert len(sink.mails) == 1


@pytest.mark.parametrize("is_flapping", [False, True])
@pytest.mark.parametrize(("stake", "reason"), [(500, "within_repeat_interval"), (750, "much_more_money")])
def test_a_call_that_is_worth_more_about_the_same_money_is_no_news(
    database: Database, is_flapping: bool, stake: int, reason: str
) -> None:
    friday = NOW - timedelta(days=3)
    with database.transaction() as connection:
        customer = a_customer(connection, a_rep(connection))
        first = an_order(connection, customer, "1", at=friday)
        a_signal(connection, customer, first, value=100, stake=500, as_of=friday)
        decide_task(connection, first)
    drain(database, settings(business_time=friday))
    day = f"customer:{customer}:{NOW.date()}"
    for value in (200, 201):  # twice: what flapped is a new episode, which nobody has been told of
        with database.transaction() as connection:
            if is_flapping:
                connection.execute(
                    text("UPDATE episode SET closed_at = :at"), {"at": NOW - timedelta(days=1)}
                )
            order = an_order(connection, customer, str(value))
            signal = a_signal(connection, customer, order, value=value, stake=stake if value == 201 else 500)
            connection.execute(
                text(
                    "UPDATE signal SET order_id = NULL, order_version = NULL, occasion = :day WHERE id = :id"
                ),
                {"day": f"{day}-{value}", "id": signal},
            )
            tasks.put(connection, "alerts", "decide", [f"{day}-{value}"])
        drain(database, settings())
    assert [row.reason for row in rows(database, "SELECT reason FROM decision ORDER BY signal_id")] == [
        "first_time",
        "within_repeat_interval",
        reason,
    ]


@pytest.mark.parametrize("was_said", [True, False])
def test_what_is_urgent_and_new_is_said_though_the_order_was_dealt_with(
    database: Database, sink: mail_sink.Sink, was_said: bool
) -> None:
    with database.transaction() as connection:
        customer = a_customer(connection, a_rep(connection))
        order = an_order(connection, customer, "1")
        a_signal(connection, customer, order, value=100 if was_said else 1)
        decide_task(connection, order)
    drain(database, settings(smtp_url=sink.url))
    assert len(sink.mails) == was_said
    with database.transaction() as connection:
        connection.execute(text("UPDATE alert SET state = 'done'"))
    amend(database, order)
    with database.transaction() as connection:
        a_signal(connection, customer, order, value=500, version=2, kind="margin", urgent=True, selling=False)
    drain(database, settings(smtp_url=sink.url))
    assert len(sink.mails) == was_said + 1
    assert rows(database, "SELECT verdict, state FROM alert") == [("notify", "open")]


def amend(database: Database, order: int) -> None:
    """A newer version of the order comes in: what was found in the first is withdrawn."""
    with database.transaction() as connection:
        connection.execute(text("UPDATE sales_order SET version = 2 WHERE id = :order"), {"order": order})
        connection.execute(
            text("UPDATE signal SET withdrawn_at = now() WHERE order_id = :order"), {"order": order}
        )
        decide_task(connection, order, version=2)
