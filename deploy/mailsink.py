"""A mail server that delivers nothing: it keeps every mail in a folder and shows them on a page.

`python -m deploy.mailsink --smtp-port 1025 --http-port 8025 --folder mails` runs it; `MailSink` is the same inside
a process, for tests. It trusts whoever can reach it, so it listens on this machine only unless told otherwise.
"""

import argparse
import signal
import socket
import threading
from asyncio.base_events import Server
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from deploy.mail_pages import create_app
from deploy.mail_pages.mailbox import Mailbox, StoredMail

LARGEST_MAIL = 10_000_000


class _Keep:
    """What aiosmtpd calls when a mail has arrived: it is on disk before the sender hears 250."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:  # noqa: ANN401, N802 - aiosmtpd's
        """Keep the mail."""
        recipients = [str(each) for each in envelope.rcpt_tos]
        name = self._mailbox.keep(str(envelope.mail_from or ""), recipients, envelope.original_content or b"")
        return f"250 OK kept as {name}"


class _SmtpServer(Controller):
    """An SMTP server that knows which port it got when it asked for any."""

    def _trigger_server(self) -> None:
        assert isinstance(self.server, Server)  # noqa: S101 - set by the superclass just before
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]


class _Quiet(WSGIRequestHandler):
    """Serves pages without a log line for each."""

    def log(self, _type: str, _message: str, *_arguments: object) -> None:
        """Say nothing."""


class MailSink:
    """An SMTP server and its page. Port 0 means any free one; `smtp_url` and `url` tell which."""

    def __init__(self, folder: Path, smtp_port: int = 0, http_port: int = 0, host: str = "127.0.0.1") -> None:
        self.mailbox = Mailbox(folder)
        self._host = host
        self._ports = (smtp_port, http_port)
        self._smtp: _SmtpServer | None = None
        self._pages: BaseWSGIServer | None = None
        self._serving: threading.Thread | None = None

    @property
    def smtp_url(self) -> str:
        """Where mails are sent to."""
        return f"smtp://{self._host}:{self._smtp.port if self._smtp else self._ports[0]}"

    @property
    def url(self) -> str:
        """Where mails are read."""
        return f"http://{self._host}:{self._pages.port if self._pages else self._ports[1]}/"

    def mails(self) -> list[StoredMail]:
        """Return every mail, oldest first."""
        return [self.mailbox.read(name) for name in reversed(self.mailbox.names())]

    def start(self) -> Self:
        """Start both servers. Raises OSError when a port is taken, with nothing left running."""
        smtp_port, http_port = self._ports
        socket.create_server(
            (self._host, smtp_port)
        ).close()  # aiosmtpd takes 5 s to find out that it is taken
        with socket.create_server((self._host, http_port)) as listener:
            app = create_app(self.mailbox)
            self._pages = make_server(
                self._host, http_port, app, threaded=True, request_handler=_Quiet, fd=listener.fileno()
            )
        self._smtp = _SmtpServer(
            _Keep(self.mailbox),
            hostname=self._host,
            port=smtp_port,
            data_size_limit=LARGEST_MAIL,
            enable_SMTPUTF8=True,
        )
        self._serving = threading.Thread(target=self._pages.serve_forever, name="mail pages", daemon=True)
        self._serving.start()
        try:
            self._smtp.start()
        except OSError:
            self._smtp.loop.close()  # aiosmtpd leaves it open when it cannot listen
            self._smtp = None
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop both servers; the mails stay in their folder."""
        if self._smtp is not None:
            self._smtp.stop(no_assert=True)
        if self._pages is not None and self._serving is not None:
            self._pages.shutdown()
            self._serving.join()
            self._pages.server_close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def run(smtp_port: int, http_port: int, folder: Path, host: str = "127.0.0.1") -> None:
    """Run until Ctrl-C or SIGTERM."""
    ends = (signal.SIGINT, signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # before the threads start, so that none of them takes it
    with MailSink(folder, smtp_port, http_port, host) as sink:
        print(f"Mails sent to {sink.smtp_url} are kept in {folder} and shown at {sink.url}", flush=True)
        signal.sigwait(ends)


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m deploy.mailsink", description="Keep and show mails.")
    parser.add_argument("--smtp-port", type=int, default=1025)
    parser.add_argument("--http-port", type=int, default=8025)
    parser.add_argument("--folder", type=Path, default=Path(".data/mails"))
    parser.add_argument(
        "--host", default="127.0.0.1", help="the address to listen on; in a container 0.0.0.0"
    )
    arguments = parser.parse_args()
    run(arguments.smtp_port, arguments.http_port, arguments.folder, arguments.host)


if __name__ == "__main__":
    main()
