"""What a fit counts as a purchase: net of what was given back, in the company's days, and only what was known."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text

from services.scoring.engine import open_engine
from services.scoring.fit.facts import Facts, before, read_facts
from services.scoring.fit.run import connected
from shared.db import Database
from tests.fit_company import AS_OF, Company, days_ago


@pytest.fixture
def company(database: Database) -> Iterator[Company]:
    """A company without trade."""
    with database.engine.connect() as connection:
        yield Company(connection)


@contextmanager
def reading(company: Company, database_url: str, **options: Any) -> Iterator[Facts]:
    """The facts of the company, read as a fit reads them."""
    company.connection.commit()
    with open_engine(threads=1, memory="200MB") as engine, connected(database_url) as connection:
        yield read_facts(engine, connection, AS_OF, **options)


def purchases(facts: Facts) -> list[tuple[float, float]]:
    rows = facts.engine.rows(facts.purchases.select("quantity", "net").order_by("quantity"))
    return [(row["quantity"], row["net"]) for row in rows]


def days(facts: Facts) -> list[tuple[str, int, float]]:
    rows = facts.engine.rows(facts.order_days.order_by("day"))
    return [(row["day"].isoformat(), row["orders"], row["net"]) for row in rows]


def returned(company: Company, quantity: float, at: datetime, original: str | None) -> None:
    """A return of drills at 5 each."""
    company.order("Acme", at, ("DRILL", -quantity, 5), kind="return", original_order_id=original)


@pytest.mark.parametrize(
    ("lines", "bought"),
    [
        pytest.param([("DRILL", 10, 5), ("DRILL", -4, 5)], [(6, 30)], id="ten less four in one sale is six"),
        pytest.param(
            [("DRILL", 10, 2), ("DRILL", 2, 0)], [(10, 20)], id="two that came free are no purchase"
        ),
        pytest.param([("DRILL", 2, 0)], [], id="nothing but free goods"),
    ],
)
def test_a_purchase_is_what_was_paid_for(
    company: Company,
    database_url: str,
    lines: list[tuple[str, float, float]],
    bought: list[tuple[float, float]],
) -> None:
    company.order("Acme", days_ago(5), *lines)
    with reading(company, database_url) as facts:
        assert purchases(facts) == bought


def test_a_return_counts_against_the_sale_it_names(company: Company, database_url: str) -> None:
    company.order("Acme", days_ago(20), ("DRILL", 10, 5))
    returned(company, 4, days_ago(10), original="1")
    with reading(company, database_url) as facts:
        assert purchases(facts) == [(6, 30)]
        assert days(facts) == [("2026-02-10", 1, 50), ("2026-02-20", 0, -20)]
        # and at a moment between the two nothing had been given back
        assert purchases(before(facts, days_ago(15))) == [(10, 50)]


def test_a_sale_given_back_whole_is_no_order(company: Company, database_url: str) -> None:
    company.order("Acme", days_ago(20), ("DRILL", 10, 5))
    returned(company, 10, days_ago(20), original="1")
    with reading(company, database_url) as facts:
        assert purchases(facts) == []
        assert [row[1:] for row in days(facts)] == [(0, 0)]


def test_a_return_that_names_no_sale_lowers_what_the_customer_spent(
    company: Company, database_url: str
) -> None:
    company.order("Acme", days_ago(20), ("DRILL", 10, 5))
    returned(company, 4, days_ago(10), original=None)
    with reading(company, database_url) as facts:
        assert purchases(facts) == [(10, 50)]
        assert sum(row[2] for row in days(facts)) == 30


def test_a_day_is_one_of_the_companys_zone(company: Company, database_url: str) -> None:
    company.order("Acme", datetime(2026, 2, 3, 23, tzinfo=UTC), ("DRILL", 1, 5))
    company.order("Acme", datetime(2026, 2, 4, 1, tzinfo=UTC), ("DRILL", 1, 5))
    with reading(company, database_url, zone="America/New_York") as facts:
        assert days(facts) == [("2026-02-03", 2, 10)]
        assert facts.today.isoformat() == "2026-03-01"


def test_customers_that_were_merged_are_one(company: Company, database_url: str) -> None:
    kept = company.customer("Acme")
    company.customer("Acme Ltd", merged_into_id=kept)
    company.order("Acme", days_ago(5), ("DRILL", 1, 5))
    company.order("Acme Ltd", days_ago(5), ("DRILL", 1, 5))
    with reading(company, database_url) as facts:
        assert [row[1:] for row in days(facts)] == [(2, 10)]


def test_nothing_that_came_later_is_known(company: Company, database_url: str) -> None:
    company.order("Acme", days_ago(20), ("DRILL", 10, 5))
    company.order("Acme", AS_OF, ("DRILL", 99, 5))
    returned(company, 4, AS_OF, original="1")
    with reading(company, database_url) as facts:
        assert purchases(facts) == [(10, 50)]
        assert len(days(facts)) == 1


def test_what_had_not_been_received_by_then_is_unknown_then(company: Company, database_url: str) -> None:
    company.order("Acme", days_ago(20), ("DRILL", 1, 5), is_history=True)
    company.order("Acme", days_ago(10), ("DRILL", 2, 5), event_id=event(company, days_ago(10)))
    company.order("Acme", days_ago(5), ("DRILL", 3, 5), event_id=event(company, days_ago(-1)))
    with reading(company, database_url, received_by=AS_OF) as facts:
        assert purchases(facts) == [(1, 5), (2, 10)]


def event(company: Company, received_at: datetime) -> Any:
    """An event received at a moment, by id."""
    return company.connection.execute(
        text(
            "INSERT INTO event (id, source, external_id, version, revision, digest, is_current, entry_point, state,"
            " received_at) VALUES (gen_random_uuid(), 'standard', gen_random_uuid()::text, 1, 1, '', true, 'webhook',"
            " 'applied', :at) RETURNING id"
        ),
        {"at": received_at},
    ).scalar_one()


def test_a_night_reads_what_the_newest_run_of_a_model_wrote(company: Company, database_url: str) -> None:
    company.order("Acme", days_ago(5), ("DRILL", 10, 5))
    for learnt, run_at in ((1, days_ago(9)), (2, days_ago(1))):
        run = company.connection.execute(
            text(
                "INSERT INTO model_run (model, state, as_of, version, finished_at, grade)"
                " VALUES ('going_quiet', :state, :at, '1', now(), '{}') RETURNING id"
            ),
            {"at": run_at, "state": "current" if learnt == 2 else "superseded"},
        ).scalar()
        company.connection.execute(
            text("CREATE TABLE IF NOT EXISTS going_quiet (model_run_id bigint, customer_id bigint)")
        )
        company.connection.execute(
            text("INSERT INTO going_quiet VALUES (:run, :id)"), {"run": run, "id": learnt}
        )
    with reading(company, database_url) as facts:
        learnt_rows = facts.predictions.table("going_quiet")
        assert learnt_rows is not None
        assert [row["customer_id"] for row in facts.engine.rows(learnt_rows)] == [2]
        assert facts.predictions.table("never_written") is None
    company.connection.execute(text("DROP TABLE going_quiet"))
    company.connection.commit()
