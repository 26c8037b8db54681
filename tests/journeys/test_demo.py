"""The demonstration: its ports are its own, its notes survive a failed start, its orders go to its own service."""

import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.child import StackError
from deploy.company import Hook
from deploy.deployment import Deployment, ReservedPorts, others_of, write_environment
from shared.signing import new_secret

ORDER = {"id": "SO-1"}


@contextmanager
def somebody_who_answers(status: int) -> Iterator[str]:
    """A server that answers every POST with this status."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b'{"status": "accepted"}')

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/hooks/standard"
        finally:
            server.shutdown()
            thread.join()


def test_two_starts_together_share_no_port() -> None:
    with ReservedPorts(lambda _: None) as ours:
        ours.hand_over()  # our processes are starting, and do not listen yet
        with ReservedPorts(lambda _: None) as theirs:
            assert not set(ours.numbers.values()) & set(theirs.numbers.values())


def test_a_port_is_nobody_elses_until_it_is_handed_over() -> None:
    with ReservedPorts(lambda _: None) as ours:
        address = ("127.0.0.1", ours.numbers["ingest"])
        with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
            stranger.bind(address)
        ours.hand_over()
        with socket.socket() as own_process:
            own_process.bind(address)


def test_an_order_that_somebody_elses_service_refuses_ends_the_start() -> None:
    with (
        somebody_who_answers(401) as url,
        pytest.raises(StackError, match=r"refuses our orders \(401\): another program took its port"),
    ):
        Hook(url, new_secret()).post(1, ORDER)


@pytest.mark.parametrize(("status", "answer"), [(202, "202 accepted"), (503, None), (500, None), (429, None)])
def test_an_order_counts_as_posted_only_when_it_was_taken_in(status: int, answer: str | None) -> None:
    with somebody_who_answers(status) as url:
        assert Hook(url, new_secret()).post(1, ORDER) == answer


def test_an_order_nobody_answers_is_tried_again() -> None:
    assert Hook("http://127.0.0.1:9/hooks/standard", new_secret()).post(1, ORDER) is None


def test_a_start_that_failed_is_gone_on_with(tmp_path: Path) -> None:
    failed = Deployment.open(tmp_path)
    failed.loaded += ["reps", "customers"]
    failed.posted = 7
    failed.save(tmp_path)
    assert Deployment.open(tmp_path) == failed


def test_a_shell_that_reaches_us_names_no_server_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "tipoff.env"
    ours = {"DATABASE_URL": "postgresql://us/it's ours", "REDIS_URL": "redis://us"}
    write_environment(ours, file)
    for name, value in ours.items():
        monkeypatch.setenv(name, value)
    assert not ours.keys() & others_of(file).keys()
    monkeypatch.setenv("DATABASE_URL", "postgresql://them")
    assert others_of(file)["DATABASE_URL"] == "postgresql://them"
    assert "DATABASE_URL" in others_of(tmp_path / "never written")
