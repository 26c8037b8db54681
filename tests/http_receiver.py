"""A webhook receiver for tests: a real HTTP server whose answers can be set."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@dataclass(frozen=True)
class Request:
    """One request as it came; header names are lower case."""

    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """What came, and the answers to give: (status, headers), used up one by one, then 204. `said`: the body of each."""

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    said: bytes = b""
    drip_seconds: float = 0.0
    delay_seconds: float = 0.0
    connections: int = 0


@contextmanager
def running() -> Iterator[Receiver]:
    """A receiver for as long as the block lasts."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10

        def setup(self) -> None:
            receiver.connections += 1
            super().setup()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.requests.append(Request(headers, body))
            if receiver.drip_seconds:
                self._drip()
                return
            time.sleep(receiver.delay_seconds)
            status, extra = receiver.answers.pop(0) if receiver.answers else (204, {})
            self.send_response(status)
            for name, value in extra.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(receiver.said)))
            self.end_headers()
            if receiver.said:
                self.wfile.write(receiver.said)

        def _drip(self) -> None:
            """Answer one byte at a time, for ever."""
            try:
                for letter in b"HTTP/1.1 200 OK\r\n" + b"x-slow: 1\r\n" * 1000:
                    self.wfile.write(bytes([letter]))
                    time.sleep(receiver.drip_seconds)
            except OSError:
                return

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
