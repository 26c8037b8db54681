"""Between the nights, day kinds look by the hour at those whose orders changed, and at nobody else."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from services.scoring.schedule import periodic
from shared import tasks
from shared.db import Database
from shared.tasks import Tally
from tests.scoring_orders import NOW, URL, Worker, line, order, rows, score, settings
from tests.stores.test_day_kind import DAY, an_episode, evaluate, install

__all__ = ["install"]
EPISODES = "SELECT customer.name, closed_at IS NULL FROM episode JOIN customer ON customer.id = customer_id ORDER BY 1"


def two_silent_customers(database: Database, kind: str) -> None:
    """Two customers a night found silent, long after their orders were applied; an episode is open about each."""
    for customer in ("acme", "bolt"):
        score(
            database,
            *(
                order(f"{customer}{days}", line("DRILL", 10, 5), days_ago=days, customer=customer)
                for days in (150, 120, 90)
            ),
        )
    evaluate(database, kind)
    an_episode(database, 15, kind)
    long_ago(database)


def long_ago(database: Database) -> None:
    """What was applied until now, an evaluation has seen."""
    with database.transaction() as connection:
        connection.exec_driver_sql("UPDATE sales_order SET applied_at = now() - interval '1 day'")


def the_hour(database: Database, hour: int = 15, *, url: str | None = None) -> Tally:
    """Do the evaluation of an hour."""
    with database.transaction() as connection:
        tasks.put(connection, "scoring", "evaluate_changed", [f"{DAY} {hour}h"])
    address = url or database.engine.url.render_as_string(hide_password=False)
    return Worker(database, now=NOW + timedelta(hours=3), database_url=address).work("evaluate_changed")


def episodes(database: Database) -> Sequence[Any]:
    return [tuple(row) for row in rows(database, EPISODES)]


def decided(database: Database) -> int:
    [[count]] = rows(database, "SELECT count(*) FROM task WHERE kind = 'decide' AND key LIKE 'customer:%%'")
    return int(count)


def test_nothing_is_read_while_nothing_changed(database: Database, install: Any) -> None:
    install("gone_quiet")
    two_silent_customers(database, "gone_quiet")
    before = rows(database, "SELECT * FROM episode ORDER BY id")
    assert the_hour(database, url=URL) == Tally()  # no facts could be read from there
    assert rows(database, "SELECT * FROM episode ORDER BY id") == before


def test_a_late_order_closes_what_it_made_wrong_and_nothing_else(database: Database, install: Any) -> None:
    install("absence")
    two_silent_customers(database, "absence")
    assert decided(database) == 2
    score(database, order("late", line("DRILL", 10, 5), days_ago=30))
    assert episodes(database) == [("Acme", True), ("Bolt", True)]
    the_hour(database)
    assert episodes(database) == [("Acme", False), ("Bolt", True)]
    assert decided(database) == 3
    assert the_hour(database, 16) == Tally()
    assert decided(database) == 3


def test_no_absence_opens_by_the_hour(database: Database, install: Any) -> None:
    install("absence")
    two_silent_customers(database, "absence")
    score(database, *(order(f"c{days}", days_ago=days, customer="carl") for days in (150, 90)))
    assert the_hour(database) == Tally()
    assert rows(database, "SELECT count(*) FROM signal WHERE kind = 'absence'") == [(2,)]


def test_what_a_changed_order_shows_is_found_by_the_hour(database: Database, install: Any) -> None:
    install("gone_quiet")
    two_silent_customers(database, "gone_quiet")
    with database.transaction() as connection:
        connection.exec_driver_sql("DELETE FROM episode")
    score(database, *(order(f"c{days}", days_ago=days, customer="carl") for days in (150, 90)))
    assert the_hour(database) == Tally({("signals", "gone_quiet"): 1})


def test_an_open_episode_of_a_changed_customer_is_touched_and_not_repeated(
    database: Database, install: Any
) -> None:
    install("gone_quiet")
    two_silent_customers(database, "gone_quiet")
    score(database, order("older", line("DRILL", 1, 1), days_ago=200))
    assert the_hour(database) == Tally()
    seen = rows(
        database,
        "SELECT customer.name, last_seen_at > opened_at FROM episode JOIN customer ON customer.id = customer_id"
        " ORDER BY 1",
    )
    assert [tuple(row) for row in seen] == [("Acme", True), ("Bolt", False)]


def test_a_kind_waits_for_its_first_night(database: Database, install: Any) -> None:
    install("gone_quiet")
    score(database, *(order(f"c{days}", days_ago=days, customer="carl") for days in (150, 90)))
    assert the_hour(database, url=URL) == Tally()


@pytest.mark.parametrize(
    ("hours", "keys"),
    [
        pytest.param((0,), 1, id="once an hour"),
        pytest.param((0, 1, 1.5), 2, id="by the business clock"),
    ],
)
def test_an_hour_is_put_once_and_after_the_night(
    database: Database, hours: tuple[float, ...], keys: int
) -> None:
    def put(later: float) -> None:
        put_hour = periodic(settings(), lambda: NOW + timedelta(hours=later))[3]
        for _ in range(2):
            with database.transaction() as connection:
                put_hour(connection)
                connection.exec_driver_sql("UPDATE task SET state = 'done', finished_at = now()")

    put(0)
    assert rows(database, "SELECT count(*) FROM task") == [(0,)]
    with database.transaction() as connection:
        tasks.put(connection, "scoring", "evaluate", [f"{DAY}:going_quiet"])
    for later in hours:
        put(later)
    put(0)
    assert rows(database, "SELECT count(*) FROM task WHERE kind = 'evaluate_changed'") == [(keys,)]
