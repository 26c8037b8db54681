"""A web service as a real process: it starts, serves, drains and ends."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread

import pytest

PROGRAM = """
    import sys, time
    from shared import logs
    from shared.metrics import Metrics
    from shared.serve import run_service
    from shared.web import accept_any_length, create_service
    from flask import request

    def make_app():
        if "fail" in sys.argv:
            raise ValueError("settings are missing: postgresql://tipoff:hunter2@db")
        app = create_service("trial", title="Trial", version="1", metrics=Metrics("trial", "1"), readiness={})

        @app.get("/slow")
        def slow():
            time.sleep(1.5)
            return {"slept": True}

        @app.post("/in")
        def take():
            return {"bytes": len(request.get_data())}

        @app.get("/headers")
        def headers():
            return {name: request.headers.get(name) for name in ("X-Forwarded-For", "Forwarded")}

        @app.post("/many")
        def take_many():
            accept_any_length()
            count = sum(len(part) for part in iter(lambda: request.stream.read(65536), b""))
            if "slow" in request.args:
                time.sleep(1.5)
            return {"bytes": count}

        return app

    logs.configure("trial", json=True)
    run_service(
        make_app, ("127.0.0.1", int(sys.argv[1].partition(":")[2])), threads=4,
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


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A running service that no test stops."""
    with running(tmp_path_factory.mktemp("service")) as (_, port):
        yield port


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
    assert answers == [(200, b'{"slept":true}\n')]
    assert "closed" in out
    assert '"route": "/slow"' in errors
    assert [file.name for file in tmp_path.iterdir()] == ["program.py"]


def test_a_connection_is_kept_for_the_next_request(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    local: set[object] = set()
    for _ in range(3):
        connection.request("POST", "/in", body=b"x" * 1000)
        assert connection.getresponse().read() == b'{"bytes":1000}\n'
        local.add(connection.sock.getsockname() if connection.sock else None)
    connection.close()
    assert len(local) == 1


def test_a_body_over_the_limit_is_refused_chunked_or_not(port: int) -> None:
    for chunked in (False, True):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        body = iter([b"x" * 100_000] * 12) if chunked else b"x" * 1_200_000
        connection.request("POST", "/in", body=body, encode_chunked=chunked)
        assert connection.getresponse().status == 413
        connection.close()
    assert get(port, "/healthz")[0] == 200


CHUNKED = b"POST /in HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
BULK = b"POST /many HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"


def send(stack: ExitStack, port: int, sent: bytes) -> socket.socket:
    """Open a connection, send, and leave it open."""
    connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
    connection.sendall(sent)
    return connection


def answer_to(port: int, sent: bytes) -> tuple[int, str, bytes]:
    """Send bytes as they stand; return status, media type and body of the answer."""
    with ExitStack() as stack:
        answer = http.client.HTTPResponse(send(stack, port, sent))
        answer.begin()
        return answer.status, answer.headers.get("Content-Type", ""), answer.read()


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"POST /in HTTP/1.1\r\nHost: x\r\nX-Half: ", id="half a header"),
        pytest.param(b"POST /in HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf", id="half a body"),
        pytest.param(CHUNKED + b"9\r\nhalf", id="half a chunk"),
        pytest.param(CHUNKED + b"4\r\nhalf\r\n", id="a chunk and no end"),
        pytest.param(BULK + b"9\r\n{}\n", id="half a bulk upload"),
    ],
)
def test_sixteen_half_sent_requests_stop_nobody(port: int, part: bytes) -> None:
    with ExitStack() as stack:
        for _ in range(16):
            send(stack, port, part)
        began = time.monotonic()
        assert get(port, "/healthz")[0] == 200
        assert answer_to(port, b"POST /in HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")[0] == 200
        assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    "body",
    [b"zz\r\nx\r\n0\r\n\r\n", b"-1\r\nx\r\n0\r\n\r\n", b"1;\x00\r\nx\r\n0\r\n\r\n", b"1\r\nxyz\r\n0\r\n\r\n"],
)
def test_a_bad_chunk_is_refused_and_is_no_fault_of_ours(port: int, body: bytes) -> None:
    status, media_type, problem = answer_to(port, CHUNKED + body)
    assert (status, media_type) == (400, "application/problem+json")
    assert json.loads(problem)["status"] == 400
    counted = [
        line
        for line in get(port, "/metrics")[1].splitlines()
        if line.startswith(b"http_requests_total{") and not line.endswith(b" 0.0")
    ]
    assert counted
    assert not any(b'code="5' in line for line in counted)


@pytest.mark.parametrize(
    "sent", [CHUNKED + b"5\r\nwhole\r\n", CHUNKED.replace(b"chunked", b"identity") + b"x"]
)
def test_a_body_that_ends_early_is_never_taken_for_a_whole_one(port: int, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        assert b" 200 " not in connection.recv(4096)
    length_twice = CHUNKED.replace(b"Host: x", b"Host: x\r\nContent-Length: 5")
    assert answer_to(port, length_twice + b"0\r\n\r\n")[0] == 400
    assert answer_to(port, CHUNKED.replace(b"1.1", b"1.0") + b"0\r\n\r\n")[0] == 400


def test_bulk_uploads_have_a_limit_of_their_own(port: int) -> None:
    with ExitStack() as stack:
        held = [send(stack, port, BULK + b"2\r\n{}\r\n") for _ in range(2)]
        time.sleep(0.2)
        status, media_type, _ = answer_to(port, BULK + b"0\r\n\r\n")
        assert (status, media_type) == (503, "application/problem+json")
        for connection in held:
            connection.sendall(b"0\r\n\r\n")
            assert b" 200 " in connection.recv(4096)
        assert answer_to(port, BULK + b"1\r\nx\r\n0\r\n\r\n")[0] == 200


def test_a_bulk_upload_of_any_length_takes_no_memory(tmp_path: Path) -> None:
    def peak(process: subprocess.Popen[str]) -> int:
        status = Path(f"/proc/{process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0])

    with running(tmp_path) as (process, port):
        before = peak(process)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        parts = (b"x" * 1_000_000 for _ in range(100))
        connection.request(
            "POST", "/many", parts, {"Content-Type": "application/x-ndjson"}, encode_chunked=True
        )
        assert json.loads(connection.getresponse().read()) == {"bytes": 100_000_000}
        connection.close()
        assert peak(process) - before < 20_000  # KiB


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(b"nonsense\r\n\r\n", 400, id="no request"),
        pytest.param(
            b"GET / HTTP/1.1\r\nX: " + b"x" * 40_000 + b"\r\n\r\n", 431, id="headers that are too long"
        ),
        pytest.param(CHUNKED.replace(b"chunked", b"gzip"), 501, id="a transfer coding nobody knows"),
        pytest.param(
            b"POST /in HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", 413, id="a body far too large"
        ),
    ],
)
def test_what_the_server_itself_refuses_is_answered_as_problem_details(
    port: int, sent: bytes, status: int
) -> None:
    found, media_type, body = answer_to(port, sent)
    assert (found, media_type, json.loads(body)["status"]) == (status, "application/problem+json", status)


def test_the_headers_of_a_proxy_are_shown_to_the_application(port: int) -> None:
    sent = b"GET /headers HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: a\r\nForwarded: b\r\n\r\n"
    assert json.loads(answer_to(port, sent)[2]) == {"X-Forwarded-For": "a", "Forwarded": "b"}


@pytest.mark.parametrize("reason", ["wrong settings", "a taken port"])
def test_a_start_that_fails_says_why_and_ends(tmp_path: Path, reason: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = free_port() if reason == "wrong settings" else taken.getsockname()[1]
        process = start(tmp_path, f"127.0.0.1:{port}", *(["fail"] if reason == "wrong settings" else []))
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
