"""The ground of every web service: errors, health, metrics, request ids, limits, strict JSON and API docs.

What runs for every request is kept small: two methods, one log line.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import getrandbits
from sys import maxsize
from time import perf_counter
from typing import Any, NoReturn, cast

import msgspec
from apiflask import APIFlask
from flask import Request, Response, request
from flask.globals import request_ctx
from flask.json.provider import DefaultJSONProvider
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from shared import api_docs, health, problems
from shared.faults import Fault, load_json
from shared.health import Check
from shared.logs import access_log, request_id
from shared.metrics import Metrics
from shared.problems import Problem

__all__ = [
    "BULK_MEDIA_TYPE",
    "LARGEST_BODY",
    "PAGE_HEADERS",
    "Check",
    "accept_any_length",
    "asked_limit",
    "create_service",
    "wrong_parameter",
]

LARGEST_BODY = 1024 * 1024
BULK_MEDIA_TYPE = "application/x-ndjson"
"""A body of this type may have any number of lines, on the routes that lift the limit."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
        " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""What every HTML page carries unless its view set the same header itself."""

_NUMBER = re.compile("[0-9]{1,9}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{8,64}")


def create_service(
    name: str,
    *,
    title: str,
    version: str,
    metrics: Metrics,
    readiness: Mapping[str, Check],
    max_body: int = LARGEST_BODY,
) -> APIFlask:
    """Return a service without routes of its own. Nothing is opened: connections belong after the fork."""
    app = _Service(
        name,
        title=title,
        version=version,
        docs_path=None,
        json_errors=False,
        static_folder=None,  # type: ignore[arg-type] # Flask's own type allows it
    )
    app.metrics = metrics
    app.outcomes = {}
    app.request_class = _StrictRequest
    app.json = _StrictJson(app)
    app.config["MAX_CONTENT_LENGTH"] = max_body
    app.config["PROPAGATE_EXCEPTIONS"] = False
    problems.register(app)
    api_docs.register(app)
    health.register(app, metrics, readiness)
    return app


def accept_any_length() -> None:
    """Lift the body limit for the request at hand; its view must read the stream piece by piece."""
    request.max_content_length = maxsize  # None would mean the limit of the configuration


def asked_limit(*, default: int, most: int) -> int:
    """Return the `limit` of the request at hand. Raises a Problem that names the parameter."""
    limit = request.args.get("limit", str(default))
    if not _NUMBER.fullmatch(limit) or not 1 <= int(limit) <= most:
        raise wrong_parameter("limit", f"limit is a whole number from 1 to {most}")
    return int(limit)


def wrong_parameter(name: str, detail: str) -> Problem:
    """Return the problem of one parameter of the address."""
    return Problem(422, detail, faults=[Fault(detail, None, parameter=name)])


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What is counted and logged of every answer alike in route, method and status; made once for each."""

    count: Callable[[], None]
    observe: Callable[[float], None]
    fields: str


class _Service(APIFlask):
    """Gives each request an id, refuses compressed bodies and NULs, counts and logs the answer.

    It overrides the two methods Flask has for it: registered hooks would cost another tenth of a request.
    """

    metrics: Metrics
    outcomes: dict[tuple[str, str, int], _Outcome]

    def preprocess_request(self) -> ResponseReturnValue | None:
        """Give the request an id; refuse what no route can read."""
        environment = request.environ
        environment["tipoff.began"] = perf_counter()
        asked = environment.get("HTTP_X_REQUEST_ID")
        request_id.set(asked if asked and _REQUEST_ID.fullmatch(asked) else f"{getrandbits(64):016x}")
        if environment.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
            raise UnsupportedMediaType("Send the body without Content-Encoding.")
        # PostgreSQL keeps no NUL in text, so no identifier and no search can hold one.
        if "\0" in environment["PATH_INFO"] or "%00" in environment["QUERY_STRING"]:
            raise BadRequest("An address must not hold a NUL (%00).")
        return super().preprocess_request()

    def process_response(self, response: Response) -> Response:
        """Count and log the answer."""
        response = super().process_response(response)
        asked = request_ctx.request
        rule = asked.url_rule
        method = asked.method if asked.method in METHODS else "other"
        key = ("unmatched" if rule is None else rule.rule, method, response.status_code)
        outcome = self.outcomes.get(key)
        if outcome is None:
            outcome = self.outcomes[key] = _Outcome(
                self.metrics.http_requests.labels(key[0], method, str(response.status_code)).inc,
                self.metrics.http_request_duration.labels(key[0], method).observe,
                access_log.fields(*key),
            )
        seconds = perf_counter() - asked.environ["tipoff.began"]
        outcome.count()
        outcome.observe(seconds)
        current = cast("str", request_id.get())
        headers = response.headers
        headers.add("X-Request-Id", current)
        headers.add("X-Content-Type-Options", "nosniff")
        if headers.get("Content-Type", "").startswith("text/html"):
            for name, value in PAGE_HEADERS.items():
                headers.setdefault(name, value)
        access_log.write(outcome.fields, current, seconds)
        return response

    def log_exception(self, exc_info: tuple[Any, ...]) -> None:
        """Log what made an answer a 500, with its stack and by its route: a path may hold a working token."""
        rule = request.url_rule
        self.logger.error(
            "%s %s failed", request.method, "unmatched" if rule is None else rule.rule, exc_info=exc_info
        )


class _StrictRequest(Request):
    """Takes only JSON that says it is, and that everybody reads the same."""

    def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> object:  # noqa: ARG002, FBT001, FBT002 - Flask's signature
        """Return the body's value; `force` is ignored: a body of another type is a 415."""
        return super().get_json(force=False, silent=silent, cache=cache)

    def on_json_loading_failed(self, e: ValueError | None) -> NoReturn:
        """Say why."""
        if e is None:
            raise UnsupportedMediaType("Send application/json.")
        raise Problem(400, str(e), title="Not usable as JSON")


class _StrictJson(DefaultJSONProvider):
    def loads(self, s: str | bytes, **_: object) -> object:
        """Read strictly."""
        return load_json(s if isinstance(s, bytes) else s.encode())

    def dumps(self, obj: object, **_: object) -> str:
        """Write dates as ISO 8601, decimals as text."""
        return msgspec.json.encode(obj).decode()
