"""How a service is: alive (/healthz), ready (/readyz) and in figures (/metrics)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from apiflask import APIFlask
from flask import Response
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from shared.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Check:
    """One thing a service needs. `probe` says what is wrong, or None; only a required one makes it unready."""

    probe: Callable[[], str | None]
    required: bool = True


def register(app: APIFlask, metrics: Metrics, readiness: Mapping[str, Check]) -> None:
    """Serve /healthz, /readyz and /metrics."""

    @app.get("/healthz")
    @app.doc(hide=True)
    def healthz() -> dict[str, str]:
        """Say that the process is alive, and nothing about anything else."""
        return {"status": "alive"}

    @app.get("/readyz")
    @app.doc(hide=True)
    def readyz() -> tuple[dict[str, Any], int]:
        """Say whether requests can be served, and what is wrong."""
        wrong: dict[str, str | None] = {}
        for name, check in readiness.items():
            try:
                wrong[name] = check.probe()
            except (SQLAlchemyError, psycopg.Error, RedisError, OSError) as error:
                wrong[name] = f"away ({type(error).__name__})"
        unready = any(wrong[name] and check.required for name, check in readiness.items())
        status = "unready" if unready else "degraded" if any(wrong.values()) else "ready"
        checks = {name: {"ok": not each} | ({"reason": each} if each else {}) for name, each in wrong.items()}
        return {"status": status, "checks": checks}, 503 if unready else 200

    @app.get("/metrics")
    @app.doc(hide=True)
    def exposed() -> Response:
        """Return every metric of this process in Prometheus' text format."""
        for rule in app.url_map.iter_rules():  # a rate of errors needs its zero before the first error
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                for code in ("500", "503"):
                    metrics.http_requests.labels(rule.rule, method, code)
        text, content_type = metrics.exposition()
        return Response(text, content_type=content_type)
