"""Commands that run the processes of an installation: the three web services and the workers of two queues."""

import importlib
import importlib.metadata
from functools import partial
from typing import TYPE_CHECKING

import click
from prometheus_client import start_http_server

from shared import logs, migrations
from shared.clock import business_clock
from shared.db import DATABASE_ERRORS, DRAIN, REQUEST, Database, is_away
from shared.metrics import Metrics, TaskCollector, backlog
from shared.notify import Notifier
from shared.settings import Settings
from shared.worker import Worker

if TYPE_CHECKING:
    from apiflask import APIFlask
    from flask import Flask

    from services.cli import Context

SERVICES = ("ingest", "scoring", "alerts")
QUEUES = {
    "scoring": ("services.scoring.jobs", "services.scoring.nightly"),
    "alerts": ("services.alerts.jobs",),
}
SCHEDULES = {"scoring": "services.scoring.schedule", "alerts": "services.alerts.jobs"}
PORTS = {"ingest": 8001, "scoring": 8002, "alerts": 8003}
WORKER_PORTS = {"scoring": 9101, "alerts": 9102}


class Address(click.ParamType[tuple[str, int]]):
    """HOST:PORT."""

    name = "host:port"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        """Split at the last colon."""
        if isinstance(value, tuple):
            return value
        host, _, port = str(value).rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65535:
            self.fail(f"{value!r} is not HOST:PORT, as 127.0.0.1:8001", param, ctx)
        return host.strip("[]"), int(port)


def _open(name: str, settings: Settings) -> Metrics:
    """Begin this process's logs and metrics."""
    logs.configure(name, json=settings.json_logs)
    return Metrics(name, importlib.metadata.version("tipoff"))


def _redis_of(settings: Settings) -> str | None:
    return settings.redis_url.get_secret_value() if settings.redis_url else None


@click.command()
@click.argument("service", type=click.Choice(SERVICES))
@click.option("--bind", type=Address(), help="HOST:PORT to listen on; default a loopback port")
@click.option("--threads", type=click.IntRange(1, 64), default=8, show_default=True)
@click.pass_obj
def serve(context: "Context", service: str, bind: tuple[str, int] | None, threads: int) -> None:
    """Run one web service: ingest, scoring or alerts."""
    from shared.serve import run_service  # noqa: PLC0415 - waitress and Flask are for this command alone

    settings = context.settings
    address = bind or ("127.0.0.1", PORTS[service])
    metrics = _open(service, settings)
    database = Database(
        settings.database_url.get_secret_value(),
        REQUEST,
        pool_size=threads,
        prepare=settings.prepare_statements,
    )
    notifier = Notifier(_redis_of(settings))
    metrics.registry.register(TaskCollector(partial(backlog, database)))

    def make() -> "APIFlask":
        clock = business_clock(settings.business_time, settings.business_begun, settings.business_rate)
        app = importlib.import_module(f"services.{service}.app")
        made: APIFlask = app.create_app(settings, database, notifier.notify, clock, metrics, bind=address)
        return made

    def close(_app: "Flask") -> None:
        notifier.close()
        database.close()

    run_service(make, address, threads=threads, before_exit=close)


@click.command()
@click.argument("queue", type=click.Choice(tuple(QUEUES)))
@click.option("--metrics", "address", type=Address(), help="HOST:PORT of this worker's own /metrics")
@click.pass_obj
def work(context: "Context", queue: str, address: tuple[str, int] | None) -> None:
    """Run one worker of a queue: scoring or alerts. Start as many as you like."""
    settings = context.settings
    metrics = _open(f"{queue}-worker", settings)
    database = Database(settings.database_url.get_secret_value(), DRAIN, prepare=settings.prepare_statements)
    metrics.registry.register(TaskCollector(partial(backlog, database)))
    _require_tables(database)
    host, port = address or ("127.0.0.1", WORKER_PORTS[queue])
    _show_metrics(metrics, host, port)
    notifier = Notifier(_redis_of(settings))
    jobs = [importlib.import_module(each) for each in QUEUES[queue]]
    schedule = importlib.import_module(SCHEDULES[queue])
    clock = business_clock(settings.business_time, settings.business_begun, settings.business_rate)
    worker = Worker(
        queue,
        database,
        [
            handler
            for each in jobs
            for handler in each.handlers(database, settings, clock, metrics, notifier.notify)
        ],
        _redis_of(settings),
        metrics.count,
        schedule.periodic(settings, clock),
    )
    worker.run()
    notifier.close()
    database.close()


def _require_tables(database: Database) -> None:
    """End the command when the tables are not for this program. A database that is away is waited for later."""
    try:
        fault = migrations.fault(database)
    except DATABASE_ERRORS as error:
        if not is_away(error):
            raise
        return
    if fault:
        raise click.ClickException(f"cannot start: {fault}")


def _show_metrics(metrics: Metrics, host: str, port: int) -> None:
    """Serve /metrics. An address that cannot be had ends the command in one line."""
    try:
        start_http_server(port, addr=host, registry=metrics.registry)
    except OSError as fault:
        raise click.ClickException(
            f"/metrics cannot be served at {host}:{port}: {fault.strerror}\n"
            "hint: another worker may be there; --metrics HOST:PORT names an address of its own"
        ) from fault


commands = (serve, work)
