"""What was told of is compared with what was left alone on purpose, and with nothing else."""

import json

import pytest
from click.testing import CliRunner

from services.scoring.roi_command import command, measure
from shared.db import Database
from tests.alert_rows import NOW, Asked, a_customer, a_rep, a_signal, rows, settings


def outcome(database: Database, name: str, reason: str, margin: float | None, **given: object) -> None:
    """An outcome of going quiet about a customer of that name."""
    values = {"kind": "going_quiet", "segment": None, "revenue": 100} | given
    with database.transaction() as connection:
        rep = rows(database, "SELECT id FROM rep") or [(a_rep(connection),)]
        customer = a_customer(connection, rep[0][0], name)
        signal = a_signal(connection, customer, None)
    values |= {"customer": customer, "signal": signal, "at": NOW, "reason": reason, "margin": margin}
    rows(database, "UPDATE customer SET segment = :segment WHERE id = :customer RETURNING 1", **values)
    rows(
        database,
        "INSERT INTO outcome (signal_id, kind, customer_id, subject, as_of, horizon_days, is_notified, reason,"
        " probability, basis, stake, value, happened, revenue, margin, observed_at) VALUES (:signal, :kind, :customer,"
        " 'orders', :at, 90, CAST(:reason AS text) = 'first_time', :reason, 0.3, 'measured', 100, 10, true, :revenue,"
        " :margin, :at) RETURNING 1",
        **values,
    )


@pytest.fixture
def seen(database: Database) -> Database:
    """Six customers told of who brought 50 each, six left alone who brought 20, and others who do not count."""
    for number in range(6):
        outcome(database, f"Told {number}", "first_time", 50 + number % 2)
        outcome(database, f"Left {number}", "held_out", 20 + number % 2)
    outcome(database, "Key", "first_time", 9000, segment="Key")
    outcome(database, "Budget", "over_budget", 9000)
    outcome(database, "Mistake", "first_time", 9000, kind="below_floor")
    return database


def test_only_what_was_drawn_is_compared(seen: Database) -> None:
    (measured,) = measure(seen, settings()).values()

    assert (measured.units_notified, measured.units_held) == (6, 6)
    assert measured.extra == pytest.approx(30)
    assert measured.total == pytest.approx(180)


def test_without_a_cost_the_margin_is_the_revenue_at_the_assumed_rate(database: Database) -> None:
    for number in range(6):
        outcome(database, f"Told {number}", "first_time", None, revenue=200 + number)
        outcome(database, f"Left {number}", "held_out", None, revenue=100 + number)

    (measured,) = measure(database, settings(assumed_margin="0.25")).values()

    assert measured.extra == pytest.approx(25)


def test_the_command_says_what_was_seen_or_how_much_is_missing(seen: Database, database: Database) -> None:
    asked = Asked(settings(), database)
    said = CliRunner().invoke(command, [], obj=asked).output
    assert said.startswith("going_quiet: GBP 30.00 extra margin each (")
    assert "GBP 180 in all; 6 customers told of, 6 left alone" in said
    assert json.loads(CliRunner().invoke(command, ["--json"], obj=asked).output)["kinds"]["going_quiet"][
        "is_enough"
    ]

    rows(database, "DELETE FROM outcome WHERE reason = 'held_out' AND customer_id % 4 <> 0 RETURNING 1")
    said = CliRunner().invoke(command, [], obj=asked).output
    assert said.startswith("going_quiet: not enough data: 6 customers told of, ")
    rows(database, "DELETE FROM outcome RETURNING 1")
    assert "no outcomes of customers left alone" in CliRunner().invoke(command, [], obj=asked).output
