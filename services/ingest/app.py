"""The ingest service's web application: webhooks, the orders API and events."""

import importlib.metadata
from collections.abc import Callable
from zoneinfo import ZoneInfo

from apiflask import APIFlask
from redis import Redis

from services.ingest import events, facts, hooks, orders
from services.ingest.describe import describe_bodies
from services.ingest.hooks import OUTCOME, IngestService
from services.ingest.replay import quarantined_by_source
from services.ingest.source import all_sources
from shared import migrations
from shared.clock import Clock, real_now
from shared.db import Database
from shared.metrics import Metrics, QuarantineCollector
from shared.settings import Settings
from shared.tokens import remembered, stored_tokens
from shared.web import Check, create_service


def create_app(
    settings: Settings,
    database: Database,
    notify: Callable[[str], None],
    clock: Clock,  # noqa: ARG001 - every service is made alike; receipts are real time
    metrics: Metrics,
    *,
    bind: tuple[str, int],  # noqa: ARG001 - every service is made alike; every entry point asks for a proof
) -> APIFlask:
    """Return the service."""
    app = create_service(
        "ingest",
        title="Tipoff ingest",
        version=importlib.metadata.version("tipoff"),
        metrics=metrics,
        readiness={
            "database": Check(lambda: migrations.fault(database)),
            "redis": Check(lambda: _redis_fault(settings), required=False),
        },
    )
    service = IngestService(
        database, notify, real_now, ZoneInfo(settings.time_zone), settings.base_currency, metrics
    )
    secrets = {
        name: tuple(secret.get_secret_value() for secret in each)
        for name, each in settings.hook_secrets.items()
    }
    metrics.registry.register(
        QuarantineCollector(lambda: dict.fromkeys(secrets, 0) | quarantined_by_source(database))
    )
    find_token = remembered(stored_tokens(database))
    for connection in secrets:  # a rate needs its zero before the first order
        for outcome in (*OUTCOME.values(), "unsigned"):
            metrics.orders_received.labels(connection, hooks.ENTRY_POINT, outcome)
    sources = all_sources()
    hooks.add(app, service, sources, secrets)
    orders.add(app, service, find_token)
    events.add(app, service, find_token)
    facts.add(app, service, find_token)
    describe_bodies(app, sources.values())
    return app


def _redis_fault(settings: Settings) -> str | None:
    if settings.redis_url is None:
        return "no Redis is set: workers poll"
    with Redis.from_url(settings.redis_url.get_secret_value(), socket_timeout=0.3) as redis:
        redis.ping()
    return None
