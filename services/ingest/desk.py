"""This file is what the doors of ingest share: where readings go, what is assumed of them, what is counted."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import msgspec
from flask import Response
from werkzeug.datastructures import Headers

from services.ingest.faults import Contradiction, Fault, NotJson
from services.ingest.normalise import Receipt
from services.ingest.receive import Verdict
from services.ingest.store import QUEUE, Stored
from shared import problems
from shared.clock import Clock
from shared.db import Database
from shared.metrics import Metrics
from shared.problems import Problem

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

STATUS = {
    Verdict.NEW: 202,
    Verdict.NEWER: 202,
    Verdict.REPEAT: 200,
    Verdict.SUPERSEDED: 200,
    Verdict.CONFLICT: 202,
}
OUTCOME = {
    Verdict.NEW: "accepted",
    Verdict.NEWER: "accepted",
    Verdict.REPEAT: "repeat",
    Verdict.SUPERSEDED: "superseded",
    Verdict.CONFLICT: "quarantined",
}
"""The word a sender gets for a verdict."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What every door needs."""

    database: Database
    notify: Callable[[str], None]
    real_now: Clock
    zone: ZoneInfo
    currency: str
    metrics: Metrics

    def receipt(self, source: str) -> Receipt:
        """How an order comes in now."""
        return Receipt(source, self.zone, self.currency, self.real_now())

    def count(self, source: str, door: str, outcome: str) -> None:
        """Count one message and what became of it."""
        self.metrics.received(source, door, outcome).inc()

    def welcome(self, source: str, door: str, stored: Stored) -> None:
        """Count a stored reading and wake whoever works on it."""
        verdict = stored.verdict
        self.count(source, door, OUTCOME[verdict] if stored.event_id is not None else "conflict")
        if stored.is_flagged:
            self.metrics.orders_flagged.labels(source).inc()
        if verdict is Verdict.NEW or verdict is Verdict.NEWER:
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


def unprocessable(contradiction: Contradiction) -> Problem:
    """Return the problem that names every fault of an order."""
    faults = problem_faults(contradiction.faults)
    return Problem(status_of(contradiction), "The order cannot be taken as it stands.", faults=faults)


def status_of(contradiction: Contradiction) -> int:
    """Tell what is no JSON from what is no order."""
    return 400 if isinstance(contradiction, NotJson) else 422


def problem_faults(faults: tuple[Fault, ...]) -> list[problems.Fault]:
    """Return faults as problem details carry them."""
    return [problems.Fault(each["detail"], each["pointer"]) for each in (fault.as_json() for fault in faults)]
