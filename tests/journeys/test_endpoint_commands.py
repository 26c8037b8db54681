"""Journey: an operator adds endpoints by name, tries them, and changes the key; no address is shown anywhere."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from services.alerts.channels.webhook import secret_of
from services.alerts.endpoint_commands import endpoint_commands
from services.alerts.store import endpoints
from shared.db import Database
from shared.sealing import sealer_of
from tests import http_receiver
from tests.alert_rows import (
    Asked,
    a_customer,
    a_rep,
    a_signal,
    an_order,
    decide_task,
    drain,
    due_now,
    rows,
    settings,
    value,
)

OLD, NEW = "an old secret key of 32 letters..", "a new secret key of 32 letters..."


def run(
    database: Database, receiver: http_receiver.Receiver, *words: str, given: str = "", **told: object
) -> Result:
    """Run `tipoff endpoints` with these words."""
    known = settings(loopback_origins=receiver.url.removesuffix("/hook"), **told)
    return CliRunner().invoke(endpoint_commands, words, obj=Asked(known, database), input=given)


def an_alert(database: Database) -> None:
    with database.transaction() as connection:
        order = an_order(connection, customer := a_customer(connection, a_rep(connection)), "INV-1")
        a_signal(connection, customer, order)
        decide_task(connection, order)


def test_an_endpoint_is_known_by_its_name_and_its_address_is_never_shown(database: Database) -> None:
    with http_receiver.running() as receiver:
        added = run(
            database,
            receiver,
            *("add", "-", "--channel", "slack", "--name", "Sales Slack"),
            given=f"{receiver.url}\n",
        )
        listed = run(database, receiver, "list")
        again = run(database, receiver, "add", receiver.url, "--channel", "slack")
        removed = run(database, receiver, "remove", "Sales Slack")

    assert added.output.startswith("Sales Slack (")
    assert again.output == added.output
    assert "slack  Sales Slack  for every rep  on" in listed.output
    assert removed.output == "Sales Slack is switched off\n"
    stored = [rows(database, f"SELECT * FROM {table}") for table in ("endpoint", "audit")]
    assert receiver.url not in f"{stored}{listed.output}{added.output}"


def test_endpoints_without_a_name_are_named_by_channel_and_host(database: Database) -> None:
    with http_receiver.running() as receiver:
        run(database, receiver, "add", receiver.url)
        run(database, receiver, "add", f"{receiver.url}/2")

        listed = run(database, receiver, "list").output

    assert re.findall(r"webhook  (webhook [\d. ]+?)  for", listed) == [
        "webhook 127.0.0.1",
        "webhook 127.0.0.1 2",
    ]


@pytest.mark.parametrize("where", ["-", "file"])
def test_an_address_and_a_signing_secret_are_read_without_a_trace_in_the_history(
    database: Database, tmp_path: Path, where: str
) -> None:
    (tmp_path / "secret").write_text("signing\n")
    words = ["add", "-", "--channel", "slack", "--secret-from"]
    words.append("-" if where == "-" else str(tmp_path / "secret"))
    with http_receiver.running() as receiver:
        added = run(database, receiver, *words, given=f"{receiver.url}\nsigning\n")

    key = sealer_of(settings().secret_key.get_secret_value())
    with database.transaction() as connection:
        (endpoint,) = endpoints.all_endpoints(connection)
    assert added.exit_code == 0
    assert endpoints.signing_secret_of(endpoint, key) == "signing"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["--name", "https://x.example/secret"], "no address", id="an address as its name"),
        pytest.param(["--name", "taken"], "another endpoint is named 'taken'", id="a name that is taken"),
        pytest.param(
            ["--channel", "pigeon"], "there is no such channel", id="a channel that is not installed"
        ),
        pytest.param(["--rep", "nobody"], "there is no rep 'nobody'", id="a rep nobody knows"),
        pytest.param(["--secret-from", "-"], "webhook takes no signing secret", id="a secret for nothing"),
    ],
)
def test_it_is_refused(database: Database, words: list[str], said: str) -> None:
    with http_receiver.running() as receiver:
        run(database, receiver, "add", f"{receiver.url}/other", "--name", "taken")

        refused = run(database, receiver, "add", receiver.url, *words, given="s")

    assert refused.exit_code == 1
    assert said in refused.output
    assert receiver.url not in refused.output


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("https://contoso.webhook.office.com/webhookb2/x", "retired"),
        ("https://hooks.slack.com/workflows/x", "an incoming webhook of Slack begins with"),
        ("http://prod-1.westeurope.logic.azure.com/x", "only https on port 443"),
    ],
)
def test_the_channel_is_known_by_the_address_and_says_what_is_wrong(
    database: Database, address: str, said: str
) -> None:
    with http_receiver.running() as receiver:
        refused = run(database, receiver, "add", address)

    assert said in refused.output
    assert "hint" not in refused.output
    assert address not in refused.output


def test_a_test_message_is_sent_at_once_and_says_how_it_ended(database: Database) -> None:
    with http_receiver.running() as receiver:
        for channel in ("slack", "teams", "webhook"):
            run(database, receiver, "add", receiver.url, "--channel", channel, "--name", channel)

        for channel in ("slack", "teams", "webhook"):
            sent = run(database, receiver, "test", channel, sending="shadow")
            assert sent.output.startswith(f"{channel}: sent; answered status 204")
            assert sent.exit_code == 0
        receiver.answers = [(404, {}), (503, {})]
        gone = run(database, receiver, "test", "slack")
        away = run(database, receiver, "test", "teams")

    assert all(b"Test message from Tipoff" in each.body for each in receiver.requests)
    assert (gone.exit_code, away.exit_code) == (1, 1)
    assert "slack: Slack answered 404: it is gone" in gone.output
    assert value(database, "SELECT state FROM endpoint WHERE name = 'slack'") == "off"
    assert "hint: is the address still the right one?" in gone.output
    assert "hint: try again in a minute" in away.output
    assert value(database, "SELECT count(*) FROM delivery") == 0


def test_after_a_new_key_nothing_is_lost_and_receivers_can_verify_by_either(database: Database) -> None:
    with http_receiver.running() as receiver:
        origin = receiver.url.removesuffix("/hook")
        run(database, receiver, "add", receiver.url, secret_key=OLD)
        an_alert(database)

        drain(database, settings(loopback_origins=origin, secret_key=NEW))
        waits = value(database, "SELECT error FROM task WHERE kind = 'deliver' AND state = 'ready'")
        due_now(database)
        drain(database, settings(loopback_origins=origin, secret_key=NEW, previous_secret_key=OLD))
        rotated = run(database, receiver, "rotate-keys", secret_key=NEW, previous_secret_key=OLD)
        alone = run(database, receiver, "rotate", receiver.url, secret_key=NEW)

    (request,) = receiver.requests
    assert waits == "its endpoint's address was sealed under another TIPOFF_SECRET_KEY"
    assert len(request.headers["webhook-signature"].split()) == 2
    assert "1 endpoints were sealed anew" in rotated.output
    assert alone.output.strip() == secret_of(NEW, receiver.url, 2)


def test_without_the_key_before_nothing_is_sealed_anew(database: Database) -> None:
    with http_receiver.running() as receiver:
        run(database, receiver, "add", receiver.url, secret_key=OLD)

        refused = run(database, receiver, "rotate-keys", secret_key=NEW)

    assert refused.exit_code == 1
    assert "TIPOFF_PREVIOUS_SECRET_KEY" in refused.output
