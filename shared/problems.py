"""Everything that went wrong, answered in one form: RFC 9457 problem details, never a stack."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import msgspec
import psycopg
import sqlalchemy.exc
from apiflask import APIFlask, HTTPError
from flask import Response
from pydantic import ValidationError
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException
from werkzeug.http import HTTP_STATUS_CODES

from shared.db import DATABASE_ERRORS, is_away
from shared.faults import Fault, faults_of
from shared.logs import request_id

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 5

_AWAY = (
    sqlalchemy.exc.OperationalError,
    sqlalchemy.exc.InterfaceError,
    sqlalchemy.exc.TimeoutError,
    psycopg.OperationalError,
)


def is_retryable(error: Exception) -> bool:
    """Is the database away, read-only, or refusing more work, so that the client should come again?"""
    return isinstance(error, _AWAY) or is_away(error)


class Problem(Exception):
    """Raise to answer with a problem. The detail is read by whoever sent the request."""

    def __init__(
        self,
        status: int,
        detail: str | None = None,
        *,
        title: str | None = None,
        faults: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail or title or str(status))
        self.status = status
        self.detail = detail
        self.title = title
        self.faults = tuple(faults)
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """Return the answer."""
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": self.title or HTTP_STATUS_CODES.get(self.status, "Problem"),
            "status": self.status,
        }
        if self.detail:
            body["detail"] = self.detail
        if self.faults:
            body["errors"] = [fault.as_json() for fault in self.faults]
        if (current := request_id.get()) is not None:
            body["request_id"] = current
        return Response(msgspec.json.encode(body), self.status, self.headers, content_type=MEDIA_TYPE)


def register(app: APIFlask) -> None:
    """Answer every error of a service in this form."""
    app.register_error_handler(Problem, Problem.response)
    app.register_error_handler(HTTPException, _of_werkzeug)
    app.register_error_handler(HTTPError, _of_apiflask)
    for failure in DATABASE_ERRORS:
        app.register_error_handler(failure, _of_database(app))


def _of_werkzeug(error: HTTPException) -> Response:
    status = error.code or 500
    kept = ("allow", "retry-after", "www-authenticate", "location")
    headers = {name: value for name, value in error.get_headers() if name.lower() in kept}
    detail = None if status >= 500 else error.description
    return Problem(status, detail, headers=headers).response()


def _of_apiflask(error: HTTPError) -> Response:
    cause = error.__cause__
    location = next(iter(error.detail), "json") if isinstance(error.detail, dict) else "json"
    if not isinstance(cause, ValidationError):
        return Problem(error.status_code, error.message, headers=dict(Headers(error.headers))).response()
    faults = faults_of(cause)
    if location != "json":
        faults = tuple(
            Fault(fault.detail, None, parameter=cast("str", fault.pointer)[2:]) for fault in faults
        )
    return Problem(422, "What was sent does not fit the schema.", faults=faults).response()


def _of_database(app: APIFlask) -> Callable[[Exception], Response]:
    def answer(error: Exception) -> Response:
        if not is_retryable(error):
            raise error
        app.logger.warning("the database is away: %s", str(error).split("\n", 1)[0][:200])
        headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
        return Problem(503, "The database does not answer; nothing was stored.", headers=headers).response()

    return answer
