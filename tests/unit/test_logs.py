"""What leaves the process in logs, and what must not."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from shared import logs
from shared.metrics import Metrics
from shared.signing import new_secret
from shared.tokens import new_token


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Give the root logger back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logs.access_log.__init__()  # type: ignore[misc]
    logs.output.__init__()  # type: ignore[misc]


def written(*, as_json: bool = True) -> io.StringIO:
    """Configure logging to a text that can be read."""
    stream = io.StringIO()
    logs.configure("ingest", json=as_json, stream=stream)
    return stream


def test_a_line_is_one_json_object_with_the_service_and_the_request() -> None:
    stream = written()
    logs.request_id.set("abcdefgh")
    logging.getLogger("x").info("order %s\nstored", 7, extra={"order_id": "o-1", "card": "4111"})
    logs.request_id.set(None)
    (line,) = stream.getvalue().splitlines()
    entry = json.loads(line)
    assert entry["event"] == "order 7\nstored"
    assert entry["service"] == "ingest"
    assert entry["request_id"] == "abcdefgh"
    assert entry["order_id"] == "o-1"
    assert "card" not in entry
    assert "4111" not in line


SECRET = new_secret()
TOKEN = new_token()


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        pytest.param(f"signed with {SECRET}", SECRET[10:], id="a webhook secret"),
        pytest.param("POST https://hooks.slack.com/services/T0/B0/xyz", "T0/B0/xyz", id="a Slack address"),
        pytest.param("https://a.logic.azure.com/w?sp=x&sig=xyz", "xyz", id="a Teams address"),
        pytest.param(
            "signed with whsec_+/+abcdefghijklmnopqrstuv",
            "abcdefghijkl",
            id="a secret that begins with signs",
        ),
        pytest.param(f"token {TOKEN} refused", TOKEN[8:], id="an API token"),
        pytest.param(f"Authorization: Bearer {TOKEN}", TOKEN[8:], id="a bearer header"),
        pytest.param("Bearer abcd1234efgh", "1234efgh", id="somebody else's bearer token"),
        pytest.param("postgresql+psycopg://tipoff:hunter2@db/tipoff", "hunter2", id="a password in a URL"),
        pytest.param("redis://:hunter2@redis:6379/0", "hunter2", id="a password without a name"),
        pytest.param('password="hunter2"', "hunter2", id="a password in quotes"),
        pytest.param("{'api_key': 'hunter2'}", "hunter2", id="a key in a dictionary"),
        pytest.param("connect failed: password=hunter2 host=db", "hunter2", id="a connection string"),
    ],
)
@pytest.mark.parametrize("as_json", [True, False])
def test_cuts_short(text: str, hidden: str, *, as_json: bool) -> None:
    stream = written(as_json=as_json)
    logger = logging.getLogger("x")
    logger.info(text)
    logger.info("field", extra={"reason": text})
    try:
        raise ValueError(text)
    except ValueError:
        logger.exception("failed")
    assert hidden not in stream.getvalue()
    assert stream.getvalue().count("***") >= 3


def test_leaves_ordinary_words_alone() -> None:
    for text in (
        "the token is not known",
        "GET http://127.0.0.1:8001/docs",
        "secret rotation done",
        "at 10:30:00",
    ):
        assert logs.masked(text) == text


def test_a_terminal_gets_plain_lines_that_cannot_steer_it() -> None:
    stream = written(as_json=False)
    logging.getLogger("x").warning("order \x1b[2J\nFAKE", extra={"count": 3})
    (line,) = stream.getvalue().splitlines()
    assert "WARNING ingest: order \\x1b[2J\\nFAKE count=3" in line


@pytest.mark.parametrize("as_json", [True, False])
def test_an_answer_is_one_line(*, as_json: bool) -> None:
    stream = written(as_json=as_json)
    fields = logs.access_log.fields("/v1/events/<id>", "GET", 200)
    logs.access_log.write(fields, "abcdefgh", 0.01234)
    (line,) = stream.getvalue().splitlines()
    if as_json:
        entry = json.loads(line)
        assert entry["milliseconds"] == 12.34
        assert (entry["route"], entry["status"], entry["request_id"]) == ("/v1/events/<id>", 200, "abcdefgh")
    else:
        assert line.endswith("ingest: GET /v1/events/<id> 200 in 12.3 ms request_id=abcdefgh")


def test_a_full_disk_stops_nothing_and_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    full = io.TextIOWrapper(Path("/dev/full").open("wb", buffering=0), write_through=True)  # noqa: SIM115 - closed below
    metrics = Metrics("ingest", "1")
    logs.configure("ingest", json=True, stream=full)
    logging.getLogger("x").warning("not written")
    logs.access_log.write(logs.access_log.fields("/healthz", "GET", 200), "abcdefgh", 0.01)
    assert b"tipoff_log_lines_lost_total 2.0" in generate_latest(metrics.registry)
    assert capsys.readouterr().err == ""
    full.detach().close()
