"""A mail server for tests: real SMTP on a free port of this machine, with answers that can be set."""

import asyncio
from asyncio import Server
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller


@dataclass
class Sink:
    """What arrived, and what is answered to RCPT and DATA: texts are used up one by one, then all is well.

    `seconds`: how long it thinks about a mail it has; `rcpt_seconds`: about a recipient.
    """

    url: str = ""
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    rcpt_answers: list[str] = field(default_factory=list)
    data_answers: list[str] = field(default_factory=list)
    connections: int = 0
    seconds: float = 0.0
    rcpt_seconds: float = 0.0

    async def handle_EHLO(  # noqa: N802 - aiosmtpd names it
        self, _server: Any, session: Any, _envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        """Count connections."""
        self.connections += 1
        session.host_name = hostname
        return responses

    async def handle_RCPT(  # noqa: N802
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: list[str]
    ) -> str:
        """Take a recipient, unless told otherwise."""
        await asyncio.sleep(self.rcpt_seconds)
        if self.rcpt_answers:
            return self.rcpt_answers.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        """Take a mail; an answer that was set is given after taking it when it starts with '+'."""
        await asyncio.sleep(self.seconds)
        answer = self.data_answers.pop(0) if self.data_answers else "250 OK"
        if answer.startswith(("2", "+")):
            parsed = message_from_bytes(envelope.content, policy=policy.default)
            assert isinstance(parsed, EmailMessage)
            self.mails.append(parsed)
            self.recipients += envelope.rcpt_tos
        return answer.removeprefix("+")


class OnFreePort(Controller):
    """A server on whichever port is free."""

    def _trigger_server(self) -> None:
        assert isinstance(self.server, Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]


@contextmanager
def running(*, takes_other_scripts: bool = True) -> Iterator[Sink]:
    """A mail server for as long as the block lasts."""
    sink = Sink()
    controller = OnFreePort(sink, hostname="127.0.0.1", port=0, enable_SMTPUTF8=takes_other_scripts)
    controller.start()
    sink.url = f"smtp://127.0.0.1:{controller.port}?starttls=never"
    try:
        yield sink
    finally:
        controller.stop()
