"""Two workers that decide at once never spend one rep's budget twice, nor decide one signal twice."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from uuid import uuid4

import pytest
from sqlalchemy import text

from services.alerts import jobs
from services.alerts.store import history
from shared import tasks
from shared.db import Database
from shared.metrics import Metrics
from shared.tasks import Task
from tests.alert_rows import NOW, a_customer, a_rep, a_signal, an_order, decide_task, rows, settings, value


def test_the_budget_holds_with_two_workers_at_once(database: Database) -> None:
    with database.transaction() as connection:
        rep = a_rep(connection)
        for number in range(12):
            customer = a_customer(connection, rep, f"Customer {number}")
            order = an_order(connection, customer, f"INV-{number}")
            a_signal(connection, customer, order)
            decide_task(connection, order)
    decide, *_ = jobs.handlers(
        database, settings(), lambda: NOW, Metrics("alerts", "test"), lambda _queue: None
    )
    with database.transaction() as connection:
        batch = tasks.claim(connection, decide, uuid4())

    def one_by_one(part: list[Task]) -> None:
        for task in part:
            decide.run([task])

    with ThreadPoolExecutor(2) as workers:
        list(workers.map(one_by_one, (batch[:6], batch[6:])))

    assert rows(database, "SELECT reason, count(*) FROM decision GROUP BY reason ORDER BY reason") == [
        ("first_time", 5),
        ("over_budget", 7),
    ]


def test_a_mistake_on_an_order_takes_nothing_from_the_budget(database: Database) -> None:
    with database.transaction() as connection:
        rep = a_rep(connection)
        for number in range(2):
            order = an_order(
                connection, customer := a_customer(connection, rep, f"Customer {number}"), f"INV-{number}"
            )
            a_signal(connection, customer, order, kind="cross_sell" if number else "price_error")
            decide_task(connection, order)
        connection.execute(text("UPDATE signal SET action = 'correction' WHERE kind = 'price_error'"))
    decide, *_ = jobs.handlers(
        database, settings(budget_per_rep=1), lambda: NOW, Metrics("alerts", "test"), lambda _queue: None
    )
    with database.transaction() as connection:
        batch = tasks.claim(connection, decide, uuid4())

    for task in batch:  # the mistake first
        decide.run([task])

    assert rows(database, "SELECT DISTINCT verdict FROM decision") == [("notify",)]


@pytest.mark.parametrize(
    ("assignments", "expected"),
    [
        pytest.param([], "Dora", id="nobody: the default owner"),
        pytest.param([("territory", "Tom", "2010-01-01")], "Tom", id="the territory's rep"),
        pytest.param(
            [("territory", "Tom", "2011-01-01"), ("customer", "Ruth", "2010-01-01")],
            "Ruth",
            id="the customer's own rep before the territory's",
        ),
        pytest.param(
            [("customer", "Ruth", "2010-01-01"), ("customer", "Tom", "2011-02-28")],
            "Tom",
            id="the newer assignment from its first day",
        ),
        pytest.param(
            [("customer", "Ruth", "2010-01-01"), ("customer", "Tom", "2011-03-01")],
            "Ruth",
            id="not yet the one that begins tomorrow",
        ),
    ],
)
def test_a_customers_owner_is(
    database: Database, assignments: list[tuple[str, str, str]], expected: str
) -> None:
    with database.transaction() as connection:
        reps = {name: a_rep(connection, name, default=name == "Dora") for name in ("Dora", "Ruth", "Tom")}
        territory = connection.execute(
            text("INSERT INTO territory (external_id, name) VALUES ('north', 'North') RETURNING id")
        ).scalar_one()
        customer = a_customer(connection)
        connection.execute(text("UPDATE customer SET territory_id = :id"), {"id": territory})
        for noun, name, since in assignments:
            subject = customer if noun == "customer" else territory
            connection.execute(
                text(
                    f"INSERT INTO assignment ({noun}_id, rep_id, valid_from) VALUES (:subject, :rep, :since)"
                ),
                {"subject": subject, "rep": reps[name], "since": since},
            )

        history.ensure_users(connection)
        owner = history.owners_of(connection, [customer], date(2011, 2, 28))[customer]

    assert owner.rep_id == reps[expected]
    assert owner.is_default == (expected == "Dora")


def test_without_any_rep_alerts_still_have_somebody_to_be_shown_to(database: Database) -> None:
    with database.transaction() as connection:
        history.ensure_users(connection)
        history.ensure_users(connection)

    assert value(database, "SELECT name FROM rep WHERE is_default_owner") == "Nobody yet"
    assert value(database, "SELECT count(*) FROM rep") == 1
