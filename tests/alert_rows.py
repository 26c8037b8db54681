"""Put what scoring would have left into the database: customers, orders, signals and decide tasks."""

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from services.alerts.jobs import handlers
from services.alerts.store import endpoints
from services.alerts.store.endpoints import NewEndpoint
from shared import tasks
from shared.db import Database
from shared.drainer import Drainer
from shared.metrics import Metrics
from shared.sealing import sealer_of
from shared.settings import Settings

NOW = datetime(2011, 2, 28, 12, tzinfo=UTC)  # a Monday
VERSION = 1


@dataclass(frozen=True)
class Asked:
    """What commands are told, as `tipoff` tells them."""

    settings: Settings
    database: Database
    clock: object = lambda: NOW


def settings(**given: Any) -> Settings:
    """Settings of an installation that sends to everyone, with what matters overridden."""
    values: dict[str, Any] = {
        "database_url": "postgresql+psycopg://unused/unused",
        "secret_key": "a secret key of more than 32 letters",
        "base_currency": "GBP",
        "sending": "live",
        "recipients": "*",
        "holdout_percent": 0,
        "business_time": NOW,
    }
    return Settings(**(values | given))


def a_rep(connection: Connection, name: str = "Ruth", **given: Any) -> int:
    """A rep with an address, in UTC."""
    values = {
        "external_id": name,
        "name": name,
        "email": f"{name.lower()}@example.com",
        "default": False,
    } | given
    return int(
        connection.execute(
            text(
                "INSERT INTO rep (external_id, name, email, is_default_owner)"
                " VALUES (:external_id, :name, :email, :default) RETURNING id"
            ),
            values,
        ).scalar_one()
    )


def a_customer(connection: Connection, rep_id: int | None = None, name: str = "Acme", **given: Any) -> int:
    """A customer with a phone number, looked after by that rep."""
    values = {"name": name, "phone": "+44 20 7946 0018", "status": "active", "internal": False} | given
    customer_id = int(
        connection.execute(
            text(
                "INSERT INTO customer (name, phone, status, is_internal, city)"
                " VALUES (:name, :phone, :status, :internal, 'Leeds') RETURNING id"
            ),
            values,
        ).scalar_one()
    )
    if rep_id is not None:
        connection.execute(
            text(
                "INSERT INTO assignment (customer_id, rep_id, valid_from) VALUES (:customer, :rep, '2010-01-01')"
            ),
            {"customer": customer_id, "rep": rep_id},
        )
    return customer_id


def an_order(connection: Connection, customer_id: int, number: str, **given: Any) -> int:
    """An order of one product line, as scoring applied it."""
    values = {
        "number": number,
        "customer": customer_id,
        "at": NOW - timedelta(hours=1),
        "version": VERSION,
    } | given
    order_id = connection.execute(
        text(
            "INSERT INTO sales_order (source, external_id, version, digest, event_id, number, status, kind, is_counted,"
            " ordered_at, currency, customer_id, net, base_net) VALUES ('standard', :number, :version, '',"
            " gen_random_uuid(), :number, 'confirmed', 'sale', true, :at, 'GBP', :customer, 120, 120) RETURNING id"
        ),
        values,
    ).scalar_one()
    connection.execute(
        text(
            "INSERT INTO order_line (order_id, line_no, ordered_at, customer_id, external_id, kind, is_counted,"
            " quantity, net, base_net) VALUES (:order, 1, :at, :customer, '1', 'product', true, 10, 120, 120)"
        ),
        {"order": order_id, "at": values["at"], "customer": customer_id},
    )
    return int(order_id)


def an_endpoint(connection: Connection, address: str, channel: str = "webhook", **given: Any) -> UUID:
    """An endpoint that hears every alert, stored as `tipoff endpoints add` stores it."""
    key = settings().secret_key.get_secret_value()
    return endpoints.add(connection, NewEndpoint(channel, address, **given), sealer_of(key))


def a_signal(connection: Connection, customer_id: int, order_id: int | None, **given: Any) -> int:
    """A cross-sell of £25 of £125 at stake, about 1 in 5, found in that order; without one, on the customer's day."""
    values = {
        "kind": "cross_sell",
        "customer": customer_id,
        "subject": "product:1",
        "cause": "line:1",
        "order": order_id,
        "version": None if order_id is None else VERSION,
        "occasion": day_of(customer_id) if order_id is None else f"order:{order_id}",
        "as_of": NOW - timedelta(hours=1),
        "expires": NOW + timedelta(days=5),
        "probability": 0.2,
        "stake": 5 * given.get("value", 25),
        "value": 25,
        "urgent": False,
        "selling": True,
        "proven": True,
        "headline": "Buys drills, never drill bits",
        "evidence": json.dumps(
            [{"label": "Bought together", "text": "31 of 40 accounts that buy one buy both"}]
        ),
    } | given
    return int(
        connection.execute(
            text(
                "INSERT INTO signal (kind, customer_id, subject, cause, occasion, order_id, order_version, as_of,"
                " expires_at,"
                " probability, basis, stake, value, low, high, horizon_days, quiet_days, headline, question, evidence,"
                " detail, severity, is_selling, is_proven, assumed_margin, detector_version) VALUES (:kind, :customer,"
                " :subject, :cause, :occasion, :order, :version,"
                " :as_of, :expires, :probability, 'measured', :stake, :value, 10,"
                " 40, 90, 28, :headline, 'Who supplies your drill bits?', :evidence, '{}',"
                " CASE WHEN :urgent THEN 'urgent' ELSE 'normal' END, :selling,"
                " :proven, false, '1') RETURNING id"
            ),
            values,
        ).scalar_one()
    )


def urgent_alerts(database: Database, number: int, email: str | None = "ruth@example.com") -> None:
    """As many urgent alerts for one rep, each about a customer of its own."""
    with database.transaction() as connection:
        rep = a_rep(connection, email=email)
        for each in range(number):
            customer = a_customer(connection, rep, f"Customer {each}")
            order = an_order(connection, customer, f"INV-{each}")
            a_signal(connection, customer, order, urgent=True, selling=False)
            decide_task(connection, order)


def day_of(customer_id: int) -> str:
    """The occasion of a customer's day."""
    return f"customer:{customer_id}:{NOW:%Y-%m-%d}"


def decide_day(connection: Connection, customer_id: int) -> None:
    """The task a night leaves for the alerts service."""
    tasks.put(connection, "alerts", "decide", [day_of(customer_id)])


def decide_task(connection: Connection, *order_ids: int, version: int = VERSION) -> None:
    """The task scoring leaves for the alerts service."""
    tasks.put(connection, "alerts", "decide", [f"order:{order_id}@{version}" for order_id in order_ids])


def drain(database: Database, told: Settings, now: datetime = NOW, *, waits: bool = True) -> None:
    """Do what is due, as a worker does. `now` is the business time where no setting fixes it.

    A message that is slow to go is not waited for by a worker; here it is for ten seconds, as the machine may be busy.
    """
    metrics = Metrics("alerts", "test")
    kinds = handlers(database, told, lambda: told.business_time or now, metrics, lambda _queue: None)
    Drainer(database, kinds, metrics.count).drain(seconds=30)
    until = time.monotonic() + 10
    while waits and time.monotonic() < until and value(database, "SELECT 1 FROM task WHERE state = 'leased'"):
        time.sleep(0.05)


def due_now(database: Database) -> None:
    """Let the waits of retries pass."""
    with database.transaction() as connection:
        connection.execute(text("UPDATE task SET run_at = now() WHERE state = 'ready'"))


def rows(database: Database, query: str, **given: Any) -> Sequence[Any]:
    """Whatever a query finds."""
    with database.transaction() as connection:
        return connection.execute(text(query), given).all()


def value(database: Database, query: str, **given: Any) -> Any:
    """The one value a query finds, or None."""
    with suppress(IndexError):
        return rows(database, query, **given)[0][0]
    return None
