"""Journey: what a night finds about a customer is decided at once and mailed at seven in the rep's morning."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from services.explain import explain
from services.scoring import signals
from shared.db import Database
from tests import alert_rows, mail_sink
from tests.alert_rows import drain, rows, settings, value
from tests.scoring_orders import NOW, score
from tests.scoring_orders import order as an_order
from tests.stores.test_day_kind import GONE_QUIET, REP_DAY, a_company, evaluate
from tests.stores.test_hours import the_hour


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put a kind into the folder of signals."""

    def put(name: str, source: str) -> None:
        (tmp_path / f"{name}.py").write_text(source)

    monkeypatch.setattr(signals, "__path__", [*signals.__path__, str(tmp_path)])
    return put


def in_auckland(database: Database, *customers: str) -> None:
    """Ruth, who lives in Auckland, looks after these customers."""
    with database.transaction() as connection:
        rep = alert_rows.a_rep(connection)
        connection.execute(text("UPDATE rep SET time_zone = 'Pacific/Auckland'"))
        connection.execute(
            text(
                "INSERT INTO assignment (customer_id, rep_id, valid_from)"
                " SELECT id, :rep, '2010-01-01' FROM customer WHERE name = ANY(:names)"
            ),
            {"rep": rep, "names": list(customers)},
        )


def test_a_customers_day_becomes_a_mail_at_seven(database: Database, install: Any) -> None:
    install("gone_quiet", GONE_QUIET)
    a_company(database)
    in_auckland(database, "Acme")
    evaluate(database, "gone_quiet")
    with mail_sink.running() as sink:
        told = settings(smtp_url=sink.url, business_time=None)
        drain(database, told, NOW)

        assert sink.mails == []
        ((occasion, order, verdict),) = rows(database, "SELECT occasion, order_id, verdict FROM alert")
        assert occasion.startswith("customer:")
        assert (order, verdict) == (None, "notify")
        ((local, send_after, waits),) = rows(
            database,
            "SELECT send_after AT TIME ZONE 'Pacific/Auckland' AS local, send_after,"
            " (SELECT run_at - now() FROM task WHERE kind = 'deliver') AS waits FROM delivery",
        )
        assert (local.hour, local.minute) == (7, 0)
        assert local.weekday() < 5
        assert abs(waits - (send_after - NOW)) < timedelta(minutes=1)
        assert value(database, "SELECT expires_at > now() + :waits FROM delivery", waits=waits)

        alert_rows.due_now(database)
        drain(database, told, send_after)
        drain(database, told, send_after)

        (mail,) = sink.mails
    assert "No order for two months" in mail["Subject"]
    assert mail["To"] == "ruth@example.com"
    with database.transaction() as connection:
        steps = explain(connection, str(value(database, "SELECT id FROM delivery")))
    way = [step.what for step in steps if step.what != "fact"]
    assert way == ["signal", "evidence", "replayed", "decision", "task", "alert", "delivery", "attempt"]
    moved = rows(database, "SELECT from_state, to_state FROM episode_event ORDER BY id")
    assert [tuple(row) for row in moved] == [(None, "open"), ("open", "notified")]


def test_an_order_that_comes_late_takes_back_the_mail_of_the_morning(
    database: Database, install: Any
) -> None:
    install("gone_quiet", GONE_QUIET)
    a_company(database)
    in_auckland(database, "Acme")
    evaluate(database, "gone_quiet")
    told = settings(smtp_url="smtp://127.0.0.1:9", business_time=None)
    drain(database, told, NOW)
    assert value(database, "SELECT state FROM delivery") == "ready"
    score(database, an_order("late", days_ago=20))
    drain(database, told, NOW)
    assert value(database, "SELECT state FROM delivery") == "ready"

    the_hour(database)
    drain(database, told, NOW + timedelta(hours=3))

    assert [tuple(row) for row in rows(database, "SELECT state, reason FROM delivery")] == [
        ("withdrawn", "it answered itself before it was sent")
    ]
    assert [tuple(row) for row in rows(database, "SELECT state, close_reason FROM alert")] == [
        ("done", "by itself: it is no longer so")
    ]


def test_a_reps_day_is_mailed_to_the_rep_at_once_where_the_business_clock_stands_still(
    database: Database, install: Any
) -> None:
    install("book", REP_DAY)
    a_company(database)
    in_auckland(database, "Acme")
    evaluate(database, "book")
    with mail_sink.running() as sink:
        told = settings(smtp_url=sink.url, business_time=NOW, call_cost=0)
        drain(database, told)

        (mail,) = sink.mails
    assert mail["Subject"].startswith("Ruth: Your book")
    assert rows(database, "SELECT customer_id, about_rep_id IS NULL FROM alert") == [(None, False)]


def test_what_one_morning_has_no_room_for_comes_the_next_and_stands_in_the_inbox_once(
    database: Database, install: Any
) -> None:
    install("gone_quiet", GONE_QUIET)
    a_company(database)
    score(database, *(an_order(f"c{days}", days_ago=days, customer="third") for days in (150, 120, 90)))
    in_auckland(database, "Acme", "Third")
    with mail_sink.running() as sink:
        for night in range(3):
            evaluate(database, "gone_quiet", night=night)
            now = NOW + timedelta(days=night)
            drain(database, settings(smtp_url=sink.url, business_time=now, budget_per_rep=1), now)
        subjects = sorted(mail["Subject"].partition(":")[0] for mail in sink.mails)
    assert subjects == ["Acme", "Third"]
    assert rows(
        database, "SELECT state, notified_at IS NULL AS unsent, count(*) FROM alert GROUP BY 1, 2 ORDER BY 1"
    ) == [("done", True, 1), ("open", False, 2)]
