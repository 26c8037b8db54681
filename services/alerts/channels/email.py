"""Alerts as mail: text and HTML, several mails over one connection, TLS unless the setting allows none."""

import re
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

import css_inline

from services.alerts import message
from services.alerts.channel import (
    Channel,
    ChannelConfig,
    OutboundMessage,
    Receipt,
    Rejected,
    Send,
    Unavailable,
)

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

LONGEST_ADDRESS = 254
PERMANENT = 500

NO_SUCH_ADDRESS = re.compile(r"5\.1\.(1|2|3|6|10)\b")
"""RFC 3463: no such mailbox, no such domain, no valid address, moved away; RFC 7505: a domain that takes no mail."""

COMMAND_SECONDS = 30.0
"""How long the relay may take for a connection, and for each answer before the text of a mail was sent."""

ACCEPT_SECONDS = 600.0
"""How long it may take to accept a mail whose text it has, as RFC 5321 allows: who hangs up earlier mails twice."""

STARTTLS = ("required", "opportunistic", "never")
INLINER = css_inline.CSSInliner(load_remote_stylesheets=False, keep_style_tags=True)


# The standard library doubles the blank where it folds a subject before a currency sign: long enough not to fold.
UNFOLDED = SMTP.clone(max_line_length=200)


@dataclass(frozen=True, slots=True)
class Relay:
    """A mail server, as the setting smtp_url names it."""

    host: str
    port: int
    user: str | None
    password: str | None = field(repr=False)
    is_tls: bool
    starttls: str


def relay_of(url: str) -> Relay:
    """Read smtp://user:password@host:587?starttls=required|opportunistic|never, or smtps://.

    Raises ValueError for one that cannot be used. TLS is required unless the URL allows none.
    """
    parts = urlsplit(url)
    starttls = parse_qs(parts.query).get("starttls", ["required"])[0]
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname or starttls not in STARTTLS:
        raise ValueError(f"smtp_url must be smtps://host or smtp://host?starttls={'|'.join(STARTTLS)}")
    is_tls = parts.scheme == "smtps"
    return Relay(
        host=parts.hostname,
        port=parts.port or (465 if is_tls else 587),
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        is_tls=is_tls,
        starttls="never" if is_tls else starttls,
    )


def address_of(text: str) -> Address:
    """Read exactly one address. Raises ValueError: two recipients, control characters and headers are no address."""
    name, _, domain = text.rpartition("@")
    if not (name and domain and text.isprintable()) or len(text) > LONGEST_ADDRESS:
        raise ValueError("not one mail address")
    checked = f"{_in_ascii(name)}@{domain}"
    try:
        address = Address(addr_spec=checked)
        if address.addr_spec != checked:
            raise ValueError("not one mail address")
        username = address.username if name.isascii() else name
        return Address(username=username, domain=domain.encode("idna").decode())
    except (ValueError, IndexError, MessageError) as fault:
        raise ValueError("not one mail address") from fault


def _in_ascii(name: str) -> str:
    """Letters of other scripts as one of ours: the standard library checks the form of ASCII addresses alone."""
    return "".join(letter if letter.isascii() else "x" for letter in name)


def compose(outbound: OutboundMessage, mail_from: str) -> EmailMessage:
    """Write the mail. Its Message-ID is the delivery's id, so a repeat collapses into the first."""
    name, address = parseaddr(mail_from)
    sender = address_of(address)
    rendered = message.write_notice(outbound.notice) if outbound.notice else message.write(outbound.alerts)
    thread = f"<{rendered.thread}@{sender.domain}>"
    mail = EmailMessage(policy=UNFOLDED)
    mail["From"] = Address(display_name=name, addr_spec=sender.addr_spec)
    mail["To"] = address_of(outbound.recipient)
    mail["Subject"] = " ".join(rendered.subject.split())
    mail["Date"] = format_datetime(outbound.now)
    mail["Message-ID"] = f"<{outbound.delivery_id}@{sender.domain}>"
    mail["In-Reply-To"] = thread
    mail["References"] = thread
    mail["List-Id"] = f"Tipoff alerts <alerts.{sender.domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    mail.set_content(rendered.plain)
    mail.add_alternative(INLINER.inline(rendered.html), subtype="html")
    return mail


@contextmanager
def open_channel(config: ChannelConfig) -> Iterator[Send]:
    """Connect at the first message, send all over that connection, and quit at the end."""
    relay = _RelayConnection(config)
    try:
        yield relay.send
    finally:
        relay.close()


def check(address: str, _config: ChannelConfig) -> str | None:
    """Why an address cannot be mailed, or None."""
    try:
        address_of(address)
    except ValueError as fault:
        return str(fault)
    return None


class _RememberingAnswer(smtplib.SMTP):
    """Keeps what smtplib drops: what the relay answered to the last mail, and whether its text may have been taken."""

    accepted: tuple[int, bytes] = (0, b"")
    may_have_taken_it = False

    def data(self, msg: "ReadableBuffer | str") -> tuple[int, bytes]:
        """Send the text of a mail, wait as long as the relay may take, and keep the answer."""
        self.may_have_taken_it = True
        if self.sock is not None:
            self.sock.settimeout(ACCEPT_SECONDS)
        self.accepted = super().data(msg)
        if self.sock is not None:
            self.sock.settimeout(COMMAND_SECONDS)
        return self.accepted


class _RememberingAnswerOverTls(_RememberingAnswer, smtplib.SMTP_SSL):
    """The same over TLS from the first byte."""


class _RelayConnection:
    """One connection to the relay, made when first needed and again after it broke."""

    def __init__(self, config: ChannelConfig) -> None:
        self._config = config
        self._connection: _RememberingAnswer | None = None

    def send(self, outbound: OutboundMessage) -> Receipt:
        """Hand one mail to the relay, and return its answer. Raises Rejected or Unavailable."""
        try:
            mail = compose(outbound, self._config.mail_from)
        except ValueError as fault:
            raise Rejected(f"the mail cannot be written: {fault}") from fault
        if self._connection is None:
            self._connection = self._connect()
        connection = self._connection
        connection.may_have_taken_it = False
        try:
            connection.send_message(mail)
        except smtplib.SMTPNotSupportedError as fault:
            self._reset()
            reason = "the mail server takes no address in this script (it lacks SMTPUTF8)"
            raise Unavailable(reason, is_refusal=True) from fault
        except smtplib.SMTPSenderRefused as fault:
            self._reset()
            meaning = _meaning(fault.smtp_code, fault.smtp_error)
            raise Unavailable(f"our sender is refused: {meaning}", is_down=True) from fault
        except smtplib.SMTPResponseException as fault:
            self._reset()
            raise _meaning(fault.smtp_code, fault.smtp_error) from fault
        except smtplib.SMTPRecipientsRefused as fault:
            self._reset()
            code, answer = next(iter(fault.recipients.values()))
            raise _meaning(code, answer) from fault
        except smtplib.SMTPServerDisconnected as fault:
            self.close()
            is_silent = isinstance(fault.__context__, TimeoutError)
            reason = "the mail server stopped answering" if is_silent else "the mail server hung up"
            is_unknown = connection.may_have_taken_it
            raise Unavailable(reason, is_unknown=is_unknown, is_down=is_silent) from fault
        except OSError as fault:
            self.close()
            reason = f"the mail server stopped answering ({type(fault).__name__})"
            raise Unavailable(reason, is_unknown=connection.may_have_taken_it, is_down=True) from fault
        code, answer = connection.accepted
        return {"status": code, "answer": _printable(answer)}

    def close(self) -> None:
        """Say goodbye; a server that is gone already does not matter."""
        if self._connection is not None:
            with suppress(OSError, smtplib.SMTPException):
                self._connection.quit()
            self._connection.close()
            self._connection = None

    def _reset(self) -> None:
        """Clear a refused transaction, so that the next mail starts clean."""
        try:
            if self._connection is not None:
                self._connection.rset()
        except (OSError, smtplib.SMTPException):
            self.close()

    def _connect(self) -> _RememberingAnswer:
        """Connect and sign in. Raises Unavailable."""
        if self._config.smtp_url is None:
            raise Unavailable("no mail server is set", is_down=True)
        relay = relay_of(self._config.smtp_url)
        connection: _RememberingAnswer | None = None
        try:
            if relay.is_tls:
                connection = _RememberingAnswerOverTls(
                    relay.host, relay.port, timeout=COMMAND_SECONDS, context=_trust()
                )
            else:
                connection = _RememberingAnswer(relay.host, relay.port, timeout=COMMAND_SECONDS)
            connection.ehlo()
            if relay.starttls == "required" or (
                relay.starttls == "opportunistic" and connection.has_extn("starttls")
            ):
                connection.starttls(context=_trust())
            if relay.user is not None:
                connection.login(relay.user, relay.password or "")
        except (OSError, smtplib.SMTPException) as fault:
            if connection is not None:
                connection.close()
            if isinstance(fault, smtplib.SMTPAuthenticationError):
                reason = f"the mail server refused our sign-in ({fault.smtp_code})"
            else:
                reason = f"no connection to the mail server ({type(fault).__name__})"
            raise Unavailable(reason, is_down=True) from fault
        return connection


@cache
def _trust() -> ssl.SSLContext:
    """Read once, and only where TLS is spoken: the list of authorities takes tens of milliseconds to load."""
    return ssl.create_default_context()


def _meaning(code: int, answer: bytes | str) -> Rejected | Unavailable:
    """What an answer of the relay means: only an address that does not exist is final; anything else may be repaired.

    A full mailbox, a policy, a rule about content, our own standing with the relay: 5xx says "permanent" of all alike.
    """
    printable = _printable(answer)
    answered = f"the mail server answered {code} {printable}"
    if code >= PERMANENT and NO_SUCH_ADDRESS.match(printable):
        return Rejected(answered, suppresses=True)
    return Unavailable(answered, is_refusal=code >= PERMANENT)


def _printable(answer: bytes | str) -> str:
    """What the relay wrote, on one line."""
    written = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
    return "".join(letter for letter in written if letter.isprintable())[:200]


def missing(config: ChannelConfig) -> str | None:
    """What the configuration lacks, or None."""
    return "no mail server is set" if config.smtp_url is None else None


CHANNEL = Channel(
    "email", open=open_channel, check=check, missing=missing, needs_permission=True, is_for_users=True
)
