"""What the entry points of ingest share: what is assumed of an order, how it is answered and counted."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import msgspec
from flask import Response
from werkzeug.datastructures import Headers

from services.ingest.compare import Comparison
from services.ingest.source import InvalidOrder, NotJson, ReadContext
from services.ingest.store import QUEUE, Stored
from shared.clock import Clock
from shared.db import Database
from shared.metrics import Metrics
from shared.problems import Problem

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

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
