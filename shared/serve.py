"""Runs a web service: one process, waitress with threads, drained and ended by SIGTERM.

waitress reads every request whole before a thread sees it, so a slow or broken sender holds a connection and never a
thread, and a body that ends early is never taken for a whole one. Why waitress: docs/decisions/0009.
"""

import copy
import gc
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import msgspec
from flask import Flask
from sqlalchemy.exc import SQLAlchemyError
from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask
from waitress.utilities import Error

from shared.logs import masked
from shared.problems import MEDIA_TYPE, RETRY_AFTER_SECONDS
from shared.web import BULK_MEDIA_TYPE

log = logging.getLogger(__name__)

GRACEFUL_SECONDS = 10
KEEP_ALIVE_SECONDS = 75
STALLED_SECONDS = 30
"""A connection from which nothing comes within a request, or which takes nothing of its answer, is closed."""
RECEIVE_SECONDS = 60
RECEIVE_BULK_SECONDS = 3600
"""How long a request may take to arrive, however steadily it drips."""
CONNECTIONS_AT_MOST = 800

# A little over what routes take (shared.web.LARGEST_BODY), so that a body just too large gets the route's own answer
# and not a broken connection.
LARGEST_RECEIVED = 4 * 1024 * 1024
LARGEST_BULK = 1024 * 1024 * 1024
HELD_IN_MEMORY = 64 * 1024
"""What of a body or an answer is more goes to a temporary file."""
LARGEST_HEADERS = 32 * 1024
VALUES_BETWEEN_COLLECTIONS = (20_000, 20, 20)


def run_service(
    make_app: Callable[[], Flask],
    bind: tuple[str, int],
    *,
    threads: int = 8,
    before_exit: Callable[[Flask], None] = lambda _: None,
) -> None:
    """Serve until SIGTERM or SIGINT, and answer what was received. A start that fails ends with one line and status 1.

    The address is bound before `make_app` runs; `before_exit` closes connections after the last answer.
    """
    try:
        try:
            family = socket.AF_INET6 if ":" in bind[0] else socket.AF_INET
            listening = socket.create_server(bind, family=family, backlog=1024)
        except OSError as error:
            raise OSError(f"{bind[0]}:{bind[1]}: {error.strerror}") from error
        app = make_app()
    except (ValueError, LookupError, OSError, SQLAlchemyError) as error:
        sys.exit(f"cannot start: {masked(str(error))}")
    logging.getLogger("waitress.queue").setLevel(
        logging.ERROR
    )  # a request that waits for a thread is no news
    server = _Server(app, listening, threads)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        server.is_stopping = True
        server.pull_trigger()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    # Keep what was loaded out of every later search for garbage, and search rarely: requests leave hardly any.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*VALUES_BETWEEN_COLLECTIONS)
    log.info("listening at http://%s:%s", server.effective_host, server.effective_port)
    server.serve()
    before_exit(app)


class _TooBusy(Error):
    code = 503
    reason = "Service Unavailable"


class _Request(HTTPRequestParser):
    """A request as it arrives. Its size is bounded by what it is: an ordinary request or a bulk upload."""

    is_bulk = False

    def __init__(self, server: "_Server") -> None:
        super().__init__(server.adj)
        self.began = time.time()
        self._server = server

    def parse_header(self, header_plus: bytes) -> None:
        """Refuse a body whose end two readers could place differently; bound a bulk upload."""
        super().parse_header(header_plus)
        if "TRANSFER_ENCODING" in self.headers or (self.chunked and "CONTENT_LENGTH" in self.headers):
            raise ParsingError("The length of the body is ambiguous.")
        if self.headers.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() != BULK_MEDIA_TYPE:
            return
        if sum(each.is_bulk for each in self._server.requests()) >= self._server.bulk_at_most:
            self.error = _TooBusy("Too many bulk uploads at once.")
            self.body_rcv, self.content_length, self.expect_continue = None, 0, False
            return
        self.is_bulk = True
        self.adj = self._server.bulk_adjustments


class _ErrorTask(ErrorTask):
    """What waitress refuses by itself, as problem details."""

    def execute(self) -> None:
        """Answer and close the connection."""
        error = self.request.error
        body = msgspec.json.encode(
            {
                "type": "about:blank",
                "title": error.reason,
                "status": error.code,
                "detail": str(error.body),
            }
        )
        self.status = f"{error.code} {error.reason}"
        self.response_headers.append(("Content-Type", MEDIA_TYPE))
        if error.code == _TooBusy.code:
            self.response_headers.append(("Retry-After", str(RETRY_AFTER_SECONDS)))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class _Channel(HTTPChannel):
    """A connection. Nothing more is read from it once the service is stopping."""

    error_task_class = _ErrorTask

    def __init__(self, server: "_Server", *arguments: Any, **values: Any) -> None:  # noqa: ANN401 - waitress's own
        super().__init__(server, *arguments, **values)
        self.parser_class = lambda _: _Request(server)

    def readable(self) -> bool:
        """Whether a request may be read now."""
        return not self.server.is_stopping and super().readable()


class _Server(TcpWSGIServer):
    """waitress with deadlines for requests that arrive slowly, a limit on bulk uploads, and an end in good order."""

    channel_class = _Channel
    active_channels: dict[int, _Channel]

    def __init__(self, app: Flask, listening: socket.socket, threads: int) -> None:
        self.is_stopping = False
        self.bulk_at_most = max(1, threads // 2)
        adjustments = Adjustments(
            sockets=[listening],
            threads=threads,
            ident="",
            asyncore_use_poll=True,
            connection_limit=CONNECTIONS_AT_MOST,
            cleanup_interval=5,
            max_request_header_size=LARGEST_HEADERS,
            max_request_body_size=LARGEST_RECEIVED,
            inbuf_overflow=HELD_IN_MEMORY,
            outbuf_overflow=HELD_IN_MEMORY,
            # The application refuses a proxy's headers where they matter, so it must see them.
            clear_untrusted_proxy_headers=False,
            log_socket_errors=False,
        )
        self.bulk_adjustments = copy.copy(adjustments)
        self.bulk_adjustments.max_request_body_size = LARGEST_BULK
        super().__init__(
            app.wsgi_app,
            _sock=listening,
            adj=adjustments,
            bind_socket=False,
            sockinfo=(listening.family, listening.type, listening.proto, listening.getsockname()),
        )

    def requests(self) -> Iterator[_Request]:
        """Every request that is arriving, waiting or being answered."""
        for channel in self.active_channels.values():
            yield from channel.requests
            if channel.request is not None:
                yield channel.request

    def serve(self) -> None:
        """Serve until told to stop; then take nothing new and finish what was received."""
        while not self.is_stopping:
            self._turn(1.0)
        wasyncore.dispatcher.close(self)  # the listening socket alone: threads still report to this loop
        until = time.monotonic() + GRACEFUL_SECONDS
        while time.monotonic() < until and any(
            channel.requests or channel.total_outbufs_len for channel in self.active_channels.values()
        ):
            self._turn(0.1)
        self.task_dispatcher.shutdown(timeout=0.5)
        wasyncore.close_all(self._map)

    def _turn(self, timeout: float) -> None:
        wasyncore.loop(timeout, use_poll=True, map=self._map, count=1)

    def maintenance(self, now: float) -> None:
        """Close connections that stalled, dripped for too long, or were idle."""
        for channel in self.active_channels.values():
            idle = now - channel.last_activity
            arriving = channel.request
            if arriving is not None:
                allowed = RECEIVE_BULK_SECONDS if arriving.is_bulk else RECEIVE_SECONDS
                is_over = idle > STALLED_SECONDS or now - arriving.began > allowed
            elif channel.total_outbufs_len:
                is_over = idle > STALLED_SECONDS
            else:
                is_over = not channel.requests and idle > KEEP_ALIVE_SECONDS
            if is_over:
                channel.will_close = True
