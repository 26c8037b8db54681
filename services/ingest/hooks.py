"""The webhook entry point: verify, read, store in one transaction, 202, notify."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import msgspec
from apiflask import APIFlask
from flask import Response, request
from werkzeug.exceptions import UnsupportedMediaType

from services.ingest.entry_points import OUTCOME, STATUS, IngestService, answer
from services.ingest.source import InvalidOrder, Source, read_event
from services.ingest.store import Event, prepare, store, store_unreadable
from shared.problems import Problem
from shared.signing import SignatureFault

ENTRY_POINT = "webhook"
# What is kept of the headers: enough to see who sent what when, and nothing secret.
KEPT_HEADERS = ("content-type", "user-agent", "webhook-id", "webhook-timestamp", "svix-id", "svix-timestamp")

Secrets = Mapping[str, Sequence[str]]


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
