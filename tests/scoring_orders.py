"""Put orders where ingest would have left them, and score them as a worker would."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import msgspec
from sqlalchemy import text

from services.scoring import nightly
from services.scoring.jobs import handlers
from services.scoring.scorer import Notify
from shared import tasks
from shared.clock import Clock
from shared.db import Database
from shared.domain.order import CustomerRef, Line, LineKind, Order, digest, encode
from shared.metrics import Metrics
from shared.settings import Settings
from shared.tasks import Handler, Tally

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
URL = "postgresql+psycopg://unused/unused"


def settings(**given: Any) -> Settings:
    """Settings of an installation that ranks in pounds and decides at once."""
    values: dict[str, Any] = {
        "database_url": URL,
        "secret_key": "a secret key of more than 32 letters",
        "base_currency": "GBP",
        "group_wait": timedelta(0),
        "business_time": NOW,
    }
    return Settings(**(values | given))


def line(sku: str | None = "DRILL", quantity: float = 10, price: float = 5, **given: Any) -> Line:
    """A product line: ten at five. Returns have a negative quantity."""
    amount = Decimal(str(quantity))
    values: dict[str, Any] = {
        "id": "1",
        "kind": LineKind.PRODUCT,
        "quantity": amount,
        "net": amount * Decimal(str(price)),
        "sku": sku,
        "title": sku and sku.title(),
    }
    return Line(**(values | given))


def order(
    order_id: str, *lines: Line, days_ago: float = 0, customer: str | None = "acme", **given: Any
) -> Order:
    """A confirmed sale in pounds; its lines are numbered."""
    numbered = tuple(
        msgspec.structs.replace(each, id=str(number))
        for number, each in enumerate(lines or (line(),), start=1)
    )
    values: dict[str, Any] = {
        "source": "standard",
        "id": order_id,
        "version": 1,
        "ordered_at": NOW - timedelta(days=days_ago),
        "currency": "GBP",
        "lines": numbered,
        "customer": CustomerRef(customer, name=customer.title()) if customer else None,
    }
    return Order(**(values | given))


def receive(database: Database, *orders: Order, entry_point: str = "webhook") -> list[UUID]:
    """Store readings as ingest does: the newest is the head, and each that is newer has its task."""
    ids = []
    with database.transaction() as connection:
        for each in orders:
            named = {"source": each.source, "external_id": each.id}
            newest = connection.scalar(
                text(
                    "SELECT version FROM event WHERE is_current AND source = :source AND external_id = :external_id"
                ),
                named,
            )
            is_current = newest is None or each.version > newest
            if is_current:
                connection.execute(
                    text(
                        "UPDATE event SET is_current = false WHERE source = :source AND external_id = :external_id"
                    ),
                    named,
                )
            row = {
                "id": uuid4(),
                "version": each.version,
                "digest": digest(each),
                "head": is_current,
                "entry_point": entry_point,
                "state": "accepted" if is_current else "stale",
                "normalized": encode(each).decode(),
            }
            connection.execute(
                text(
                    "INSERT INTO event (id, source, external_id, version, digest, is_current, entry_point, state,"
                    " normalized)"
                    " VALUES (:id, :source, :external_id, :version, :digest, :head, :entry_point, :state, :normalized)"
                ),
                named | row,
            )
            if is_current:
                tasks.put(connection, "scoring", "score", [str(row["id"])])
            ids.append(UUID(str(row["id"])))
    return ids


def handlers_here(
    database: Database, told: Settings, clock: Clock, metrics: Metrics, notify: Notify
) -> tuple[Handler, ...]:
    """Return the handlers of scoring, those as well that a worker gives to processes of their own."""
    runs = nightly.runs(database, told, clock, notify)
    heavy = nightly.handlers(database, told, clock, metrics, notify)
    here = (replace(each, run=runs[each.kind]) for each in heavy)
    return (*handlers(database, told, clock, metrics, notify), *here)


class Worker:
    """Does scoring's tasks in this process. `notified` lists the queues it notified."""

    def __init__(
        self, database: Database, now: datetime = NOW, batch: int | None = None, **given: Any
    ) -> None:
        self.database = database
        self.notified: list[str] = []
        self.done = Tally()
        known, metrics = settings(**given), Metrics("scoring", "test")
        here = handlers_here(database, known, lambda: now, metrics, self.notified.append)
        self.handlers = {each.kind: each for each in here}
        self.batch = batch

    def work(self, kind: str = "score") -> Tally:
        """Do what is due of one kind."""
        handler = self.handlers[kind]
        limited = replace(handler, batch=self.batch or handler.batch)
        tally = Tally()
        while True:
            with self.database.transaction() as connection:
                batch = tasks.claim(connection, limited, uuid4())
            if not batch:
                return tally
            tally += limited.run(batch)


def score(database: Database, *orders: Order, batch: int | None = None, **given: Any) -> Tally:
    """Receive orders and score them, each reading by itself with `batch=1`."""
    receive(database, *orders)
    return Worker(database, batch=batch, **given).work()


def rows(database: Database, sql: str, **arguments: Any) -> Sequence[Any]:
    """Ask the database."""
    with database.transaction() as connection:
        return connection.execute(text(sql), arguments).all()
