"""`tipoff signals export`: what a kind would have ranked, on what was known by then, and nothing left behind."""

from pathlib import Path

import pytest
from sqlalchemy import text

from services.scoring.export import COLUMNS, LISTINGS, export, write
from shared.db import Database
from tests.fit_company import AS_OF, Company, days_ago


@pytest.fixture
def company(database: Database) -> Company:
    """Two customers who re-order drills and bits; one of them buys paint after the day that is exported."""
    with database.engine.connect() as connection:
        made = Company(connection)
        for month in range(1, 7):
            made.order("Acme", days_ago(30 * month), ("DRILL", 1, 80), ("BIT", 10, 2), is_history=True)
        made.order("Best", days_ago(10), ("BIT", 10, 2), is_history=True)
        made.order("Best", days_ago(-5), ("PAINT", 10, 2), is_history=True)
        for entity, ids in (("customer", made.customers), ("product", made.products)):
            for name, own_id in ids.items():
                connection.execute(
                    text(
                        f"INSERT INTO {entity}_ref (source, external_id, {entity}_id) VALUES ('shop', :name, :id)"
                    ),
                    {"name": f"{name}-1", "id": own_id},
                )
        connection.commit()
        return made


def test_a_list_of_items_has_the_first_of_each_customer_by_their_outside_ids(
    company: Company, database_url: str
) -> None:
    rows = export(database_url, AS_OF, "reorder_due", top=2, zone="UTC")
    assert [tuple(row) for row in rows] == [COLUMNS] * 4
    assert [(row["customer"], row["subject"], row["rank"]) for row in rows] == [
        ("Acme-1", "BIT-1", 1),
        ("Acme-1", "DRILL-1", 2),
        ("Best-1", "BIT-1", 1),
        ("Best-1", "DRILL-1", 2),
    ]
    assert all(0 <= float(str(row["probability"])) <= 1 for row in rows)


@pytest.mark.parametrize("kind", sorted(LISTINGS))
def test_an_export_publishes_nothing_and_knows_nothing_of_later(
    company: Company, database: Database, database_url: str, kind: str
) -> None:
    rows = export(database_url, AS_OF, kind, top=10, zone="UTC")
    assert "PAINT-1" not in {row["subject"] for row in rows}
    with database.transaction() as connection:
        assert connection.execute(text("SELECT count(*) FROM model_run")).scalar_one() == 0


def test_the_file_begins_with_its_columns(tmp_path: Path) -> None:
    write(tmp_path / "out.csv", [dict.fromkeys(COLUMNS, 1)])
    assert (tmp_path / "out.csv").read_text().splitlines() == [
        "customer,kind,subject,rank,score,probability,value",
        "1,1,1,1,1,1,1",
    ]
