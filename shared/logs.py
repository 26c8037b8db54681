"""Logs: one JSON object a line for machines, one plain line for people at a terminal.

Only fields named here leave the process, and what looks like a secret is cut short in every text, tracebacks too.
"""

import json
import logging
import re
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

FIELDS = (
    "method route path status milliseconds bytes reason queue kind key task_id attempt attempts event_id order_id"
    " signal_id alert_id delivery_id rep_id source channel outcome count seconds file row version decision"
).split()
"""What a log call may add by `extra=`. Anything else stays inside."""

# The beginning is kept, so that a leaked secret can be told from another; the rest never leaves.
_SECRETS = re.compile(
    r"(?P<kept>(?:whsec_|tip_)[0-9A-Za-z+/]{2}"
    r"|\b(?:Bearer|Basic) +[^\s\"']{4}"
    r"|hooks\.slack\.com/\w+/"
    r"|(?:password|passwd|secret|token|api_?key|authorization|[?&]sig)[\"']?\s*[=:]\s*[\"']?(?!(?:Bearer|Basic) ))"
    r"[^\s\"',;&)}\]]+"
    r"|(?P<user>[a-z][a-z0-9+.-]*://[^\s:/@\"']*:)[^\s/\"']+(?=@)",
    re.IGNORECASE,
)


def configure(service: str, *, json: bool | None, stream: TextIO | None = None) -> None:
    """Send every log of this process to one stream (standard error), from level INFO. None: JSON but for a terminal."""
    json = not sys.stderr.isatty() if json is None else json
    output.to(stream or sys.stderr)
    handler = logging.StreamHandler(output)
    handler.setFormatter(JsonLines(service) if json else PlainLines(service))
    access_log.configure(service, json=json)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.getLogger("alembic").setLevel(logging.WARNING)


class Output:
    """Where log lines go. A line that cannot be written is counted and dropped: a full disk stops no answer."""

    def __init__(self) -> None:
        self._stream: TextIO | None = None
        self.lost = 0

    def to(self, stream: TextIO | None) -> None:
        """Write to this stream from now on; nowhere when None."""
        self._stream = stream

    def write(self, text: str) -> None:
        """Write one line."""
        if self._stream is None:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            self.lost += 1

    def flush(self) -> None:
        """Do nothing: every line is flushed when it is written."""


output = Output()


def masked(text: str) -> str:
    """Return a text without the greater part of anything that looks like a secret."""
    return _SECRETS.sub(lambda found: (found["kept"] or found["user"]) + "***", text)


class JsonLines(logging.Formatter):
    """One JSON object a line; a line break in a text stays inside its text."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": _moment(record).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self._service,
            "event": masked(record.getMessage()),
            "logger": record.name,
        }
        if (current := request_id.get()) is not None:
            line["request_id"] = current
        line |= _extra(record)
        if record.exc_info:
            line["error"] = masked(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False, default=str)


class PlainLines(logging.Formatter):
    """Time, level, service and what happened, then the fields."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; control characters of other people's texts are shown, not obeyed."""
        words = [f"{_moment(record):%H:%M:%S} {record.levelname:<7} {self._service}: {record.getMessage()}"]
        words += [f"{name}={value}" for name, value in _extra(record).items()]
        line = masked(" ".join(words))
        line = "".join(each if each.isprintable() else repr(each)[1:-1] for each in line)
        if record.exc_info:
            line += "\n" + masked(self.formatException(record.exc_info))
        return line


class AccessLog:
    """One line a request, written without the logging module, which takes as long as the rest of the answer.

    Routes are rules, not paths: an id or a token in a path does not belong in a log.
    """

    def __init__(self) -> None:
        self._json = False
        self._service = ""

    def configure(self, service: str, *, json: bool) -> None:
        """Say who answers, and whether in JSON."""
        self._service, self._json = service, json

    def fields(self, route: str, method: str, status: int) -> str:
        """What is the same in every line of this route, method and status; to be made once and kept."""
        if not self._json:
            return f" INFO    {self._service}: {method} {route} {status}"
        same = {"level": "info", "service": self._service, "event": "answered"}
        return json.dumps(same | {"method": method, "route": route, "status": status})[1:-1]

    def write(self, fields: str, current: str, seconds: float) -> None:
        """Write the line of one answer. `current` is the request's id."""
        now = datetime.now(UTC)
        if self._json:
            time = f'"time": "{now.isoformat(timespec="milliseconds")}"'
            line = f'{{{time}, {fields}, "request_id": "{current}", "milliseconds": {seconds * 1000:.2f}}}\n'
        else:
            line = f"{now:%H:%M:%S}{fields} in {seconds * 1000:.1f} ms request_id={current}\n"
        output.write(line)


access_log = AccessLog()


def _moment(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    held = record.__dict__
    return {
        name: value if value is None or isinstance(value, int | float | bool) else masked(str(value))
        for name, value in ((name, held[name]) for name in FIELDS if name in held)
    }
