"""A web service as a real process: it starts, serves, drains and ends."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

PROGRAM = """
    import os, sys, time
    from shared import logs
    from shared.metrics import Metrics
    from shared.serve import run_service
    from shared.web import create_service
    from flask import request

    opened = {}

    def make_app():
        if "fail" in sys.argv:
            raise ValueError("settings are missing: postgresql://tipoff:hunter2@db")
        app = create_service("trial", title="Trial", version="1", metrics=Metrics("trial", "1"), readiness={})

        @app.get("/slow")
        def slow():
            time.sleep(1.5)
            return {"opened_here": opened.get("pid") == os.getpid()}

        @app.post("/in")
        def take():
            return {"bytes": len(request.get_data())}

        return app

    logs.configure("trial", json=True)
    run_service(
        make_app, sys.argv[1], threads=4,
        after_fork=lambda app: opened.update(pid=os.getpid()),
        before_exit=lambda app: print("closed", flush=True),
    )
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start the program with a home of its own."""
    program = folder / "program.py"
    program.write_text(textwrap.dedent(PROGRAM))
    environment = os.environ | {"PYTHONPATH": str(Path.cwd()), "HOME": str(folder)}
    environment.pop("XDG_RUNTIME_DIR", None)
    return subprocess.Popen(
        [sys.executable, str(program), *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def running(folder: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A service that answers, stopped at the end whatever happened."""
    port = free_port()
    process = start(folder, f"127.0.0.1:{port}")
    try:
        wait_for(port, process)
        yield process, port
    finally:
        process.terminate()
        try:
            process.communicate(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def wait_for(port: int, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until and process.poll() is None:
        try:
            if get(port, "/healthz")[0] == 200:
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"the service did not start: {process.returncode}")


def get(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_a_request_in_hand_is_answered_before_the_service_ends(tmp_path: Path) -> None:
    answers: list[tuple[int, bytes]] = []
    with running(tmp_path) as (process, port):
        request = Thread(target=lambda: answers.append(get(port, "/slow")))
        request.start()
        time.sleep(0.5)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=12)
        request.join()
    assert time.monotonic() - began < 10
    assert process.returncode == 0
    assert answers == [(200, b'{"opened_here":true}\n')]
    assert "closed" in out
    assert '"route": "/slow"' in errors
    assert [file.name for file in tmp_path.iterdir()] == ["program.py"]


def test_a_connection_is_kept_for_the_next_request(tmp_path: Path) -> None:
    with running(tmp_path) as (_, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        local: set[object] = set()
        for _ in range(3):
            connection.request("POST", "/in", body=b"x" * 1000)
            assert connection.getresponse().read() == b'{"bytes":1000}\n'
            local.add(connection.sock.getsockname() if connection.sock else None)
        connection.close()
    assert len(local) == 1


def test_a_body_over_the_limit_is_refused_chunked_or_not(tmp_path: Path) -> None:
    with running(tmp_path) as (_, port):
        for chunked in (False, True):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            body = iter([b"x" * 100_000] * 12) if chunked else b"x" * 1_200_000
            connection.request("POST", "/in", body=body, encode_chunked=chunked)
            assert connection.getresponse().status == 413
            connection.close()
        assert get(port, "/healthz")[0] == 200


@pytest.mark.parametrize("reason", ["wrong settings", "a taken port"])
def test_a_start_that_fails_says_why_and_ends(tmp_path: Path, reason: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        process = start(tmp_path, address, *(["fail"] if reason == "wrong settings" else []))
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "Traceback" not in errors
    if reason == "wrong settings":
        assert errors == "cannot start: settings are missing: postgresql://tipoff:***@db\n"
    else:
        assert "in use" in errors


def test_a_worker_whose_metrics_port_is_taken_says_so_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [sys.executable, "-m", "services.cli", "work", "scoring", "--metrics", f"127.0.0.1:{port}"],
            env=os.environ
            | {"DATABASE_URL": "postgresql+psycopg://127.0.0.1:1/x", "TIPOFF_SECRET_KEY": "k" * 32},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert ended.returncode == 1
    complaint, hint = ended.stderr.strip().splitlines()
    assert f"/metrics cannot be served at 127.0.0.1:{port}: Address already in use" in complaint
    assert hint.startswith("hint: ")
