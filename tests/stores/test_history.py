"""Status, stock and segment keep their history, whoever changes them."""

from pathlib import Path

import pytest
from sqlalchemy import text

from services.ingest.imports.entities import ENTITIES
from services.ingest.imports.entity_import import EntityRequest, import_entity
from shared import identities
from shared.db import Database
from shared.domain.order import CustomerRef
from tests.alert_rows import rows

CUSTOMERS = "SELECT status, segment FROM customer_history ORDER BY customer_id, valid_from"
PRODUCTS = "SELECT status, stock FROM product_history ORDER BY product_id, valid_from"


def take(database: Database, folder: Path, entity: str, *lines: str) -> None:
    """Import a file of these lines."""
    file = folder / f"{entity}.csv"
    file.write_text("\n".join((*lines, "")))
    request = EntityRequest(
        ENTITIES[entity], file, "standard", "EUR", folder / "rejects.csv", is_dry_run=False
    )
    assert import_entity(database, request).rejected == 0


def test_an_import_that_changes_a_customer_adds_to_its_history(database: Database, tmp_path: Path) -> None:
    for status, segment in (
        ("active", "builders"),
        ("active", "builders"),
        ("blocked", ""),
        ("blocked", "trade"),
    ):
        take(database, tmp_path, "customers", "id,name,status,segment", f"C-1,Acme,{status},{segment}")
    assert [tuple(row) for row in rows(database, CUSTOMERS)] == [
        ("active", "builders"),
        ("blocked", "builders"),
        ("blocked", "trade"),
    ]


def test_an_import_that_changes_a_product_adds_to_its_history(database: Database, tmp_path: Path) -> None:
    for name, status, stock in (
        ("Drill", "active", "5"),
        ("Drills", "active", "5"),
        ("Drills", "discontinued", "0"),
    ):
        take(database, tmp_path, "products", "id,name,status,stock", f"DRILL,{name},{status},{stock}")
    assert [tuple(row) for row in rows(database, PRODUCTS)] == [("active", 5), ("discontinued", 0)]


def test_what_an_order_names_first_begins_its_history(database: Database) -> None:
    with database.transaction() as connection:
        identities.customer_ids(connection, {("standard", "C-1"): CustomerRef("C-1", status="blocked")})
        connection.execute(text("UPDATE customer SET name = 'Acme'"))
    assert [tuple(row) for row in rows(database, CUSTOMERS)] == [("blocked", None)]


@pytest.mark.parametrize("history", ["customer_history", "product_history"])
def test_nothing_changes_without_a_change(database: Database, history: str) -> None:
    with database.transaction() as connection:
        for table in ("customer", "product"):
            connection.execute(text(f"INSERT INTO {table} (name) VALUES ('one')"))
    with database.transaction() as connection:
        for table in ("customer", "product"):
            connection.execute(text(f"UPDATE {table} SET name = 'other', status = status"))
    assert [row[0] for row in rows(database, f"SELECT count(*) FROM {history}")] == [1]
