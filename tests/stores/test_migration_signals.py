"""An installation of the first tables keeps its signals: each gets its occasion, and what waited is still decided."""

import os
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from shared.migrations import upgrade
from tests.conftest import Servers
from tests.databases import conninfo, named

NAME = f"tipoff_test_from_0001_{os.getpid()}"

SIGNAL = (
    "INSERT INTO signal (kind, customer_id, subject, cause, order_id, order_version, as_of, expires_at, probability,"
    " basis, stake, value, low, high, horizon_days, quiet_days, headline, question, evidence, detail, is_urgent,"
    " is_selling, is_proven, assumed_margin, detector_version) VALUES ('margin', 7, 'product:1', %s, 41, 3, now(),"
    " now(), 0.5, 'prior', 10, 5, 1, 9, 90, 30, 'Sold below its floor', 'Agreed?', '[]', '{}', %s, false, true,"
    " false, '1')"
)


@pytest.fixture
def old(servers: Servers) -> Iterator[str]:
    """Address of a database that stands at the first tables."""
    create = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(NAME))
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(NAME))
    with psycopg.connect(conninfo(servers.database_url), autocommit=True) as server:
        server.execute(drop)
        server.execute(create)
        url = named(servers.database_url, NAME)
        upgrade(url, "0001")
        yield url
        server.execute(drop)


def test_a_signal_of_an_order_gets_its_occasion_and_severity(old: str) -> None:
    with psycopg.connect(conninfo(old)) as connection:
        connection.execute(SIGNAL, ["line:1", True])
        connection.execute(SIGNAL, ["line:2", False])
        connection.execute("INSERT INTO task (queue, kind, key) VALUES ('alerts', 'decide', '41:3')")
    upgrade(old)
    with psycopg.connect(conninfo(old)) as connection:
        found = connection.execute(
            "SELECT occasion, order_version, severity, headline FROM signal ORDER BY id"
        ).fetchall()
        keys = connection.execute("SELECT key FROM task").fetchall()
    assert found == [
        ("order:41", 3, "urgent", "Sold below its floor"),
        ("order:41", 3, "normal", "Sold below its floor"),
    ]
    assert keys == [("order:41@3",)]


def test_why_an_order_was_not_looked_at_is_kept(old: str) -> None:
    with psycopg.connect(conninfo(old)) as connection:
        connection.execute(
            "INSERT INTO silence_note (order_id, order_version, reason) VALUES (41, 3, 'a guest')"
        )
    upgrade(old)
    with psycopg.connect(conninfo(old)) as connection:
        found = connection.execute("SELECT order_id, order_version, reason FROM skip_reason").fetchall()
    assert found == [(41, 3, "a guest")]


def test_the_current_fit_becomes_a_run_of_each_model(old: str) -> None:
    with psycopg.connect(conninfo(old)) as connection:
        connection.execute(
            "INSERT INTO model_run (as_of, finished_at, is_current, version, grades)"
            " VALUES (now(), now(), false, '1', '{}'), (now(), now(), true, '1', %s)",
            ['{"cross_sell": {"wins": true, "reason": "beats popularity"}, "purchases": 3}'],
        )
        connection.execute(
            "INSERT INTO usual_break"
            " (model_run_id, product_id, currency, min_quantity, unit_price, usual_price, buyers)"
            " VALUES (1, 7, 'EUR', 10, 1, 2, 6), (2, 7, 'EUR', 10, 4, 5, 6)"
        )
    upgrade(old)
    with psycopg.connect(conninfo(old)) as connection:
        runs = connection.execute(
            "SELECT model, grade->>'passes', grade->>'reason' FROM model_run WHERE state = 'current' ORDER BY model"
        ).fetchall()
        breaks = connection.execute(
            "SELECT model, unit_price, usual_price FROM usual_break JOIN model_run ON model_run.id = model_run_id"
        ).fetchall()
    assert runs == [
        ("item_facts", None, None),
        ("neighbours", "true", "beats popularity"),
        ("price_bands", None, None),
        ("usual_breaks", None, None),
    ]
    assert breaks == [("usual_breaks", 4, 5)]
