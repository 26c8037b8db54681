"""A small HTTP client that spends little of the machine it measures on: ready-made requests over kept connections."""

import socket
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

Address = tuple[str, int]


@dataclass(slots=True)
class Answers:
    """What came back: requests a second over all connections, how many of each status, and seconds each took."""

    per_second: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)


def request(path: str, address: Address, headers: dict[str, str], body: bytes) -> bytes:
    """The bytes of one POST on a connection that stays open."""
    lines = [f"POST {path} HTTP/1.1", f"Host: {address[0]}:{address[1]}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def hammer(address: Address, requests: Sequence[bytes], connections: int) -> Answers:
    """Send all requests as fast as they are answered, over that many connections."""
    answers = Answers()
    lock = threading.Lock()

    def serve(mine: Sequence[bytes]) -> None:
        statuses: Counter[int] = Counter()
        seconds: list[float] = []
        with socket.create_connection(address) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for each in mine:
                began = time.perf_counter()
                connection.sendall(each)
                statuses[read_answer(connection)] += 1
                seconds.append(time.perf_counter() - began)
        with lock:
            answers.statuses += statuses
            answers.seconds += seconds

    threads = [threading.Thread(target=serve, args=(requests[n::connections],)) for n in range(connections)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answers.per_second = len(answers.seconds) / (time.perf_counter() - began)
    return answers


def read_answer(connection: socket.socket) -> int:
    """Read one whole response and return its status."""
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = connection.recv(65536)
        if not chunk:
            raise ConnectionError("the server closed the connection")
        received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length:")
    )
    while len(body) < length:
        body += connection.recv(65536)
    return int(head[9:12])
