"""What stands outside an installation: orders, the load client that posts them, and a receiver of alerts."""

import csv
import json
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from shared.signing import signed_order

LINES = 10
Address = tuple[str, int]


def made_orders(
    sample: Path, count: int, *, prefix: str, start: int = 0, below_cost: bool = False
) -> Iterator[dict[str, Any]]:
    """Yield orders of ten lines from the sample company's active customers, in turn.

    With `below_cost` the first line sells under its cost. The product of that line differs for every order of a
    customer, as an alert about the same product would not be repeated: give orders of one run different `start`s.
    """
    chance = random.Random(7)
    with (sample / "customers.csv").open() as file:
        customers = [
            row for row in csv.DictReader(file) if row["status"] == "active" and row["internal"] != "true"
        ]
    with (sample / "products.csv").open() as file:
        products = [row for row in csv.DictReader(file) if row["status"] == "active"]
    began = datetime.now(UTC) - timedelta(minutes=5)
    for number in range(start, start + count):
        turn, which = divmod(number, len(customers))
        first = products[(which + turn) % len(products)]
        rest = [each for each in chance.sample(products, LINES) if each is not first][: LINES - 1]
        yield {
            "id": f"{prefix}-{number}",
            "ordered_at": (began + timedelta(milliseconds=number - start)).isoformat(),
            "currency": customers[which]["currency"] or "EUR",
            "customer": {"id": customers[which]["id"]},
            "lines": [
                {
                    "id": str(position),
                    "sku": product["id"],
                    "title": product["name"],
                    "category": product["category"],
                    "quantity": "10",
                    "unit_price": f"{float(product['list_price']) * share:.2f}",
                }
                for position, (product, share) in enumerate(
                    [(first, 0.1 if below_cost else 0.9), *((each, 0.9) for each in rest)], start=1
                )
            ],
        }


def webhook(order: dict[str, Any], address: Address, secret: str) -> bytes:
    """The whole signed request that posts one order."""
    body, headers = signed_order(order, f"msg_{order['id']}", datetime.now(UTC), secret)
    return request("/hooks/standard", address, headers, body)


def request(path: str, address: Address, headers: dict[str, str], body: bytes) -> bytes:
    """The bytes of one POST on a connection that stays open."""
    lines = [f"POST {path} HTTP/1.1", f"Host: {address[0]}:{address[1]}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass(slots=True)
class Answers:
    """What came back: requests a second over all connections, and how many of each status."""

    per_second: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)


def post_all(address: Address, requests: Sequence[bytes], connections: int) -> Answers:
    """Send ready-made requests as fast as they are answered, over that many connections.

    It spends little of the machine it measures on: no HTTP library, no parsing but of status and length.
    """
    answers = Answers()
    lock = threading.Lock()

    def post_some(some: Sequence[bytes]) -> None:
        with connect(address) as connection:
            statuses = Counter(post(connection, each) for each in some)
        with lock:
            answers.statuses += statuses

    threads = [
        threading.Thread(target=post_some, args=(requests[n::connections],)) for n in range(connections)
    ]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answers.per_second = answers.statuses.total() / (time.perf_counter() - began)
    return answers


def connect(address: Address) -> socket.socket:
    """Open a connection that sends every request at once."""
    connection = socket.create_connection(address, timeout=60)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def post(connection: socket.socket, ready: bytes) -> int:
    """Send one request, read the whole response and return its status."""
    connection.sendall(ready)
    received = b""
    while b"\r\n\r\n" not in received:
        received += _some(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = (line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    length = int(next(lengths, b":0").split(b":")[1])
    while len(body) < length:
        body += _some(connection)
    return int(head[9:12])


def _some(connection: socket.socket) -> bytes:
    chunk = connection.recv(65536)
    if not chunk:
        raise ConnectionError("the server closed the connection")
    return chunk


class Receiver:
    """A webhook receiver that notes when the first alert about each order arrived."""

    def __init__(self) -> None:
        self.arrived: dict[str, float] = {}
        self._last_at = time.perf_counter()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                receiver._last_at = time.perf_counter()
                if order := body["data"].get("order"):
                    receiver.arrived.setdefault(order["id"], receiver._last_at)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = (
                128  # five is fewer than the connections that a batch of alerts opens at once
            )

        self._server = Server(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        self.url = f"{self.origin}/alerts"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def forget(self) -> None:
        """Begin anew."""
        self.arrived.clear()
        self._last_at = time.perf_counter()

    def is_stuck(self, seconds: float) -> bool:
        """Has nothing arrived for so long?"""
        return time.perf_counter() - self._last_at > seconds
