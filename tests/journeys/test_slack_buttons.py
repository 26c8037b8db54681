"""Journey: a rep presses a button in Slack; it is done as in the inbox, and nobody but Slack can press one."""

import hmac
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from flask.testing import FlaskClient

from services.alerts.app import create_app
from services.alerts.web.slack import NotBelieved, verify
from shared.db import Database
from shared.metrics import Metrics
from tests import http_receiver
from tests.alert_rows import (
    NOW,
    a_customer,
    a_rep,
    a_signal,
    an_endpoint,
    an_order,
    decide_task,
    drain,
    rows,
    settings,
    value,
)

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
VECTORS = Path(__file__).parents[3] / "shared" / "contracts" / "vectors.json"


@dataclass
class Slack:
    """A channel with one message, and the client that presses its buttons."""

    client: FlaskClient
    database: Database
    receiver: http_receiver.Receiver
    blocks: list[dict[str, Any]]

    def button(self, name: str) -> dict[str, Any]:
        """A button of the message."""
        (actions,) = [each for each in self.blocks if each["type"] == "actions"]
        (found,) = [each for each in actions["elements"] if each["action_id"] == name]
        return dict(found)

    def press(self, name: str, *, secret: str = SECRET, age: float = 0, **changed: str) -> int:
        """Press a button as Slack tells us of it; returns the status."""
        button = self.button(name) | changed
        told = {
            "type": "block_actions",
            "user": {"id": "U2CERLKJA", "username": "ruth"},
            "actions": [{"action_id": button["action_id"], "value": button["value"], "type": "button"}],
            "response_url": self.receiver.url,
        }
        body = urlencode({"payload": json.dumps(told)})
        sent_at = str(int(time.time() - age))
        digest = hmac.new(secret.encode(), f"v0:{sent_at}:{body}".encode(), sha256).hexdigest()
        headers = {"X-Slack-Request-Timestamp": sent_at, "X-Slack-Signature": f"v0={digest}"}
        form = "application/x-www-form-urlencoded"
        return self.client.post("/slack/actions", data=body, headers=headers, content_type=form).status_code

    def state(self) -> tuple[str, str | None]:
        """What the alert has come to, and why."""
        (row,) = rows(self.database, "SELECT state, close_reason FROM alert")
        return row.state, row.close_reason

    def told(self) -> str:
        """What is said in the channel next."""
        until = time.monotonic() + 5
        while len(self.receiver.requests) < 2 and time.monotonic() < until:
            time.sleep(0.02)
        return str(json.loads(self.receiver.requests[1].body)["text"])


@pytest.fixture
def slack(database: Database) -> Iterator[Slack]:
    """One alert, sent to a channel whose app has a signing secret."""
    with http_receiver.running() as receiver:
        told = settings(loopback_origins=receiver.url.removesuffix("/hook"))
        with database.transaction() as connection:
            customer = a_customer(connection, a_rep(connection, email=None))
            order = an_order(connection, customer, "INV-1")
            a_signal(connection, customer, order)
            decide_task(connection, order)
            an_endpoint(connection, receiver.url, "slack", signing_secret=SECRET)
        drain(database, told)
        (request,) = receiver.requests
        app = create_app(
            *(told, database, lambda _queue: None, lambda: NOW, Metrics("alerts", "test")),
            bind=("127.0.0.1", 8003),
        )
        yield Slack(app.test_client(), database, receiver, json.loads(request.body)["blocks"])


@pytest.mark.parametrize(
    ("button", "state", "told"),
    [
        ("called", "done", "Acme: called, says ruth."),
        ("later", "snoozed", "Acme: put off, says ruth. It comes back Tue 1 Mar, 07:00."),
        (
            "knew",
            "dismissed",
            "Acme: not useful, says ruth. You will hear of it again only when it happens anew.",
        ),
        (
            "wrong",
            "dismissed",
            "Acme: not useful, says ruth. Nothing of this kind about this customer until 29 May, ",
        ),
    ],
)
def test_a_button_does_what_the_inbox_does_and_the_channel_is_told(
    slack: Slack, button: str, state: str, told: str
) -> None:
    assert slack.press(button) == 200

    assert slack.state()[0] == state
    assert slack.told().startswith(told)
    assert value(slack.database, "SELECT by FROM feedback") == "Slack, ruth"


def test_a_second_press_changes_nothing(slack: Slack) -> None:
    assert (slack.press("called"), slack.press("called")) == (200, 200)

    assert value(slack.database, "SELECT count(*) FROM feedback") == 1


def test_opening_the_alert_calls_back_and_changes_nothing(slack: Slack) -> None:
    assert slack.press("open") == 200

    assert slack.state() == ("open", None)
    assert len(slack.receiver.requests) == 1


@pytest.mark.parametrize(
    "how",
    [
        pytest.param({"secret": "another secret"}, id="signed with another secret"),
        pytest.param({"age": 301}, id="too old"),
        pytest.param({"age": -310}, id="from the future"),
        pytest.param({"value": "forged"}, id="with a value we did not make"),
    ],
)
def test_nobody_else_presses_a_button(slack: Slack, how: dict[str, Any]) -> None:
    assert slack.press("called", **how) == 401

    assert slack.state() == ("open", None)
    assert value(slack.database, "SELECT count(*) FROM feedback") == 0


def test_a_channel_that_was_switched_off_presses_no_buttons(slack: Slack) -> None:
    rows(slack.database, "UPDATE endpoint SET state = 'off' RETURNING 1")

    assert slack.press("called") == 401
    assert slack.state() == ("open", None)


@pytest.mark.parametrize("body", [b"", b"payload=", b"payload={}", b"payload=%FF", b"x" * 300_000])
def test_what_is_no_button_is_refused(slack: Slack, body: bytes) -> None:
    answer = slack.client.post("/slack/actions", data=body, content_type="application/x-www-form-urlencoded")

    assert answer.status_code in (401, 413)


def test_nothing_is_told_anywhere_but_at_slack(slack: Slack) -> None:
    with http_receiver.running() as elsewhere:
        slack.receiver.url = elsewhere.url

        assert slack.press("called") == 200

        time.sleep(0.3)
        assert elsewhere.requests == []


@pytest.mark.needs_reference
@pytest.mark.skipif(not VECTORS.exists(), reason="no reference data beside the checkout")
def test_slacks_own_example_verifies() -> None:
    (vector,) = [each for each in json.loads(VECTORS.read_text())["vectors"] if each["id"] == "slack_request"]
    headers = {name.lower(): text for name, text in vector["headers"].items()}
    body, now = vector["body"].encode(), datetime.fromtimestamp(vector["now"], UTC)

    verify(headers, body, vector["secret"], now)
    with pytest.raises(NotBelieved):
        verify(headers, body + b"x", vector["secret"], now)
