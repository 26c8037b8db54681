"""The scoring service: who may read what, and what it shows of the current fit."""

from datetime import timedelta
from typing import Any

import pytest
from apiflask import APIFlask
from sqlalchemy import text

from services.scoring.app import create_app
from shared import tokens
from shared.db import Database
from shared.metrics import Metrics
from tests.scoring_orders import NOW, line, order, rows, score, settings

TOKEN = tokens.new_token()


@pytest.fixture
def app(database: Database) -> APIFlask:
    """The service, on a database with a token that may read signals."""
    with database.transaction() as connection:
        connection.execute(
            text(
                "INSERT INTO api_token (digest, name, source, scopes) VALUES (:digest, 'crm', 'standard', :scopes)"
            ),
            {"digest": tokens.digest(TOKEN), "scopes": ["signals:read"]},
        )
    metrics = Metrics("scoring", "test")
    return create_app(settings(), database, lambda _: None, lambda: NOW, metrics, bind=("127.0.0.1", 0))


def get(app: APIFlask, path: str, token: str = TOKEN) -> Any:
    return app.test_client().get(path, headers={"Authorization": f"Bearer {token}"})


def test_signals_are_shown_by_customer(app: APIFlask, database: Database) -> None:
    usual = [order(str(days), line("DRILL", 40, 5), days_ago=days) for days in (30, 60, 90, 120)]
    score(database, *usual, order("now", line("DRILL", 40, 3)))
    (found,) = get(app, "/v1/signals?customer=acme").json["signals"]
    assert (found["kind"], found["customer"], found["is_proven"]) == ("price_error", "acme", True)
    assert found["evidence"][0]["label"] == "Price"
    assert get(app, "/v1/signals?customer=nobody").json == {"signals": []}


def test_the_current_fit_is_shown_with_its_age(app: APIFlask, database: Database) -> None:
    assert get(app, "/v1/models").json == {"models": []}
    with database.transaction() as connection:
        connection.execute(
            text(
                "INSERT INTO model_run (model, state, as_of, version, finished_at)"
                " VALUES ('neighbours', 'current', :at, '1', :at)"
            ),
            {"at": NOW - timedelta(hours=2)},
        )
    (model,) = get(app, "/v1/models").json["models"]
    assert (model["model"], model["age_seconds"]) == ("neighbours", 7200)
    fitted = (NOW - timedelta(hours=2)).timestamp()
    assert f'tipoff_model_fit_timestamp_seconds{{model="neighbours"}} {fitted:.10g}' in scraped(app)


def test_a_model_that_was_never_fitted_says_so(app: APIFlask) -> None:
    assert 'tipoff_model_fit_timestamp_seconds{model="neighbours"} 0' in scraped(app)


def scraped(app: APIFlask) -> str:
    text_of = app.test_client().get("/metrics").get_data(as_text=True)
    return "\n".join(
        f"{name} {float(value):.10g}"
        for name, _, value in (each.rpartition(" ") for each in text_of.splitlines())
        if name.startswith("tipoff_model_fit")
    )


@pytest.mark.parametrize("path", ["/v1/signals", "/v1/models"])
def test_nobody_reads_without_a_token(app: APIFlask, path: str) -> None:
    assert app.test_client().get(path).status_code == 401
    assert get(app, path, tokens.new_token()).status_code == 401


@pytest.mark.parametrize("limit", ["0", "201", "many", "-1"])
def test_a_strange_limit_is_refused(app: APIFlask, limit: str) -> None:
    answer = get(app, f"/v1/signals?limit={limit}")
    assert answer.status_code == 422
    assert answer.content_type == "application/problem+json"


def test_it_is_ready_on_the_tables_of_this_version(app: APIFlask, database: Database) -> None:
    assert app.test_client().get("/readyz").status_code == 200
    assert rows(database, "SELECT count(*) FROM signal") == [(0,)]
