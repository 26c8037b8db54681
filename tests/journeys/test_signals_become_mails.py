"""Journey: signals that scoring left become mails in a real mail server, with every decision on record."""

from shared.db import Database
from tests import alert_rows, mail_sink
from tests.alert_rows import a_customer, a_rep, a_signal, an_order, decide_task, drain, rows, settings, value


def one_order(database: Database, **signal: object) -> tuple[int, int]:
    """A customer of Ruth with one order and one signal, waiting for its verdict."""
    with database.transaction() as connection:
        customer = a_customer(connection, a_rep(connection))
        order = an_order(connection, customer, "INV-1")
        a_signal(connection, customer, order, **signal)
        decide_task(connection, order)
    return customer, order


def test_a_signal_becomes_one_mail_and_is_on_record(database: Database, sink: mail_sink.Sink) -> None:
    one_order(database)

    drain(database, settings(smtp_url=sink.url))

    (mail,) = sink.mails
    assert mail["Subject"] == "Acme: Buys drills, never drill bits"
    assert mail["To"] == "ruth@example.com"
    (delivery,) = rows(database, "SELECT id, state FROM delivery")
    assert mail["Message-ID"] == f"<{delivery.id}@localhost.localdomain>"
    assert delivery.state == "sent"
    assert rows(database, "SELECT n, outcome FROM attempt") == [(1, "sent")]
    assert rows(database, "SELECT verdict, reason, rank FROM decision") == [("notify", "first_time", 1)]
    assert value(database, "SELECT count(*) FROM task WHERE state <> 'done'") == 0


def test_shadow_mode_decides_and_shows_but_sends_nothing(database: Database, sink: mail_sink.Sink) -> None:
    one_order(database)

    drain(database, settings(smtp_url=sink.url, sending="shadow"))

    assert sink.mails == []
    assert rows(database, "SELECT verdict, reason FROM alert") == [("inbox_only", "shadow_mode")]
    assert rows(database, "SELECT state FROM delivery") == [("shadow",)]


def test_an_address_off_the_list_is_recorded_and_not_mailed(database: Database, sink: mail_sink.Sink) -> None:
    one_order(database)

    drain(database, settings(smtp_url=sink.url, recipients="@elsewhere.com"))

    assert sink.mails == []
    assert rows(database, "SELECT state FROM delivery") == [("not_allowed",)]


def test_a_relay_that_is_busy_is_asked_again_with_the_same_id(
    database: Database, sink: mail_sink.Sink
) -> None:
    one_order(database)
    sink.data_answers = ["451 busy"]

    drain(database, settings(smtp_url=sink.url))
    assert sink.mails == []
    alert_rows.due_now(database)
    drain(database, settings(smtp_url=sink.url))

    assert len(sink.mails) == 1
    assert rows(database, "SELECT n, outcome FROM attempt ORDER BY n") == [(1, "unavailable"), (2, "sent")]


def test_nobody_owns_the_customer_so_the_default_owner_is_told_so(
    database: Database, sink: mail_sink.Sink
) -> None:
    with database.transaction() as connection:
        a_rep(connection, "Dora", default=True)
        customer = a_customer(connection, None)
        order = an_order(connection, customer, "INV-1")
        a_signal(connection, customer, order)
        decide_task(connection, order)

    drain(database, settings(smtp_url=sink.url))

    (mail,) = sink.mails
    assert mail["To"] == "dora@example.com"
    body = mail.get_body(("plain",))
    assert body is not None
    assert "Nobody owns this customer" in body.get_content()


def test_the_one_switch_parks_deliveries_without_spending_attempts(
    database: Database, sink: mail_sink.Sink
) -> None:
    one_order(database)
    rows(
        database,
        "INSERT INTO control (name, value, changed_by) VALUES ('sending_paused', 'true', 't') RETURNING 1",
    )

    drain(database, settings(smtp_url=sink.url))
    assert rows(database, "SELECT state, attempts FROM task WHERE kind = 'deliver'") == [("ready", 0)]
    rows(database, "UPDATE control SET value = 'false' RETURNING 1")
    alert_rows.due_now(database)
    drain(database, settings(smtp_url=sink.url))

    assert len(sink.mails) == 1
