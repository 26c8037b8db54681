"""The scoring service: who may read what, and what it shows of the current fit."""

import json
from datetime import timedelta
from typing import Any

import pytest
from apiflask import APIFlask
from sqlalchemy import text

from services.scoring.app import create_app
from shared import tokens
from shared.db import Database
from shared.metrics import Metrics
from tests.alert_rows import a_customer, a_signal, an_order
from tests.scoring_orders import NOW, line, order, rows, score, settings
from tests.stores.test_roi_rows import outcome

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


def test_the_signals_of_a_customer_are_read_page_by_page(app: APIFlask, database: Database) -> None:
    with database.transaction() as connection:
        reached, other = (a_customer(connection, name=name) for name in ("Acme", "Other"))
        for source, name, customer in (("erp", "A/1 b", reached), ("shop", "A/1 b", other)):
            connection.execute(
                text("INSERT INTO customer_ref VALUES (:source, :name, :customer)"),
                {"source": source, "name": name, "customer": customer},
            )
        order_id = an_order(connection, reached, "INV-1")
        for number in range(5):
            a_signal(connection, reached, order_id, subject=f"product:{number}")
        a_signal(connection, other, an_order(connection, other, "INV-2"))
    address, pages = "/v1/customers/A%2F1%20b/signals?source=erp&limit=2", []
    while address:
        page = get(app, address).json
        pages.append([each["subject"] for each in page["signals"]])
        address = page["next"]
    assert pages == [["product:4", "product:3"], ["product:2", "product:1"], ["product:0"]]
    assert len(get(app, "/v1/customers/A%2F1%20b/signals").json["signals"]) == 6


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/customers/nobody/signals", 404),
        ("/v1/customers/acme/signals?source=nobody", 404),
        ("/v1/customers/acme/signals?limit=0", 422),
        ("/v1/customers/acme/signals?before=yesterday", 422),
    ],
)
def test_a_wrong_question_about_a_customer_is_a_problem(
    app: APIFlask, database: Database, path: str, status: int
) -> None:
    score(database, order("now", line("DRILL", 10, 5)))
    assert get(app, "/v1/customers/acme/signals").json == {"signals": [], "next": None}
    answer = get(app, path)
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json")


def test_a_merged_customer_has_the_signals_of_both(app: APIFlask, database: Database) -> None:
    with database.transaction() as connection:
        kept, merged = (a_customer(connection, name=name) for name in ("Acme", "Acme Ltd"))
        connection.execute(text("INSERT INTO customer_ref VALUES ('erp', 'old', :id)"), {"id": merged})
        connection.execute(text("UPDATE customer SET merged_into_id = :kept WHERE id = :merged"),
                           {"kept": kept, "merged": merged})  # fmt: skip
        for number, customer in enumerate((kept, merged)):
            a_signal(connection, customer, an_order(connection, customer, f"INV-{number}"))
    assert len(get(app, "/v1/customers/old/signals").json["signals"]) == 2


def test_the_page_describes_what_may_be_read(app: APIFlask) -> None:
    paths = json.loads(app.test_client().get("/openapi.json").data)["paths"]
    assert {"/v1/models", "/v1/signals", "/v1/customers/{customer}/signals"} <= paths.keys()


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


def test_what_acting_earned_is_told_by_kind_in_the_base_currency(app: APIFlask, database: Database) -> None:
    assert get(app, "/v1/roi").json == {"currency": "GBP", "kinds": {}}
    for number in range(5):
        outcome(database, f"Told {number}", "first_time", 50 + number)
        outcome(database, f"Left {number}", "held_out", 20 + number)

    found = get(app, "/v1/roi").json["kinds"]["going_quiet"]

    assert (found["units_notified"], found["units_held"]) == (5, 5)
    assert (found["extra"], found["total"]) == (pytest.approx(30), pytest.approx(150))


def test_a_model_that_was_never_fitted_says_so(app: APIFlask) -> None:
    assert 'tipoff_model_fit_timestamp_seconds{model="neighbours"} 0' in scraped(app)


def scraped(app: APIFlask) -> str:
    text_of = app.test_client().get("/metrics").get_data(as_text=True)
    return "\n".join(
        f"{name} {float(value):.10g}"
        for name, _, value in (each.rpartition(" ") for each in text_of.splitlines())
        if name.startswith("tipoff_model_fit")
    )


@pytest.mark.parametrize("path", ["/v1/signals", "/v1/models", "/v1/roi", "/v1/customers/acme/signals"])
def test_nobody_reads_without_a_token(app: APIFlask, path: str) -> None:
    assert app.test_client().get(path).status_code == 401
    assert get(app, path, tokens.new_token()).status_code == 401


@pytest.mark.parametrize("limit", ["0", "201", "many", "-1", pytest.param("9" * 5000, id="5000 digits")])
def test_a_strange_limit_is_refused(app: APIFlask, limit: str) -> None:
    answer = get(app, f"/v1/signals?limit={limit}")
    assert answer.status_code == 422
    assert answer.content_type == "application/problem+json"
    assert [each["parameter"] for each in json.loads(answer.data)["errors"]] == ["limit"]


def test_a_strange_position_is_refused_by_its_name(app: APIFlask) -> None:
    answer = get(app, "/v1/customers/acme/signals?before=x")
    assert (answer.status_code, json.loads(answer.data)["errors"][0]["parameter"]) == (422, "before")


def test_it_is_ready_on_the_tables_of_this_version(app: APIFlask, database: Database) -> None:
    assert app.test_client().get("/readyz").status_code == 200
    assert rows(database, "SELECT count(*) FROM signal") == [(0,)]
