"""The health check of the images asks the process beside it, and believes only a 200."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy" / "healthcheck.py"
NOBODY = "http://127.0.0.1:9/"


class Answers(BaseHTTPRequestHandler):
    """Answers with the status that is the path."""

    def do_GET(self) -> None:
        self.send_response(int(self.path.strip("/")))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Answers) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def status_of(*urls: str) -> int:
    """What the script ends with, behind a proxy that must not be asked."""
    environment = {"http_proxy": NOBODY}
    return subprocess.run([sys.executable, SCRIPT, *urls], check=False, env=environment).returncode


def test_is_well_when_one_of_the_addresses_answers_200(server: str) -> None:
    assert status_of(NOBODY, f"{server}/200") == 0


@pytest.mark.parametrize("status", [204, 404, 500, 503])
def test_is_unwell_at_another_answer(server: str, status: int) -> None:
    assert status_of(f"{server}/{status}") == 1


def test_is_unwell_when_nobody_answers() -> None:
    assert status_of(NOBODY) == 1
