"""Journey: an operator sees what waits and what ended unsent, sends it again, and takes addresses off the list."""

import re

import click
from click.testing import CliRunner

from services.alerts.commands import commands as alerts_commands
from services.alerts.delivery_commands import commands
from shared.db import Database
from tests import http_receiver, mail_sink
from tests.alert_rows import Asked, an_endpoint, drain, rows, settings, urgent_alerts, value


def run(database: Database, *words: str, fails: bool = False) -> str:
    """Run a command and return what it says."""
    known: dict[str | None, click.Command] = {each.name: each for each in (*commands, *alerts_commands)}
    told = settings(loopback_origins="http://127.0.0.1:1")
    result = CliRunner().invoke(known[words[0]], words[1:], obj=Asked(told, database))
    assert (result.exit_code != 0) == fails, result.output
    return result.output


def test_what_was_given_up_is_listed_with_its_reason_and_sent_again(
    database: Database, sink: mail_sink.Sink
) -> None:
    urgent_alerts(database, 2)
    told = settings(smtp_url=sink.url, budget_per_rep=100)
    sink.rcpt_answers = ["550 5.1.1 no such user"] * 2
    drain(database, told)

    listed = run(database, "deliveries", "list")
    (first, second) = listed.splitlines()
    assert re.match(
        r"[0-9a-f-]{36}  .* UTC  email to ruth@example.com  Customer \d  dead, 1 try: the mail", first
    )
    shown = run(database, "deliveries", "show", second.split()[0])
    assert "1. " in shown
    assert "rejected: the mail server answered 550 5.1.1 no such user" in shown

    assert "ruth@example.com" in run(database, "suppressions", "list")
    run(database, "suppressions", "remove", "Ruth@example.com")
    assert run(database, "suppressions", "remove", "ruth@example.com", fails=True).startswith("Error: ruth@")
    assert run(database, "deliveries", "resend", "--cause", "NO SUCH user") == "sent again: 2 deliveries\n"
    drain(database, told)

    assert len(sink.mails) == 2
    assert rows(database, "SELECT DISTINCT state FROM delivery") == [("sent",)]
    assert run(database, "deliveries", "list") == ""
    assert value(database, "SELECT object FROM audit WHERE action = 'resend deliveries'") == "2 deliveries"


def test_resending_three_times_at_once_sends_once(database: Database, sink: mail_sink.Sink) -> None:
    urgent_alerts(database, 1)
    told = settings(smtp_url=sink.url)
    sink.rcpt_answers = ["550 5.1.1 no such user"]
    drain(database, told)
    rows(database, "DELETE FROM suppressed_address RETURNING 1")
    (line,) = run(database, "deliveries", "list", "--state", "dead").splitlines()

    for _ in range(3):
        run(database, "deliveries", "resend", line.split()[0])
    drain(database, told)

    assert len(sink.mails) == 1
    assert rows(database, "SELECT n, outcome FROM attempt ORDER BY n") == [(1, "rejected"), (2, "sent")]


def test_what_was_withdrawn_is_not_sent_again(database: Database, sink: mail_sink.Sink) -> None:
    urgent_alerts(database, 1)
    drain(database, settings(smtp_url=sink.url))
    (delivery,) = rows(database, "UPDATE delivery SET state = 'withdrawn' RETURNING id")

    assert run(database, "deliveries", "resend", str(delivery.id)) == "sent again: 0 deliveries\n"
    assert run(database, "deliveries", "resend", "--state", "withdrawn") == "sent again: 0 deliveries\n"


def test_what_was_sent_and_dealt_with_stays_sent(database: Database, sink: mail_sink.Sink) -> None:
    urgent_alerts(database, 1)
    drain(database, settings(smtp_url=sink.url))
    rows(database, "UPDATE alert SET state = 'done' RETURNING 1")
    delivery = value(database, "SELECT id FROM delivery")

    assert run(database, "deliveries", "resend", str(delivery)) == "sent again: 0 deliveries\n"
    assert rows(database, "SELECT state, sent_at IS NULL FROM delivery") == [("sent", False)]


def test_what_nobody_needs_is_discarded_and_no_longer_counted(
    database: Database, sink: mail_sink.Sink
) -> None:
    urgent_alerts(database, 1)
    sink.rcpt_answers = ["550 5.1.1 no such user"]
    drain(database, settings(smtp_url=sink.url))

    assert run(database, "deliveries", "discard", "--channel", "email") == "discarded: 1 delivery\n"
    assert run(database, "deliveries", "list") == ""
    assert "name deliveries, or say which" in run(database, "deliveries", "discard", fails=True)
    assert "no delivery" in run(
        database, "deliveries", "show", "00000000-0000-0000-0000-000000000000", fails=True
    )


def test_an_endpoint_that_is_on_again_gets_what_it_missed(database: Database) -> None:
    with http_receiver.running() as receiver:
        urgent_alerts(database, 2, email=None)
        with database.transaction() as connection:
            an_endpoint(connection, receiver.url)
        told = settings(loopback_origins=receiver.url.removesuffix("/hook"), budget_per_rep=100)
        receiver.answers = [(410, {})] * 2
        drain(database, told)
        assert dict(rows(database, "SELECT state, count(*) FROM delivery GROUP BY state")) == {"dead": 2}

        with database.transaction() as connection:
            an_endpoint(connection, receiver.url)
        drain(database, told)

        assert dict(rows(database, "SELECT state, count(*) FROM delivery GROUP BY state")) == {"sent": 2}
