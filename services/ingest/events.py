"""Events: what became of what a sender sent."""

from uuid import UUID

from apiflask import APIFlask
from sqlalchemy import text

from services.ingest.hooks import IngestService
from shared.bearer import authorise
from shared.problems import Problem
from shared.tokens import ApiToken, FindToken

_EVENT = text(
    "SELECT event.id, event.source, event.external_id AS order_id, event.version, event.entry_point,"
    " coalesce(task.state, event.state) AS state, event.is_current AS is_current,"
    " CASE WHEN task.state IS NULL THEN event.problem"
    "  ELSE jsonb_build_array(jsonb_build_object('detail', task.error, 'pointer', '#')) END AS problem, event.flags,"
    " event.received_at, event.applied_at,"
    " sales_order.id AS applied_order_id, sales_order.net, sales_order.currency,"
    " (SELECT count(*) FROM signal WHERE occasion = 'order:' || sales_order.id"
    "   AND order_version = sales_order.version) AS signals,"
    " (SELECT reason FROM skip_reason WHERE order_id = sales_order.id"
    "   AND order_version = sales_order.version) AS skip_reason,"
    " (SELECT coalesce(array_agg(public_id), '{}') FROM alert WHERE order_id = sales_order.id) AS alerts"
    " FROM event LEFT JOIN sales_order ON sales_order.event_id = event.id"
    " LEFT JOIN task ON task.kind = 'score' AND task.key = event.id::text AND task.state = 'dead' WHERE event.id = :id"
)


def add(app: APIFlask, service: IngestService, find_token: FindToken) -> None:
    """Add the question to a service."""

    @app.get("/v1/events/<event_id>")
    @app.doc(
        summary="What became of an order",
        tags=["orders"],
        security="ApiToken",
        responses=[200, 401, 403, 404],
    )
    def event(event_id: str) -> dict[str, object]:
        """Tell state, faults, and what the order led to."""
        token = _reader(find_token)
        try:
            asked = UUID(event_id)
        except ValueError:
            raise Problem(404, "There is no such event.") from None
        with service.database.autocommit() as connection:
            row = connection.execute(_EVENT, {"id": asked}).mappings().first()
        if row is None or ("orders:read" not in token.scopes and row["source"] != token.source):
            raise Problem(404, "There is no such event.")
        applied = ("net", "currency", "signals")
        order = None if row["applied_order_id"] is None else {name: row[name] for name in applied}
        shown = {name: row[name] for name in row if name not in (*applied, "applied_order_id")}
        return shown | {"order": order}


def _reader(find_token: FindToken) -> ApiToken:
    """A token that reads orders; one that only writes them may ask about its own."""
    try:
        return authorise("orders:write", find_token)
    except Problem as problem:
        if problem.status != 403:
            raise
        return authorise("orders:read", find_token)
