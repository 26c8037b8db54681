"""Journey: an operator stops sending, keeps endpoints, and asks for the whole way of an order."""

from uuid import UUID

import click
import pytest
from click.testing import CliRunner

from services.alerts.commands import commands
from services.alerts.endpoint_commands import commands as endpoint_commands
from services.explain import command as explain_command
from services.explain import explain
from shared.db import Database
from tests import mail_sink
from tests.alert_rows import (
    Asked,
    a_customer,
    a_rep,
    a_signal,
    an_order,
    decide_task,
    drain,
    rows,
    settings,
    value,
)


def run(database: Database, *words: str) -> str:
    """Run a command and return what it says."""
    known: dict[str | None, click.Command] = {
        each.name: each for each in (*commands, *endpoint_commands, explain_command)
    }
    told = settings(loopback_origins="http://127.0.0.1:9000")
    result = CliRunner().invoke(known[words[0]], words[1:], obj=Asked(told, database))
    return result.output


def test_sending_is_stopped_and_started_by_one_switch(database: Database) -> None:
    assert "sending is paused" in run(database, "sending", "pause")
    assert "sending: paused" in run(database, "sending", "status")
    assert "sending is resumed" in run(database, "sending", "resume")
    assert "sending: on" in run(database, "sending", "status")
    assert [row.action for row in rows(database, "SELECT action FROM audit ORDER BY id")] == [
        "pause sending",
        "resume sending",
    ]


def test_what_waited_for_the_switch_goes_at_once(database: Database) -> None:
    with mail_sink.running() as sink:
        told = settings(smtp_url=sink.url)
        with database.transaction() as connection:
            customer = a_customer(connection, a_rep(connection))
            order = an_order(connection, customer, "INV-1")
            a_signal(connection, customer, order)
            decide_task(connection, order)
        run(database, "sending", "pause")
        drain(database, told)
        assert sink.mails == []

        assert "1 deliveries waited" in run(database, "sending", "resume")
        drain(database, told)

        assert len(sink.mails) == 1


def test_an_endpoint_is_added_rotated_and_removed(database: Database) -> None:
    url = "http://127.0.0.1:9000/hook"

    first = run(database, "endpoints", "add", url)
    second = run(database, "endpoints", "rotate", url)
    removed = run(database, "endpoints", "remove", url)

    assert first.startswith("whsec_")
    assert second.startswith("whsec_")
    assert first != second
    assert "switched off" in removed
    assert "off (removed by an operator)" in run(database, "endpoints", "list")
    assert run(database, "endpoints", "add", url) == second
    assert "for every rep  on" in run(database, "endpoints", "list")


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1/hook", "https://localhost/", "ftp://a.example/", "nonsense"]
)
def test_an_endpoint_that_may_not_be_called_is_refused(database: Database, url: str) -> None:
    assert "cannot be called" in run(database, "endpoints", "add", url)
    assert value(database, "SELECT count(*) FROM endpoint") == 0


def test_the_whole_way_of_an_order_is_told_by_any_of_its_ids(database: Database) -> None:
    with mail_sink.running() as sink:
        with database.transaction() as connection:
            customer = a_customer(connection, a_rep(connection))
            order = an_order(connection, customer, "INV-1")
            a_signal(connection, customer, order)
            decide_task(connection, order)
        drain(database, settings(smtp_url=sink.url))
    ids = [
        "INV-1",
        str(order),
        *(
            str(value(database, query))
            for query in (
                "SELECT public_id FROM signal",
                "SELECT public_id FROM alert",
                "SELECT id FROM delivery",
            )
        ),
    ]

    with database.transaction() as connection:
        ways = [explain(connection, each) for each in ids]

    assert [each.what for each in ways[0]] == [
        "facts",
        "signal",
        "evidence",
        "replayed",
        "decision",
        "task",
        "alert",
        "delivery",
        "attempt",
    ]
    assert all(way == ways[0] for way in ways)
    assert "notify: first_time" in run(database, "explain", "INV-1")
    assert "nothing is known by" in run(database, "explain", str(UUID(int=1)))
    assert "notify: first_time  Acme: Buys drills" in run(database, "alerts", "list")
