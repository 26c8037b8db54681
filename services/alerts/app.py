"""The alerts service's web application: the pages for reps, and alerts as JSON for programs."""

import importlib.metadata
from collections.abc import Callable

from apiflask import APIFlask

from services.alerts.jobs import installed_channels, sending_of
from services.alerts.store.unsent import delivery_backlog
from services.alerts.web.api import add_api
from services.alerts.web.guard import Access
from services.alerts.web.pages import Pages, add_pages
from services.alerts.web.slack import SlackButtons, add_slack
from shared import migrations
from shared.clock import Clock
from shared.db import Database
from shared.metrics import DeliveryBacklog, DeliveryCollector, Metrics
from shared.settings import Settings
from shared.web import Check, create_service


def create_app(
    settings: Settings,
    database: Database,
    notify: Callable[[str], None],  # noqa: ARG001 - every service is made alike; this one notifies nobody
    clock: Clock,
    metrics: Metrics,
    *,
    bind: tuple[str, int],
) -> APIFlask:
    """Return the service. The address it is bound to decides who may open the pages."""
    app = create_service(
        "alerts",
        title="Tipoff alerts",
        version=importlib.metadata.version("tipoff"),
        metrics=metrics,
        readiness={"database": Check(lambda: migrations.fault(database))},
    )

    def read() -> DeliveryBacklog:
        with database.autocommit() as connection:
            return delivery_backlog(connection, installed_channels())

    metrics.registry.register(DeliveryCollector(read))
    access = Access(
        bind_host=bind[0],
        public_url=settings.public_url,
        is_open_to_anyone=settings.pages_without_sign_in == "for_anyone_who_reaches_this_address",
    )
    sending = sending_of(settings)
    add_pages(app, Pages(settings, database, clock, access, sending))
    add_slack(app, SlackButtons(database, sending, clock))
    add_api(app, database, settings.base_currency)
    return app
