"""Journey: a signed order over HTTP becomes a mail through all three services, and so does its correction."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from services.alerts import jobs as alerts
from services.explain import explain
from services.ingest.app import create_app
from services.scoring import jobs as scoring
from shared.clock import real_now
from shared.db import Database
from shared.drainer import Drainer
from shared.metrics import Metrics
from shared.settings import Settings
from shared.signing import new_secret, signed_order
from tests import mail_sink
from tests.alert_rows import rows, settings, value

SECRET = new_secret()


class Company:
    """An installation in this process: its hook, its two workers, and its mail server."""

    def __init__(
        self, database: Database, sink: mail_sink.Sink, group_wait: timedelta = timedelta(0)
    ) -> None:
        self.database = database
        self.sink = sink
        self.settings = settings(
            smtp_url=sink.url, business_time=None, group_wait=group_wait, hook_secrets={"standard": (SECRET,)}
        )
        self.metrics = Metrics("all", "test")
        self.hook = self._hook(self.settings)

    def _hook(self, told: Settings) -> FlaskClient:
        app = create_app(
            told,
            self.database,
            lambda _queue: None,
            real_now,
            Metrics("ingest", "test"),
            bind=("127.0.0.1", 8001),
        )
        return app.test_client()

    def receive(self, *, version: int, price: str, status: str = "confirmed") -> None:
        """Take the order over the signed hook."""
        order: dict[str, Any] = {
            "id": "SO-7",
            "number": "SO-7",
            "version": version,
            "status": status,
            "ordered_at": (real_now() - timedelta(minutes=5)).isoformat(),
            "currency": "GBP",
            "customer": {"id": "C-1", "name": "Acme Tools"},
            "lines": [
                {
                    "id": "1",
                    "sku": "DRILL",
                    "title": "Hammer drill",
                    "quantity": "40",
                    "unit_price": price,
                    "cost": "9",
                }
            ],
        }
        body, headers = signed_order(order, f"msg_{version}", real_now(), SECRET)
        answer = self.hook.post("/hooks/standard", data=body, headers=headers)
        assert answer.status_code == 202, answer.text

    def work(self) -> None:
        """Let both kinds of worker do what is due."""
        for service in (scoring, alerts):
            kinds = service.handlers(
                self.database, self.settings, real_now, self.metrics, lambda _queue: None
            )
            wanted = [each for each in kinds if each.kind != "fit"]
            Drainer(self.database, wanted, self.metrics.count).drain(seconds=30)


@pytest.fixture
def company(database: Database) -> Iterator[Company]:
    """A company whose one rep gets everything nobody owns."""
    with database.transaction() as connection:
        connection.execute(
            text(
                "INSERT INTO rep (external_id, name, email, is_default_owner)"
                " VALUES ('1', 'Dora', 'dora@example.com', true)"
            )
        )
    with mail_sink.running() as sink:
        yield Company(database, sink)


def test_an_order_below_the_floor_is_a_mail_a_moment_later(company: Company) -> None:
    company.receive(version=1, price="7.50")

    company.work()

    (mail,) = company.sink.mails
    assert mail["Subject"].startswith("Now: Acme Tools: ")
    body = mail.get_body(("plain",))
    assert body is not None
    assert "£60 margin at risk on this order" in body.get_content()
    assert "SO-7" in body.get_content()
    assert "sold at £7.50, cost £9.00" in body.get_content()
    seconds = company.metrics.registry.get_sample_value("tipoff_order_to_alert_seconds_count")
    assert seconds == 1


def test_an_order_at_a_good_price_says_nothing(company: Company) -> None:
    company.receive(version=1, price="15")

    company.work()

    assert company.sink.mails == []
    assert value(company.database, "SELECT count(*) FROM alert") == 0


def test_a_correction_after_the_mail_marks_the_alert_and_mails_nothing(company: Company) -> None:
    company.receive(version=1, price="7.50")
    company.work()
    company.receive(version=2, price="7.40")

    company.work()

    assert len(company.sink.mails) == 1
    assert value(company.database, "SELECT amended_at IS NOT NULL FROM alert")
    assert rows(company.database, "SELECT reason FROM decision ORDER BY signal_id") == [
        ("first_time",),
        ("amended",),
    ]


def test_a_cancellation_before_the_mail_is_never_spoken_of(company: Company) -> None:
    company.sink.data_answers = ["451 later"]
    company.receive(version=1, price="7.50")
    company.work()
    company.receive(version=2, price="7.50", status="cancelled")

    company.work()

    assert company.sink.mails == []
    assert rows(company.database, "SELECT state FROM delivery") == [("withdrawn",)]


def test_the_whole_way_is_told(company: Company) -> None:
    company.receive(version=1, price="7.50")
    company.work()

    with company.database.transaction() as connection:
        way = [step.what for step in explain(connection, "SO-7")]

    for each in ("event", "task", "facts", "signal", "decision", "alert", "delivery", "attempt"):
        assert each in way


def test_a_cancellation_reaches_what_waits_before_it_is_sent_however_long_signals_are_grouped(
    company: Company,
) -> None:
    patient = Company(company.database, company.sink, group_wait=timedelta(minutes=30))
    rows(
        company.database,
        "INSERT INTO control (name, value, changed_by) VALUES ('sending_paused', 'true', 't') RETURNING 1",
    )
    patient.receive(version=1, price="7.50")
    patient.work()
    patient.receive(version=2, price="7.50", status="cancelled")
    patient.work()
    rows(company.database, "DELETE FROM control RETURNING 1")
    rows(company.database, "UPDATE task SET run_at = now() WHERE kind = 'deliver' RETURNING 1")

    patient.work()

    assert company.sink.mails == []
    assert rows(company.database, "SELECT state FROM delivery") == [("withdrawn",)]


def test_a_sent_alert_of_an_order_that_is_cancelled_is_no_call_to_make(company: Company) -> None:
    company.receive(version=1, price="7.50")
    company.work()
    company.receive(version=2, price="7.50", status="cancelled")

    company.work()

    assert rows(company.database, "SELECT state, close_reason FROM alert") == [
        ("done", "the order was cancelled")
    ]
