"""HTTP requests to an address other people chose, each within a deadline, over a connection kept while in use.

No redirect is followed and no proxy setting is read. The deadline is for all of it: name, connection, TLS, sending, and
an answer that may arrive one byte at a time (urllib3 and requests bound each wait instead, so ten bytes may cost ten
waits). Of an answer that refuses, 4 KB are read for the log; of one that accepts, its status, and the rest only to use
the connection again: at most 4 KB, and only what comes at once.
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
from select import select
from socket import IPPROTO_TCP, TCP_NODELAY, create_connection, socket
from threading import Thread
from time import monotonic
from types import TracebackType
from typing import Self

from shared.netguard import Forbidden, Resolve, Unresolved, Vetted, resolve_by_system, vet

LONGEST_BODY = 4096
CONNECT_SECONDS = 5.0
REFUSAL_SECONDS = 1.0
"""How long the body of a refusal is read once its status is known."""

KEEP_SECONDS = 0.05
"""How long the body of an acceptance is waited for; after that the connection is not used again."""

__all__ = ["Forbidden", "Response", "Session", "TimedOut", "Unreachable", "post"]


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
    """POST a body over a connection of its own; see `Session.post`."""
    with Session(allow_origins, network) as session:
        return session.post(url, body, headers, deadline=deadline)


class Session:
    """Requests over one connection, for one thread. It is kept while the URL stays the same and the receiver keeps it.

    The address is vetted when the connection is made; a kept connection ends where it was vetted to end.
    """

    def __init__(self, allow_origins: frozenset[str], network: Network = THE_INTERNET) -> None:
        self._allow_origins = allow_origins
        self._network = network
        self._kept: _Kept | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def post(self, url: str, body: bytes, headers: Mapping[str, str], *, deadline: float) -> Response:
        """POST a body and return the answer, whatever its status, within `deadline` seconds in total.

        Raises Forbidden for an address we never send to, TimedOut and Unreachable when there is no answer,
        ValueError for a header that holds a line break.
        """
        until = _Deadline(monotonic() + deadline)
        kept = self._kept
        if kept is None or kept.url != url or kept.is_stale():
            self._close()
            kept = self._kept = self._connected(url, until)
        is_reusable = False
        try:
            response, is_reusable = kept.exchange(body, _request_headers(headers, kept.vetted, body), until)
        except TimeoutError:
            raise TimedOut("no answer in time", maybe_sent=True) from None
        except (OSError, http.client.HTTPException):
            raise Unreachable("the connection broke before an answer came", maybe_sent=True) from None
        finally:
            if not is_reusable:
                self._close()
        return response

    def _connected(self, url: str, until: "_Deadline") -> "_Kept":
        vetted = _vet_in_time(url, self._allow_origins, self._network.resolve, until)
        return _Kept(url, vetted, _connect(vetted, until, self._network.trust))

    def _close(self) -> None:
        if self._kept is not None:
            self._kept.channel.close()
            self._kept = None


@dataclass(slots=True)
class _Kept:
    """A connection to a vetted address."""

    url: str
    vetted: Vetted
    channel: socket

    def is_stale(self) -> bool:
        """Did the receiver close it, or write what nobody asked for?"""
        return bool(select([self.channel], [], [], 0)[0])

    def exchange(self, body: bytes, headers: Mapping[str, str], until: _Deadline) -> tuple[Response, bool]:
        """Send one request and read its answer. Also returns whether the connection can be used again."""
        connection = http.client.HTTPConnection(self.vetted.host, self.vetted.port)
        connection.sock = _TimedSocket(self.channel, until)
        connection.putrequest("POST", self.vetted.target, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        is_accepted = 200 <= answer.status < 300
        if is_accepted and answer.will_close:
            return Response(answer.status, found, b""), False
        until.at = min(until.at, monotonic() + (KEEP_SECONDS if is_accepted else REFUSAL_SECONDS))
        beginning = _beginning(answer)
        return Response(answer.status, found, b"" if is_accepted else beginning), _is_read(answer)


def _is_read(answer: http.client.HTTPResponse) -> bool:
    """Is the whole answer read, and does the receiver keep the connection?"""
    return (answer.isclosed() or answer.length == 0) and not answer.will_close


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


def _request_headers(headers: Mapping[str, str], vetted: Vetted, body: bytes) -> dict[str, str]:
    own = {"host", "content-length", "connection", "transfer-encoding", "accept-encoding"}
    asked = {name: value for name, value in headers.items() if name.lower() not in own}
    return asked | {
        "Host": vetted.authority,
        "Content-Length": str(len(body)),
        "Accept-Encoding": "identity",
    }


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
