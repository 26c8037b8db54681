"""While a complaint or a credit hold is open, nothing that sells is sent about the customer."""

from datetime import date, timedelta

import pytest
from sqlalchemy import text

from shared.db import Database
from tests.alert_rows import (
    NOW,
    a_customer,
    a_rep,
    a_signal,
    an_order,
    decide_task,
    drain,
    rows,
    settings,
    value,
)

TODAY = NOW.date()


@pytest.mark.parametrize(
    ("holds", "reason"),
    [
        pytest.param([("complaint", TODAY, None)], "open_complaint", id="a complaint"),
        pytest.param([("credit_hold", date(2010, 1, 1), TODAY)], "credit_hold", id="on its last day"),
        pytest.param([("strike", TODAY, None)], "on_hold", id="any other hold"),
        pytest.param(
            [("credit_hold", TODAY, None), ("complaint", TODAY, None)], "open_complaint", id="of two"
        ),
        pytest.param(
            [
                ("complaint", date(2010, 1, 1), TODAY - timedelta(days=1)),
                ("credit_hold", TODAY + timedelta(days=1), None),
            ],
            "first_time",
            id="none that is over, or to come",
        ),
    ],
)
def test_a_hold_hides_selling_and_says_so(
    database: Database, holds: list[tuple[str, date, date | None]], reason: str
) -> None:
    with database.transaction() as connection:
        customer = a_customer(connection, a_rep(connection))
        order = an_order(connection, customer, "INV-1")
        a_signal(connection, customer, order)
        a_signal(connection, customer, order, kind="below_floor", selling=False)
        for kind, since, until in holds:
            connection.execute(
                text(
                    "INSERT INTO hold (customer_id, kind, valid_from, valid_to) VALUES (:id, :kind, :a, :b)"
                ),
                {"id": customer, "kind": kind, "a": since, "b": until},
            )
        decide_task(connection, order)
    drain(database, settings())
    decided = rows(database, "SELECT reason FROM decision JOIN signal ON signal.id = signal_id ORDER BY kind")
    assert [row[0] for row in decided] == ["first_time", reason]
    assert value(database, "SELECT count(*) FROM episode") == (2 if reason == "first_time" else 1)
