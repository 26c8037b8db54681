"""The webhook entry point: verify, read, store in one transaction, 202, notify. And what every entry point shares: what
is assumed of an order, how it is answered and counted.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import msgspec
from apiflask import APIFlask
from flask import Response, request
from werkzeug.datastructures import Headers
from werkzeug.exceptions import UnsupportedMediaType

from services.ingest.source import InvalidOrder, NotJson, ReadContext, Source, read_event
from services.ingest.store import QUEUE, Comparison, Event, Stored, prepare, store, store_unreadable
from shared.clock import Clock
from shared.db import Database
from shared.metrics import Metrics
from shared.problems import Problem
from shared.signing import SignatureFault

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

ENTRY_POINT = "webhook"
# What is kept of the headers: enough to see who sent what when, and nothing secret.
KEPT_HEADERS = ("content-type", "user-agent", "webhook-id", "webhook-timestamp", "svix-id", "svix-timestamp")

Secrets = Mapping[str, Sequence[str]]

STATUS = {
    Comparison.NEW: 202,
    Comparison.NEWER: 202,
    Comparison.DUPLICATE: 200,
    Comparison.STALE: 200,
    Comparison.CONFLICT: 202,
}
OUTCOME = {
    Comparison.NEW: "accepted",
    Comparison.NEWER: "accepted",
    Comparison.DUPLICATE: "duplicate",
    Comparison.STALE: "stale",
    Comparison.CONFLICT: "quarantined",
}
"""The word a sender gets for a comparison."""


@dataclass(frozen=True, slots=True)
class IngestService:
    """What every entry point needs."""

    database: Database
    notify: Callable[[str], None]
    real_now: Clock
    zone: ZoneInfo
    currency: str
    metrics: Metrics

    def read_context(self, source: str) -> ReadContext:
        """How an order comes in now."""
        return ReadContext(source, self.zone, self.currency, self.real_now())

    def count(self, source: str, entry_point: str, outcome: str) -> None:
        """Count one message and what became of it."""
        self.metrics.received(source, entry_point, outcome).inc()

    def count_stored(self, source: str, entry_point: str, stored: Stored) -> None:
        """Count a stored revision and wake up whoever works on it."""
        comparison = stored.comparison
        self.count(source, entry_point, OUTCOME[comparison] if stored.event_id is not None else "conflict")
        if stored.is_flagged:
            self.metrics.orders_flagged.labels(source).inc()
        if comparison is Comparison.NEW or comparison is Comparison.NEWER:
            self.metrics.heard_from(source).set_to_current_time()
            self.notify(QUEUE)


def add(app: APIFlask, service: IngestService, sources: Mapping[str, Source], secrets: Secrets) -> None:
    """Add the entry point to a service."""

    @app.post("/hooks/<connection>")
    @app.doc(summary="Take a signed webhook", tags=["orders"], responses=[200, 202, 401, 404, 413, 415])
    def hook(connection: str) -> Response:
        """Take one signed message. 202 means stored for good; `Location` tells what becomes of it."""
        source = sources.get(connection)
        if source is None:
            raise Problem(404, "There is no such connection.")
        if request.mimetype not in source.media_types:
            raise UnsupportedMediaType(f"Send {' or '.join(sorted(source.media_types))}.")
        raw = request.get_data(cache=False)
        headers = {_name(key): value for key, value in request.environ.items() if key.startswith("HTTP_")}
        headers["content-type"] = request.environ.get("CONTENT_TYPE", "")
        context = service.read_context(source.name)
        try:
            message_id = source.verify(headers, raw, secrets.get(connection, ()), context.received_at)
        except SignatureFault:
            service.count(source.name, ENTRY_POINT, "unsigned")
            raise Problem(401, "The signature does not fit.") from None
        kept = {name: headers[name] for name in KEPT_HEADERS if name in headers}
        event = Event(source.name, ENTRY_POINT, raw, message_id, msgspec.json.encode(kept).decode())
        try:
            order = read_event(source.read, raw, context)
        except InvalidOrder as invalid:
            event_id = store_unreadable(service.database, event, invalid.faults)
            service.count(source.name, ENTRY_POINT, "quarantined")
            return answer(202, "quarantined", str(event_id))
        stored = store(service.database, prepare(order, event))
        service.count_stored(source.name, ENTRY_POINT, stored)
        return answer(STATUS[stored.comparison], OUTCOME[stored.comparison], stored.event_id)


@lru_cache(maxsize=256)
def _name(key: str) -> str:
    """Return the name, in lower case, of a header that WSGI calls HTTP_SO_AND_SO."""
    return key[5:].lower().replace("_", "-")


class Answer(Response):
    """A response whose headers are sent as they are: ours are plain already, and Werkzeug's care costs 40 µs."""

    def get_wsgi_headers(self, environ: "WSGIEnvironment") -> Headers:  # noqa: ARG002 - Werkzeug's signature
        """Return the headers; the length was set with the body."""
        return self.headers


def answer(status: int, outcome: str, event_id: str | None) -> Response:
    """Return the answer to one order."""
    body = msgspec.json.encode({"id": event_id, "status": outcome})
    headers = {"Location": f"/v1/events/{event_id}"} if event_id is not None else {}
    return Answer(body, status, headers, content_type="application/json")


def unprocessable(invalid: InvalidOrder) -> Problem:
    """Return the problem that names every fault of an order."""
    return Problem(status_of(invalid), "The order cannot be taken as it stands.", faults=invalid.faults)


def status_of(invalid: InvalidOrder) -> int:
    """Tell what is no JSON from what is no order."""
    return 400 if isinstance(invalid, NotJson) else 422
