"""One HTTP request to an address other people chose, within a deadline.

No redirect is followed and no proxy setting is read. The deadline is for all of it: name, connection, TLS, sending, and
an answer that may arrive one byte at a time (urllib3 and requests bound each wait instead, so ten bytes may cost ten
waits). Of an answer that refuses, 4 KB are read for the log; of one that accepts, its status.
"""

import http.client
import io
import ssl
from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from socket import IPPROTO_TCP, TCP_NODELAY, create_connection, socket
from threading import Thread
from time import monotonic

from shared.netguard import Forbidden, Resolve, Unresolved, Vetted, resolve_by_system, vet

LONGEST_BODY = 4096
CONNECT_SECONDS = 5.0
OURS = {"host", "content-length", "connection", "transfer-encoding", "accept-encoding"}
"""Headers that only this module sets."""
REFUSAL_SECONDS = 1.0
"""How long the body of a refusal is read once its status is known."""

__all__ = ["Forbidden", "Response", "TimedOut", "Unreachable", "post"]


class Unreachable(Exception):
    """No answer was had. `maybe_sent` says whether the receiver may have acted on the request anyway."""

    def __init__(self, reason: str, *, maybe_sent: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.maybe_sent = maybe_sent


class TimedOut(Unreachable):
    """The deadline passed before the answer's status and headers were in."""


@dataclass(frozen=True, slots=True)
class Response:
    """What a receiver answered. Header names are lower case. The body is empty after a 2xx and ends at 4 KB."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Network:
    """How names are resolved and certificates judged; `trust` None means the system's authorities."""

    resolve: Resolve = resolve_by_system
    trust: ssl.SSLContext | None = None


THE_INTERNET = Network()


@dataclass(slots=True)
class _Deadline:
    """A moment of the monotonic clock by which everything must be done."""

    at: float

    def left(self, *, maybe_sent: bool = False) -> float:
        seconds = self.at - monotonic()
        if seconds <= 0:
            raise TimedOut("no answer in time", maybe_sent=maybe_sent)
        return seconds


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    deadline: float,
    allow_origins: frozenset[str],
    network: Network = THE_INTERNET,
) -> Response:
    """POST a body and return the answer, whatever its status, within `deadline` seconds in total.

    Raises Forbidden for an address we never send to, TimedOut and Unreachable when there is no answer,
    ValueError for a header that holds a line break.
    """
    until = _Deadline(monotonic() + deadline)
    vetted = _vet_in_time(url, allow_origins, network.resolve, until)
    connection = http.client.HTTPConnection(vetted.host, vetted.port)
    with _connect(vetted, until, network.trust) as channel:
        connection.sock = _TimedSocket(channel, until)
        try:
            return _exchange(connection, vetted, body, headers, until)
        except TimeoutError:
            raise TimedOut("no answer in time", maybe_sent=True) from None
        except (OSError, http.client.HTTPException):
            raise Unreachable("the connection broke before an answer came", maybe_sent=True) from None


def _vet_in_time(url: str, allow_origins: frozenset[str], resolve: Resolve, until: _Deadline) -> Vetted:
    """Vet in a thread of its own, as the system's resolver takes no deadline. One left behind ends."""
    answer: Future[Vetted] = Future()

    def run() -> None:
        try:
            answer.set_result(vet(url, allow_origins=allow_origins, resolve=resolve))
        except (Forbidden, Unresolved) as fault:
            answer.set_exception(fault)

    Thread(target=run, name="resolve", daemon=True).start()
    try:
        return answer.result(timeout=until.left())
    except FutureTimeout:
        raise TimedOut("the name was not resolved in time") from None
    except Unresolved as fault:
        raise Unreachable(str(fault)) from None


def _connect(vetted: Vetted, until: _Deadline, trust: ssl.SSLContext | None) -> socket:
    for address in vetted.addresses:
        try:
            plain = create_connection((address, vetted.port), timeout=min(until.left(), CONNECT_SECONDS))
        except OSError:
            continue
        try:
            if plain.getpeername()[0].partition("%")[0] != address.partition("%")[0]:
                raise Forbidden("the connection ended at another address than the one vetted")
            plain.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
            return _secured(plain, vetted, until, trust)
        except BaseException:
            plain.close()
            raise
    until.left()
    raise Unreachable("no connection could be made")


def _secured(plain: socket, vetted: Vetted, until: _Deadline, trust: ssl.SSLContext | None) -> socket:
    if vetted.scheme == "http":
        return plain
    context = trust or _system_trust()
    plain.settimeout(until.left())
    try:
        return context.wrap_socket(plain, server_hostname=vetted.host)
    except TimeoutError:
        raise TimedOut("no secure connection in time") from None
    except OSError:
        raise Unreachable("no secure connection could be made") from None


@cache
def _system_trust() -> ssl.SSLContext:
    """Read once: the system's list of authorities takes tens of milliseconds to load."""
    return ssl.create_default_context()


def _exchange(
    connection: http.client.HTTPConnection,
    vetted: Vetted,
    body: bytes,
    headers: Mapping[str, str],
    until: _Deadline,
) -> Response:
    own = {
        "Host": vetted.authority,
        "Content-Length": str(len(body)),
        "Accept-Encoding": "identity",
        "Connection": "close",
    }
    connection.putrequest("POST", vetted.target, skip_host=True, skip_accept_encoding=True)
    for name, value in {**headers, **own}.items():
        if name in own or name.lower() not in OURS:
            connection.putheader(name, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    found = {name.lower(): value for name, value in answer.getheaders()}
    if 200 <= answer.status < 300:
        return Response(answer.status, found, b"")
    until.at = min(until.at, monotonic() + REFUSAL_SECONDS)
    return Response(answer.status, found, _beginning(answer))


def _beginning(answer: http.client.HTTPResponse) -> bytes:
    """The first 4 KB, or what of it came: the status is known, so a broken body must not cause a repeat."""
    parts: list[bytes] = []
    missing = LONGEST_BODY
    with suppress(OSError, TimedOut, http.client.HTTPException, ValueError):
        while missing and (part := answer.read1(missing)):
            parts.append(part)
            missing -= len(part)
    return b"".join(parts)


class _TimedSocket:
    """The part of a socket http.client uses, with every wait bounded by one deadline."""

    def __init__(self, channel: socket, until: _Deadline) -> None:
        self._channel = channel
        self._until = until

    def sendall(self, sent: bytes) -> None:
        self._channel.settimeout(self._until.left(maybe_sent=True))
        self._channel.sendall(sent)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self._channel, self._until))

    def close(self) -> None:
        """The channel is closed by whoever opened it."""


class _TimedReader(io.RawIOBase):
    def __init__(self, channel: socket, until: _Deadline) -> None:
        self._channel = channel
        self._until = until

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self._channel.settimeout(self._until.left(maybe_sent=True))
        return self._channel.recv_into(buffer)
