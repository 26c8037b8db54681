"""The ingest service for tests, on a real database: its client, the queues it notified, and orders to send."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.test import TestResponse

from services.ingest.app import create_app
from shared import tokens
from shared.clock import real_now
from shared.db import Database
from shared.metrics import Metrics
from shared.settings import Settings
from shared.signing import new_secret, sign, signed_order

SECRET = new_secret()
OLD_SECRET = new_secret()


@dataclass
class Ingest:
    """A running ingest service, without a network."""

    database: Database
    client: FlaskClient
    notified: list[str]

    def hook(self, order: Any, *, secret: str = SECRET, raw: bytes | None = None) -> TestResponse:
        """Post an order as a signed webhook."""
        now = datetime.now(UTC)
        if raw is None:
            body, headers = signed_order(order, "msg_1", now, secret)
        else:
            body, headers = raw, {"Content-Type": "application/json", **sign("msg_1", now, raw, [secret])}
        return self.client.post("/hooks/standard", data=body, headers=headers)

    def token(self, *scopes: str, source: str = "standard") -> dict[str, str]:
        """Make an API token; return the header that carries it."""
        made = tokens.new_token()
        with self.database.transaction() as connection:
            connection.execute(
                text(
                    "INSERT INTO api_token (digest, name, source, scopes) VALUES (:digest, :name, :source, :scopes)"
                ),
                {"digest": tokens.digest(made), "name": made, "source": source, "scopes": list(scopes)},
            )
        return {"Authorization": f"Bearer {made}"}

    def rows(self, statement: str) -> list[Any]:
        """Ask the database."""
        return rows(self.database, statement)


def rows(database: Database, statement: str) -> list[Any]:
    """Ask the database."""
    with database.transaction() as connection:
        return list(connection.execute(text(statement)))


def ingest_on(database: Database, database_url: str) -> Ingest:
    """Make the service."""
    settings = Settings.model_validate(
        {
            "database_url": database_url,
            "secret_key": "k" * 32,
            "hook_secrets": {"standard": (SECRET, OLD_SECRET)},
        }
    )
    notified: list[str] = []
    app = create_app(
        settings,
        database,
        notified.append,
        real_now,
        Metrics("ingest", "test"),
        bind=("127.0.0.1", 8001),
    )
    return Ingest(database, app.test_client(), notified)


def an_order(**changes: Any) -> dict[str, Any]:
    """An order as senders write it."""
    return {
        "id": "o1",
        "version": 1,
        "ordered_at": "2026-03-02T10:00:00+01:00",
        "currency": "EUR",
        "customer": {"id": "c1", "name": "Contoso"},
        "lines": [{"id": "l1", "sku": "A", "quantity": "3", "unit_price": "2.50"}],
        **changes,
    }
