"""Fit: read the facts before a moment, build every model, judge cross-sell, and swap it all in at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Any

from adbc_driver_postgresql import dbapi
from sqlalchemy import make_url

from services.scoring.engine import open_engine
from services.scoring.fit import models, publish
from services.scoring.fit.facts import Facts, read_facts
from services.scoring.fit.grade import CrossSellGrade
from services.scoring.fit.judge import HORIZON, judge
from services.scoring.fit.model import Model
from shared.plugins import discover


class NothingToFit(ValueError):
    """No purchase before the moment: a fit on it would know less than the one before."""

    def __init__(self, as_of: datetime) -> None:
        super().__init__(f"no purchase before {as_of:%Y-%m-%d %H:%M} UTC: the models stay as they are")


@dataclass(frozen=True, slots=True)
class FitReport:
    """What a fit read, learnt and wrote."""

    run_id: int
    as_of: datetime
    purchases: int
    customers: int
    rows: dict[str, int]
    seconds: dict[str, float]
    cross_sell: CrossSellGrade

    def lines(self) -> Iterator[str]:
        """Say it in words."""
        yield f"fit {self.run_id} as of {self.as_of:%Y-%m-%d %H:%M}:"
        yield f"  {self.purchases:,} purchases of {self.customers:,} customers"
        for table, count in self.rows.items():
            yield f"  {table}: {count:,} rows"
        grade = self.cross_sell
        if grade.precision_at_3 is not None and grade.popularity_precision_at_3 is not None:
            yield (
                f"  cross-sell, last {HORIZON.days} days, {grade.judged:,} customers:"
                f" precision@3 {grade.precision_at_3:.1%}, popularity {grade.popularity_precision_at_3:.1%}"
            )
        yield f"  cross-sell {grade.reason}" + ("" if grade.wins else ": it stays out of mails")
        yield f"  {sum(self.seconds.values()):.1f} s"


def fit(database_url: str, as_of: datetime, *, threads: int = 2, memory: str = "900MB") -> FitReport:
    """Fit every model on the facts before `as_of` and make the result current. Safe to run at any time, twice too.

    Raises NothingToFit.
    """
    watch = _Stopwatch()
    found = discover(models, "MODEL", Model)
    with open_engine(threads=threads, memory=memory) as engine, connected(database_url) as connection:
        with watch.timing("read"):
            facts = read_facts(engine, connection, as_of)
            connection.commit()
        scope = _scope(facts)
        if not scope["purchases"]:
            raise NothingToFit(as_of)
        with watch.timing("judge"):
            grade = judge(facts)
        edition = publish.begin(connection, as_of)
        for name, model in found.items():
            with watch.timing(name):
                for piece in model.build(facts):
                    edition.write(engine, piece)
        edition.make_current({"cross_sell": grade.as_json(), **scope})
        connection.commit()
    return FitReport(
        run_id=edition.run_id,
        as_of=as_of,
        purchases=scope["purchases"],
        customers=scope["customers"],
        rows=edition.rows,
        seconds=watch.seconds,
        cross_sell=grade,
    )


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


class _Stopwatch:
    """Seconds by step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def timing(self, step: str) -> Iterator[None]:
        """Add the time of this block to the step."""
        started = monotonic()
        yield
        self.seconds[step] = self.seconds.get(step, 0.0) + monotonic() - started
