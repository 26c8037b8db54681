"""What one outgoing request may cost, against real servers that behave badly."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import pytest

from shared.netguard import Forbidden
from shared.outbound import Network, Response, Session, TimedOut, Unreachable, post

Behaviour = Callable[[socket.socket, bytes], None]


class Receiver:
    """A server on a free port of this machine, whose answers are written byte by byte."""

    def __init__(self, behaviour: Behaviour, context: ssl.SSLContext | None = None) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._behaviour = behaviour
        self._context = context
        self.requests: list[bytes] = []
        self.port: int = self._listener.getsockname()[1]
        self.origin = f"{'https' if context else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        try:
            if self._context:
                connection = self._context.wrap_socket(connection, server_side=True)
            with connection:
                request = read_request(connection)
                self.requests.append(request)
                self._behaviour(connection, request)
        except OSError:
            return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def read_request(connection: socket.socket) -> bytes:
    """Head and body of one request."""
    request = b""
    while b"\r\n\r\n" not in request:
        request += connection.recv(65536)
    head, _, body = request.partition(b"\r\n\r\n")
    length = int(
        next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))[15:]
    )
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


@contextmanager
def receiver(behaviour: Behaviour, context: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    server = Receiver(behaviour, context)
    try:
        yield server
    finally:
        server.close()


def answering(answer: bytes) -> Behaviour:
    """Send this and hang up."""
    return lambda connection, _: connection.sendall(answer)


def send(server: Receiver, *, deadline: float = 2.0, headers: dict[str, str] | None = None) -> Response:
    """Post to a receiver of this machine, let through by its origin."""
    return post(
        server.origin + "/in?x=1",
        b'{"a": 1}',
        headers or {"Content-Type": "application/json"},
        deadline=deadline,
        allow_origins=frozenset({server.origin}),
    )


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Kind: Yes\r\n\r\nok"


def test_posts_the_body_and_returns_the_answer() -> None:
    with receiver(answering(OK)) as server:
        answer = send(
            server, headers={"Content-Type": "application/json", "Host": "elsewhere", "webhook-id": "m"}
        )
    assert (answer.status, answer.headers["x-kind"], answer.body) == (200, "Yes", b"")
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[0] == b"POST /in?x=1 HTTP/1.1"
    assert f"Host: 127.0.0.1:{server.port}".encode() in head
    assert b"elsewhere" not in head
    assert b"webhook-id: m" in head
    assert body == b'{"a": 1}'


@pytest.mark.parametrize("status", [204, 400, 410, 429, 500, 503])
def test_any_status_is_an_answer(status: int) -> None:
    with receiver(
        answering(b"HTTP/1.1 %d X\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n" % status)
    ) as server:
        answer = send(server)
    assert (answer.status, answer.headers["retry-after"]) == (status, "7")


def test_a_redirect_is_an_answer_and_not_followed() -> None:
    with receiver(answering(OK)) as inner:
        location = f"HTTP/1.1 302 Found\r\nLocation: {inner.origin}/\r\nContent-Length: 0\r\n\r\n".encode()
        with receiver(answering(location)) as server:
            assert send(server).status == 302
    assert inner.requests == []


def test_no_more_than_four_kilobytes_of_an_answer_are_read() -> None:
    sent = [0]

    def flood(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 500 No\r\nContent-Length: 67108864\r\n\r\n")
        while sent[0] < 67108864:
            sent[0] += connection.send(b"x" * 65536)

    with receiver(flood) as server:
        assert send(server).body == b"x" * 4096
    assert sent[0] < 30_000_000


def drip(before: bytes, forever: bytes) -> Behaviour:
    """Send a beginning, then one byte every 50 ms for longer than any test waits."""

    def behave(connection: socket.socket, _: bytes) -> None:
        connection.sendall(before)
        for _wait in range(200):
            connection.sendall(forever)
            sleep(0.05)

    return behave


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(lambda connection, _: sleep(3), id="says nothing"),
        pytest.param(drip(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x"), id="drips its headers"),
        pytest.param(drip(b"", b"H"), id="drips its status"),
        pytest.param(drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), id="promises to continue for ever"),
    ],
)
def test_the_deadline_ends_a_receiver_that(behaviour: Behaviour) -> None:
    with receiver(behaviour) as server:
        began = monotonic()
        with pytest.raises(TimedOut) as fault:
            send(server, deadline=0.5)
        assert 0.4 < monotonic() - began < 2.7
    assert fault.value.maybe_sent


@pytest.mark.parametrize(
    ("status", "seconds"),
    [
        pytest.param(b"200 OK", 0.5, id="accepts, whose body is not read"),
        pytest.param(b"500 No", 2.5, id="refuses, whose body is read for a second"),
    ],
)
def test_a_dripping_body_costs_little_after_an_answer_that(status: bytes, seconds: float) -> None:
    with receiver(drip(b"HTTP/1.1 " + status + b"\r\nContent-Length: 999\r\n\r\n", b"x")) as server:
        began = monotonic()
        answer = send(server, deadline=10)
        assert monotonic() - began < seconds
    assert answer.status == int(status[:3])
    assert (answer.body == b"") == (answer.status == 200)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="hangs up"),
        pytest.param(b"HTTP/1.1 2", id="hangs up in the middle of its status"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", id="speaks another protocol"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n", id="sends endless headers"),
        pytest.param(b"HTTP/1.1 200 " + b"x" * 100_000 + b"\r\n\r\n", id="sends an endless status"),
    ],
)
def test_no_answer_can_be_had_of_a_receiver_that(answer: bytes) -> None:
    with receiver(answering(answer)) as server, pytest.raises(Unreachable) as fault:
        send(server)
    assert fault.value.maybe_sent


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort", id="too short a body"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", id="broken chunks"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b junk", id="gzip nobody unpacks"
        ),
    ],
)
def test_a_known_status_counts_in_spite_of(answer: bytes) -> None:
    with receiver(answering(answer)) as server:
        assert send(server).status == 200


def test_a_closed_port_is_unreachable_and_certainly_unsent() -> None:
    with receiver(answering(OK)) as server:
        pass
    with pytest.raises(Unreachable) as fault:
        send(server)
    assert not fault.value.maybe_sent


def test_a_header_with_a_line_break_is_refused() -> None:
    with receiver(answering(OK)) as server, pytest.raises(ValueError, match="header"):
        send(server, headers={"X-Note": "a\r\nX-Other: b"})
    assert server.requests == []


def test_a_name_that_changes_its_mind_is_asked_only_once() -> None:
    answers = iter([["127.0.0.1"], ["93.184.216.34"]])
    with receiver(answering(OK)) as server:
        origin = f"http://receiver.example:{server.port}"
        answer = post(
            origin,
            b"{}",
            {},
            deadline=2,
            allow_origins=frozenset({origin}),
            network=Network(lambda *_: next(answers)),
        )
    assert answer.status == 200
    assert f"Host: receiver.example:{server.port}".encode() in server.requests[0]
    assert next(answers) == ["93.184.216.34"]


def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    with receiver(answering(OK)) as server:
        origin = f"http://receiver.example:{server.port}"
        allowed = frozenset({origin})
        answer = post(
            origin,
            b"{}",
            {},
            deadline=2,
            allow_origins=allowed,
            network=Network(lambda *_: ["127.0.0.2", "127.0.0.1"]),
        )
    assert answer.status == 200


def test_a_slow_resolver_counts_against_the_deadline() -> None:
    def dream(_host: str, _port: int) -> list[str]:
        sleep(4)
        return ["93.184.216.34"]

    began = monotonic()
    with pytest.raises(TimedOut) as fault:
        post("https://example.com/", b"", {}, deadline=0.3, allow_origins=frozenset(), network=Network(dream))
    assert monotonic() - began < 3.5
    assert not fault.value.maybe_sent


def test_our_own_network_is_never_called(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver(answering(OK)) as server:
        for url in (server.origin, f"https://127.0.0.1:{server.port}/", "https://localhost/"):
            with pytest.raises(Forbidden):
                post(url, b"", {}, deadline=2, allow_origins=frozenset())
        monkeypatch.setenv("http_proxy", server.origin)
        monkeypatch.setenv("https_proxy", server.origin)
        with pytest.raises(Unreachable):
            post("http://127.0.0.1:1/", b"", {}, deadline=2, allow_origins=frozenset({"http://127.0.0.1:1"}))
    assert server.requests == []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for receiver.example that nobody but the test trusts."""
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    made = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=receiver.example",
    ]
    names = ["-addext", "subjectAltName=DNS:receiver.example"]
    try:
        subprocess.run(
            [*made, *names, "-keyout", file, "-out", f"{file}.crt"], check=True, capture_output=True
        )
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    file.write_text(file.read_text() + Path(f"{file}.crt").read_text())
    return file


def tls_post(server: Receiver, host: str, trust: ssl.SSLContext | None) -> Response:
    origin = f"https://{host}:{server.port}"
    return post(
        origin,
        b"{}",
        {},
        deadline=3,
        allow_origins=frozenset({origin}),
        network=Network(lambda *_: ["127.0.0.1"], trust),
    )


def test_the_certificate_must_be_trusted_and_of_the_name_that_was_asked_for(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    trust = ssl.create_default_context(cafile=str(certificate))
    with receiver(answering(OK), context) as server:
        assert tls_post(server, "receiver.example", trust).status == 200
        for host, authorities in (("receiver.example", None), ("other.example", trust)):
            with pytest.raises(Unreachable) as fault:
                tls_post(server, host, authorities)
            assert not fault.value.maybe_sent
    assert len(server.requests) == 1


def serving_many(*answers: bytes) -> Behaviour:
    """Give these answers over one connection, one to each request, and then close it."""

    def behave(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(answers[0])
        for answer in answers[1:]:
            read_request(connection)
            connection.sendall(answer)

    return behave


KEPT = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
CLOSED = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
LONG = b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + b"x" * 9000


@pytest.mark.parametrize(
    ("answers", "requests_of_the_first"),
    [
        pytest.param((KEPT, CHUNKED, KEPT), 3, id="a whole answer keeps the connection"),
        pytest.param((KEPT, CLOSED), 2, id="a receiver may close it"),
        pytest.param((LONG,), 1, id="a long answer is not read to its end"),
    ],
)
def test_a_session_keeps_its_connection_while_it_can(
    answers: tuple[bytes, ...], requests_of_the_first: int
) -> None:
    lookups: list[str] = []

    def resolve(host: str, _port: int) -> list[str]:
        lookups.append(host)
        return [host]

    with (
        receiver(serving_many(*answers)) as server,
        Session(frozenset({server.origin}), Network(resolve)) as ours,
    ):
        for _ in range(requests_of_the_first + 1):
            assert ours.post(f"{server.origin}/a", b"{}", {}, deadline=5).status == 200
            sleep(0.05)

    assert len(server.requests) == 2  # the receiver counts the first request of each connection
    assert len(lookups) == 2


def test_a_session_makes_a_new_connection_for_another_address() -> None:
    with (
        receiver(serving_many(KEPT, KEPT)) as first,
        receiver(serving_many(KEPT, KEPT)) as second,
        Session(frozenset({first.origin, second.origin})) as ours,
    ):
        for server in (first, second):
            assert ours.post(f"{server.origin}/a", b"{}", {}, deadline=5).status == 200

    assert (len(first.requests), len(second.requests)) == (1, 1)
