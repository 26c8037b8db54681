"""The API's door for orders: one as JSON, or thousands as NDJSON, with a token."""

from apiflask import APIFlask
from flask import Response, request
from werkzeug.exceptions import UnsupportedMediaType

from services.ingest import bulk
from services.ingest.desk import OUTCOME, STATUS, Desk, answer, unprocessable
from services.ingest.faults import Contradiction
from services.ingest.reading import read_order
from services.ingest.receive import Verdict
from services.ingest.store import Message, arrival, conflict, store
from shared.bearer import require_scope
from shared.problems import Problem
from shared.tokens import ApiToken, FindToken

DOOR = "api"


def add(app: APIFlask, desk: Desk, find_token: FindToken) -> None:
    """Add the door to a service."""

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
            return bulk.take(desk, source)
        if request.mimetype != "application/json":
            raise UnsupportedMediaType(f"Send application/json or {bulk.MEDIA_TYPE}.")
        return _take(desk, source)


def _take(desk: Desk, source: str) -> Response:
    raw = request.get_data(cache=False)
    try:
        order = read_order(raw, desk.receipt(source))
    except Contradiction as contradiction:
        desk.count(source, DOOR, "refused")
        raise unprocessable(contradiction) from None
    stored = store(desk.database, arrival(order, Message(source, DOOR, raw)))
    desk.welcome(source, DOOR, stored)
    if stored.verdict is Verdict.CONFLICT:
        raise Problem(409, conflict(order).detail + ".")
    return answer(STATUS[stored.verdict], OUTCOME[stored.verdict], stored.event_id)
