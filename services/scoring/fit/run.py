"""Fit: read the facts before a moment, then grade, build and publish each model by itself."""

from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from pathlib import Path
from time import monotonic
from typing import Any

import duckdb
from adbc_driver_postgresql import dbapi
from ibis.common.exceptions import IbisError
from sqlalchemy import make_url

from services.scoring.engine import open_engine
from services.scoring.fit import models, publish
from services.scoring.fit.facts import Facts, read_facts
from services.scoring.fit.model import Grade, Model
from shared.plugins import discover


class NothingToFit(ValueError):
    """No purchase before the moment: a fit on it would know less than the one before."""

    def __init__(self, as_of: datetime) -> None:
        super().__init__(f"no purchase before {as_of:%Y-%m-%d %H:%M} UTC: the models stay as they are")


@dataclass(frozen=True, slots=True)
class ModelReport:
    """What became of one model: its run, what it wrote, and how good it was."""

    run_id: int
    state: str
    rows: dict[str, int]
    seconds: float
    grade: Grade | None


@dataclass(frozen=True, slots=True)
class FitReport:
    """What a fit read, learnt and wrote; `failed` has the reason for each model that could not be fitted."""

    as_of: datetime
    purchases: int
    customers: int
    seconds: float
    models: dict[str, ModelReport]
    failed: dict[str, str]

    def lines(self) -> Iterator[str]:
        """Say it in words."""
        yield f"fit as of {self.as_of:%Y-%m-%d %H:%M}:"
        yield f"  {self.purchases:,} purchases of {self.customers:,} customers"
        for name, model in self.models.items():
            rows = ", ".join(f"{table} {count:,} rows" for table, count in model.rows.items())
            yield f"  {name} ({model.state}): {rows}; {model.seconds:.1f} s"
            if model.grade is not None:
                yield f"    {model.grade.line()}"
        for name, reason in self.failed.items():
            yield f"  {name} failed: {reason}"
        yield f"  {self.seconds:.1f} s"


class ModelsFailed(RuntimeError):
    """Some models could not be fitted; the others are in use."""

    def __init__(self, report: FitReport) -> None:
        self.report = report
        super().__init__("; ".join(f"{name}: {reason}" for name, reason in report.failed.items()))


FAULTS = (dbapi.Error, duckdb.Error, IbisError)
"""What a model's own expressions and tables may raise: it stops that model alone."""


def fit(
    database_url: str,
    as_of: datetime,
    *,
    names: Collection[str] = (),
    zone: str = "UTC",
    extracts: Path | None = None,
    threads: int = 2,
) -> FitReport:
    """Fit these models, or all, on the facts before `as_of`, each current as soon as it is written.

    Days are those of the company's `zone`. Order lines are kept by month in files of the folder `extracts`.

    Safe to run at any time, twice too. Raises NothingToFit, and ModelsFailed when all others are done.
    """
    started = monotonic()
    done: dict[str, ModelReport] = {}
    failed: dict[str, str] = {}
    with (
        ThreadPoolExecutor(1) as beside,
        open_engine(threads=threads, memory="900MB", extracts=extracts) as engine,
        connected(database_url) as connection,
    ):
        importing = beside.submit(_import_models)
        facts = read_facts(engine, connection, as_of, zone=zone)
        scope = _scope(facts)
        if not scope["purchases"]:
            raise NothingToFit(as_of)
        for name, model in importing.result().items():
            if names and name not in names:
                continue
            try:
                done[model.name] = _fit_one(connection, model, facts, scope)
            except FAULTS as fault:
                connection.rollback()
                failed[model.name] = str(fault).split("\n", 1)[0][:300]
                publish.reject(connection, model, as_of, failed[model.name])
            connection.commit()
    report = FitReport(as_of, scope["purchases"], scope["customers"], monotonic() - started, done, failed)
    if failed:
        raise ModelsFailed(report)
    return report


def _import_models() -> dict[str, Model]:
    """Import the models and what they learn with: for a second Python alone works, while the facts are read."""
    found = discover(models, "MODEL", Model)
    import_module("sklearn.ensemble")
    return found


def _fit_one(connection: dbapi.Connection, model: Model, facts: Facts, scope: dict[str, Any]) -> ModelReport:
    """Grade a model on the last days, build it on all of them, and publish it."""
    started = monotonic()
    grade = model.grade(facts) if model.grade is not None else None
    edition = publish.begin(connection, model, facts.as_of)
    for piece in model.build(facts):
        edition.write(facts.engine, piece)
    state = edition.finish(scope | (grade.as_json() if grade is not None else {}))
    return ModelReport(edition.run_id, state, edition.rows, monotonic() - started, grade)


def _scope(facts: Facts) -> dict[str, Any]:
    """Return what the fit saw: how much, of how many customers, of which days."""
    seen = facts.purchases
    row = facts.engine.rows(
        seen.agg(
            purchases=seen.count(),
            customers=seen.customer_id.nunique(),
            first=seen.day.min(),
            last=seen.day.max(),
        )
    )[0]
    days = [None if row[end] is None else row[end].isoformat() for end in ("first", "last")]
    return {"purchases": row["purchases"], "customers": row["customers"], "window": days}


@contextmanager
def connected(database_url: str) -> Iterator[dbapi.Connection]:
    """Open an ADBC connection on the database the rest of the system knows by its SQLAlchemy address."""
    address = make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with dbapi.connect(address) as connection:
        yield connection
