"""When a fit is put: once a night, and at once when history came in and nothing was learnt from it yet."""

from datetime import datetime, timedelta

from services.scoring.schedule import periodic
from shared.db import Database
from tests.scoring_orders import NOW, Worker, order, rows, score, settings

MODELS = [
    "going_quiet", "inferred_breaks", "item_facts", "neighbours", "price_bands", "reorder", "spend_drop",
    "stopped_category", "stopped_item",
]  # fmt: skip


def put(database: Database, now: datetime = NOW) -> list[str]:
    """Let two schedulers look, and return the fits that stand."""
    for fits in periodic(settings(), lambda: now) * 2:
        with database.transaction() as connection:
            fits(connection)
    return [row.key for row in rows(database, "SELECT key FROM task WHERE kind = 'fit' ORDER BY key")]


def an_import(database: Database, finished: str) -> None:
    with database.transaction() as connection:
        connection.exec_driver_sql(
            f"INSERT INTO import_run (entity, source, file, finished_at) VALUES ('orders', 'standard', 'f', {finished})"
        )


def test_nothing_is_fitted_before_there_are_orders(database: Database) -> None:
    assert put(database) == []


def test_the_first_fit_comes_as_soon_as_history_is_in(database: Database) -> None:
    an_import(database, "now()")
    keys = put(database)
    assert [key.partition(":")[2] for key in keys] == MODELS
    assert all(key.startswith("first ") for key in keys)


def test_the_first_fit_waits_for_an_import_that_runs(database: Database) -> None:
    an_import(database, "now()")
    an_import(database, "NULL")
    assert put(database) == []


def test_a_fit_comes_every_night_and_once(database: Database) -> None:
    score(database, order("1"))
    assert put(database, NOW.replace(hour=1)) == []
    assert put(database) == [f"{NOW.date()}:{model}" for model in MODELS]
    tomorrow = NOW.replace(hour=2) + timedelta(days=1)
    assert put(database, tomorrow)[len(MODELS) :] == [f"{tomorrow.date()}:{model}" for model in MODELS]


def test_a_fit_that_stands_is_not_a_reason_for_another_first_one(database: Database) -> None:
    an_import(database, "now()")
    with database.transaction() as connection:
        connection.exec_driver_sql(
            "INSERT INTO model_run (model, state, as_of, version) VALUES ('neighbours', 'current', now(), '1')"
        )
    first = [key.partition(":")[2] for key in put(database) if key.startswith("first ")]
    assert first == [model for model in MODELS if model != "neighbours"]


def test_no_task_of_the_night_or_the_hour_is_taken_for_hung(database: Database) -> None:
    unlimited = {kind for kind, handler in Worker(database).handlers.items() if handler.hung_after is None}
    assert unlimited == {"refresh", "fit", "evaluate", "evaluate_changed", "observe"}
