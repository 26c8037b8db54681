"""The scoring service's web application: health, metrics, the current models, and signals to read."""

import importlib.metadata
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID

from apiflask import APIFlask
from flask import request

from services.scoring import roi_command
from services.scoring.fit import models as fitted_models
from services.scoring.store import api
from shared import migrations
from shared.bearer import require_scope
from shared.clock import Clock
from shared.db import Database
from shared.metrics import Metrics
from shared.plugins import module_names
from shared.problems import Problem
from shared.settings import Settings
from shared.tokens import ApiToken, remembered, stored_tokens
from shared.web import Check, asked_limit, create_service, wrong_parameter

SIGNALS_AT_MOST = 200


def create_app(
    settings: Settings,
    database: Database,
    notify: Callable[[str], None],  # noqa: ARG001 - reading notifies nobody
    clock: Clock,
    metrics: Metrics,
    *,
    bind: tuple[str, int],  # noqa: ARG001 - this service has no pages to guard
) -> APIFlask:
    """Return the service."""
    app = create_service(
        "scoring",
        title="Tipoff scoring",
        version=importlib.metadata.version("tipoff"),
        metrics=metrics,
        readiness={"database": Check(lambda: migrations.fault(database))},
    )
    for name in module_names(fitted_models):
        metrics.model_fit.labels(name).set_function(partial(api.fitted_at, database, name))
    find_token = remembered(stored_tokens(database))

    @app.get("/v1/models")
    @app.doc(security="ApiToken", summary="The current run of every model: until when, how good, how old")
    @require_scope("signals:read", find_token)
    def models(_token: ApiToken) -> dict[str, Any]:
        return {"models": api.models(database, clock())}

    @app.get("/v1/roi")
    @app.doc(
        security="ApiToken", summary="What acting earned by kind, beside customers left alone on purpose"
    )
    @require_scope("signals:read", find_token)
    def measured(_token: ApiToken) -> dict[str, Any]:
        return roi_command.as_json(roi_command.measure(database, settings), settings.base_currency)

    @app.get("/v1/signals")
    @app.doc(security="ApiToken", summary="Signals found, newest first")
    @require_scope("signals:read", find_token)
    def signals(_token: ApiToken) -> dict[str, Any]:
        return {
            "signals": api.signals(
                database,
                request.args.get("customer"),
                asked_limit(default=SIGNALS_AT_MOST, most=SIGNALS_AT_MOST),
            )
        }

    @app.get("/v1/customers/<path:customer>/signals")
    @app.doc(
        security="ApiToken",
        summary="Signals about one customer, newest first",
        responses=[200, 401, 403, 404, 422],
    )
    @require_scope("signals:read", find_token)
    def customer_signals(_token: ApiToken, customer: str) -> dict[str, Any]:
        """Page by page: `next` is the address of the next one. `customer` is upstream's id, of any source or one."""
        name = api.CustomerName(customer, request.args.get("source"))
        found = api.customer_signals(
            database, name, _before(), asked_limit(default=SIGNALS_AT_MOST, most=SIGNALS_AT_MOST)
        )
        if found is None:
            raise Problem(404, "There is no such customer.")
        shown, last = found
        more = request.args.to_dict() | {"before": str(last)}
        return {
            "signals": shown,
            "next": f"{quote(request.path)}?{urlencode(more)}" if last is not None else None,
        }

    return app


def _before() -> UUID | None:
    before = request.args.get("before")
    try:
        return None if before is None else UUID(before)
    except ValueError:
        raise wrong_parameter("before", "before must be the id of a signal") from None
