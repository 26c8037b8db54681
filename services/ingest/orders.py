"""The API's entry point for orders: one as JSON, or thousands as NDJSON, with a token."""

from apiflask import APIFlask
from flask import Response, request
from werkzeug.exceptions import UnsupportedMediaType

from services.ingest import bulk
from services.ingest.hooks import OUTCOME, STATUS, IngestService, answer, unprocessable
from services.ingest.normalise import read_order
from services.ingest.source import InvalidOrder
from services.ingest.store import Comparison, Event, conflict, prepare, store
from shared.bearer import require_scope
from shared.problems import Problem
from shared.tokens import ApiToken, FindToken

ENTRY_POINT = "api"


def add(app: APIFlask, service: IngestService, find_token: FindToken) -> None:
    """Add the entry point to a service."""

    @app.post("/v1/orders")
    @app.doc(
        summary="Send orders",
        tags=["orders"],
        security="ApiToken",
        responses=[200, 202, 400, 401, 403, 409, 413, 415, 422],
    )
    @require_scope("orders:write", find_token)
    def orders(token: ApiToken) -> Response:
        """Take one order, or one a line as NDJSON: then each line gets a result of its own."""
        source = token.source or token.name
        if request.mimetype == bulk.MEDIA_TYPE:
            return bulk.take(service, source)
        if request.mimetype != "application/json":
            raise UnsupportedMediaType(f"Send application/json or {bulk.MEDIA_TYPE}.")
        raw = request.get_data(cache=False)
        try:
            order = read_order(raw, service.read_context(source))
        except InvalidOrder as invalid:
            service.count(source, ENTRY_POINT, "refused")
            raise unprocessable(invalid) from None
        stored = store(service.database, prepare(order, Event(source, ENTRY_POINT, raw)))
        service.count_stored(source, ENTRY_POINT, stored)
        if stored.comparison is Comparison.CONFLICT:
            raise Problem(409, conflict(order).detail + ".")
        return answer(STATUS[stored.comparison], OUTCOME[stored.comparison], stored.event_id)
