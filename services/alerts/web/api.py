"""Alerts as JSON: the newest, and one by its id, to holders of a token with alerts:read."""

from typing import Any
from uuid import UUID

from apiflask import APIFlask

from services.alerts.payload import described
from services.alerts.store import inbox, views
from shared.bearer import require_scope
from shared.db import Database
from shared.problems import Problem
from shared.tokens import ApiToken, remembered, stored_tokens
from shared.web import asked_limit

MOST = 200


def add_api(app: APIFlask, database: Database, currency: str) -> None:
    """Give a service these routes."""
    find_token = remembered(stored_tokens(database))

    @app.get("/v1/alerts")
    @app.doc(summary="The newest alerts", security="ApiToken")
    @require_scope("alerts:read", find_token)
    def newest(_token: ApiToken) -> dict[str, Any]:
        """Return up to `limit` alerts, newest first."""
        limit = asked_limit(default=50, most=MOST)
        with database.transaction() as connection:
            recent = inbox.list_recent(connection, limit)
            shown = views.load(connection, [each for each, _ in recent], currency)
        return {"alerts": [described(shown[each]) for each, _ in recent if each in shown]}

    @app.get("/v1/alerts/<uuid:public_id>")
    @app.doc(summary="One alert", security="ApiToken")
    @require_scope("alerts:read", find_token)
    def one(_token: ApiToken, public_id: UUID) -> dict[str, Any]:
        """Return the alert with this id."""
        with database.transaction() as connection:
            found = inbox.find(connection, public_id)
            shown = views.load(connection, [found.id], currency) if found else {}
        if found is None or found.id not in shown:
            raise Problem(404, "There is no such alert.")
        return described(shown[found.id])
