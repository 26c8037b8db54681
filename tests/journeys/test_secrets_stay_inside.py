"""Journey: no secret of any channel shows in a log, a page, an answer, a metric, a command or a row, sent or not."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from socket import create_server
from uuid import UUID

import click
import pytest
from click.testing import CliRunner

from services.administration import commands as administration
from services.alerts.app import create_app
from services.alerts.channels.webhook import secret_of
from services.alerts.commands import commands as alert_commands
from services.alerts.delivery_commands import commands as delivery_commands
from services.alerts.endpoint_commands import commands as endpoint_commands
from services.alerts.jobs import config_of, installed_channels
from services.explain import command as explain_command
from shared import tokens
from shared.db import Database
from shared.logs import JsonLines, PlainLines
from shared.metrics import Metrics
from shared.settings import Settings
from tests import http_receiver, mail_sink
from tests.alert_rows import (
    NOW,
    Asked,
    a_customer,
    a_rep,
    a_signal,
    an_endpoint,
    an_order,
    decide_task,
    drain,
    due_now,
    rows,
    settings,
    value,
)

KEY = "a secret key of more than 32 letters"
PASSWORD, SIGNING_SECRET = "planted-mail-password", "planted-signing-secret"
TABLES = ("endpoint", "endpoint_health", "delivery", "delivery_item", "attempt", "audit", "task", "alert")


@dataclass(frozen=True)
class Installation:
    """Every channel, each with a secret planted in its address."""

    database: Database
    told: Settings
    receiver: http_receiver.Receiver
    token: str
    endpoints: dict[str, UUID]

    @property
    def secrets(self) -> list[str]:
        """What nobody may read."""
        derived = secret_of(KEY, address_of(self.receiver.url, "webhook"), 1)
        return [PASSWORD, SIGNING_SECRET, "planted-address", KEY, derived, self.token]


def address_of(url: str, channel: str) -> str:
    """The address of a channel's endpoint; it is a credential."""
    return f"{url}/planted-address-{channel}?sig=planted-address"


@pytest.fixture
def log() -> Iterator[StringIO]:
    """Everything that is logged meanwhile, in both forms."""
    stream = StringIO()
    root, level = logging.getLogger(), logging.getLogger().level
    handlers = [logging.StreamHandler(stream) for _ in range(2)]
    handlers[0].setFormatter(JsonLines("alerts"))
    handlers[1].setFormatter(PlainLines("alerts"))
    root.handlers += handlers
    root.setLevel(logging.DEBUG)
    yield stream
    root.handlers = [each for each in root.handlers if each not in handlers]
    root.setLevel(level)


@pytest.fixture
def installation(database: Database) -> Iterator[Installation]:
    """One urgent alert for a rep with a mail address, and an endpoint of each channel."""
    with http_receiver.running() as receiver, mail_sink.running() as sink:
        relay = sink.url.replace("smtp://", f"smtp://user:{PASSWORD}@")
        told = settings(
            smtp_url=relay,
            loopback_origins=receiver.url.removesuffix("/hook"),
            operators="olga@example.com",
        )
        token = tokens.new_token()
        with database.transaction() as connection:
            customer = a_customer(connection, a_rep(connection))
            for number in (1, 2):
                order = an_order(connection, customer, f"INV-{number}")
                a_signal(connection, customer, order, subject=f"product:{number}", urgent=True, selling=False)
                decide_task(connection, order)
            endpoints = {
                name: an_endpoint(
                    connection,
                    address_of(receiver.url, name),
                    name,
                    signing_secret=SIGNING_SECRET if channel.has_buttons else None,
                )
                for name, channel in installed_channels().items()
                if not channel.is_for_users
            }
        rows(
            database,
            "INSERT INTO api_token (digest, name, source, scopes) VALUES (:digest, 'till', 'standard',"
            " '{alerts:read}') RETURNING 1",
            digest=tokens.digest(token),
        )
        # A receiver that repeats our address in its answer, as error pages do.
        receiver.said = b"no hook at /hook/planted-address"
        yield Installation(database, told, receiver, token, endpoints)


def said_by_commands(installation: Installation) -> str:
    """What an operator can have printed."""
    groups = (*alert_commands, *endpoint_commands, *delivery_commands, *administration, explain_command)
    known: dict[str | None, click.Command] = {each.name: each for each in groups}
    delivery = str(value(installation.database, "SELECT id FROM delivery ORDER BY channel DESC LIMIT 1"))
    asked = [
        ["alerts", "list"],
        ["endpoints", "list"],
        *(["endpoints", "test", str(each)] for each in installation.endpoints.values()),
        ["deliveries", "list", *(f"--state={each}" for each in ("ready", "sent", "dead"))],
        ["deliveries", "show", delivery],
        ["explain", "INV-1"],
        ["sending", "status"],
        ["settings"],
        ["suppressions", "list"],
        ["token", "list"],
    ]
    runner = CliRunner()
    said = ""
    for name, *words in asked:
        result = runner.invoke(known[name], words, obj=Asked(installation.told, installation.database))
        said += result.output + repr(result.exception)
    return said


def said_by_the_service(installation: Installation) -> str:
    """Its pages, answers and metrics."""
    client = create_app(
        *(installation.told, installation.database, lambda _queue: None, lambda: NOW),
        Metrics("alerts", "test"),
        bind=("127.0.0.1", 8003),
    ).test_client()
    alert = value(installation.database, "SELECT public_id FROM alert LIMIT 1")
    paths = ["/", "/inbox", f"/inbox/{alert}", "/inbox/nothing", "/readyz", "/metrics", "/openapi.json"]
    bearer = {"Authorization": f"Bearer {installation.token}"}
    answers = [client.get(each, headers={"Host": "127.0.0.1:8003"}) for each in paths]
    answers += [client.get(each, headers=bearer) for each in ("/v1/alerts", f"/v1/alerts/{alert}")]
    assert [each.status_code for each in answers[:3] + answers[-2:]] == [200] * 5
    return "".join(f"{each.headers}{each.text}" for each in answers)


@pytest.mark.parametrize("status", [200, 302, 400, 401, 404, 410, 413, 429, 500, None])
def test_no_secret_shows(installation: Installation, log: StringIO, status: int | None) -> None:
    told = installation.told
    if status is None:  # nobody listens
        with create_server(("127.0.0.1", 0)) as closed:
            dead = f"http://127.0.0.1:{closed.getsockname()[1]}"
        told = settings(smtp_url=f"smtp://user:{PASSWORD}@127.0.0.1:1", loopback_origins=dead)
    else:
        installation.receiver.answers = [(status, {})] * 50

    drain(installation.database, told)
    due_now(installation.database)
    drain(installation.database, told)

    assert value(installation.database, "SELECT count(*) FROM attempt") >= 3
    shown = {
        "logs": log.getvalue(),
        "commands": said_by_commands(installation),
        "pages, answers and metrics": said_by_the_service(installation),
        "rows": str([rows(installation.database, f"SELECT * FROM {table}") for table in TABLES]),
        "values": f"{told!r}{config_of(told)!r}{installed_channels()!r}",
    }
    found = {(where, each) for where, text in shown.items() for each in installation.secrets if each in text}
    assert found == set()


def test_a_message_and_an_endpoint_can_be_printed(database: Database) -> None:
    from tests.contracts.test_channels import a_message

    assert "planted" not in repr(a_message(UUID(int=1), "https://example.com/planted"))
