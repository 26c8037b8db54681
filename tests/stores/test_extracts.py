"""Facts read through kept order lines are those that PostgreSQL holds, whatever has changed since."""

import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq
import pytest
from sqlalchemy import text

from services.ingest.imports.columns import read_map
from services.ingest.imports.file_orders import Window
from services.ingest.imports.orders import OrdersRequest, import_orders
from services.scoring.engine import open_engine
from services.scoring.fit.facts import read_facts
from services.scoring.fit.run import connected
from services.scoring.store import items
from shared.db import Database
from shared.domain.order import OrderKind, OrderStatus
from tests.scoring_orders import NOW, line, order, receive, score

AS_OF = NOW + timedelta(days=1)
HEADER = "order_id,version,ordered_at,customer_id,sku,quantity,unit_price\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where order lines are kept."""
    return tmp_path / "extracts"


@pytest.fixture
def held(database: Database) -> Database:
    """Orders of four months, of history and live; one gives back from January, one is in another currency."""
    receive(
        database,
        order("old-1", line("DRILL", 7), days_ago=117),
        order("old-2", line("BIT", 9, 4), days_ago=56, customer="ajax"),
        entry_point="import",
    )
    score(
        database,
        order("1", line("DRILL", 10), line("BIT", 4), days_ago=50),
        order("2", line("DRILL", 3), days_ago=30, customer="ajax"),
        order("3", line("SAW", 2, 8), days_ago=5, customer=None),
        order("4", line("SAW", 1, 8), days_ago=3, currency="EUR"),
        order("5", line("DRILL", -2), days_ago=2, kind=OrderKind.RETURN, original_order_id="1"),
    )
    return database


def imported(database: Database, *lines: str) -> None:
    """Import orders, as a history comes in."""
    file = Path("orders.csv")
    file.write_text(HEADER + "\n".join(lines) + "\n")
    request = OrdersRequest(
        file, "standard", read_map("standard"), Window(), ZoneInfo("UTC"), "GBP", Path("rejects.csv"), is_dry_run=False
    )  # fmt: skip
    assert import_orders(database, request).is_settled


@pytest.fixture(autouse=True)
def _somewhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files to import are written where the test runs."""
    monkeypatch.chdir(tmp_path)


def facts(database: Database, folder: Path | None, **options: Any) -> dict[str, list[str]]:
    """Every table of the facts, read through a folder or from PostgreSQL alone."""
    address = database.engine.url.render_as_string(hide_password=False)
    with (
        open_engine(threads=1, memory="200MB", extracts=folder) as engine,
        connected(address) as connection,
    ):
        read = read_facts(engine, connection, AS_OF, zone="Europe/London", **options)
        tables = ("lines", "purchases", "history", "order_days", "products", "customers", "owners")
        return {name: sorted(map(str, engine.rows(getattr(read, name)))) for name in tables}


def files(folder: Path) -> dict[str, str]:
    """Which file is kept of each month."""
    return {file.name[:7]: file.name for file in folder.iterdir()}


def amended(database: Database) -> None:
    score(database, order("1", line("DRILL", 6), line("SAW", 1, 8), days_ago=50, version=2))


def cancelled(database: Database) -> None:
    score(database, order("1", line("DRILL", 10), days_ago=50, version=2, status=OrderStatus.CANCELLED))


def moved_to_another_month(database: Database) -> None:
    score(database, order("1", line("DRILL", 10), days_ago=20, version=2))


def given_to_another_customer(database: Database) -> None:
    score(database, order("2", line("DRILL", 3), days_ago=30, customer="acme", version=2))


def newly_ordered(database: Database) -> None:
    score(database, order("9", line("DRILL", 5), days_ago=1))


def ordered_late(database: Database) -> None:
    imported(database, "late,1,2025-11-20T10:00:00Z,ajax,SAW,3,8.00")


def amended_by_an_import(database: Database) -> None:
    imported(database, "old-1,2,2025-11-05T10:00:00Z,acme,DRILL,8,5.00")


def given_back_by_an_import_from_before_the_facts(database: Database) -> None:
    imported(database, "ancient,1,2023-01-20T10:00:00Z,acme,SAW,3,8.00")
    score(
        database,
        order("8", line("SAW", -1, 8), days_ago=1, kind=OrderKind.RETURN, original_order_id="ancient"),
    )


def merged(database: Database) -> None:
    change(
        database,
        "UPDATE customer SET merged_into_id = (SELECT customer_id FROM customer_ref WHERE external_id = 'ajax')"
        " WHERE id = (SELECT customer_id FROM customer_ref WHERE external_id = 'acme')",
    )


def made_internal(database: Database) -> None:
    change(
        database,
        "UPDATE customer SET is_internal = true"
        " WHERE id = (SELECT customer_id FROM customer_ref WHERE external_id = 'acme')",
    )


def given_costs(database: Database) -> None:
    change(database, "INSERT INTO product_cost SELECT id, '2025-12-01', 2, 'GBP' FROM product")
    items.refresh(database, "GBP", UTC)


def given_a_rate(database: Database) -> None:
    change(database, "INSERT INTO fx_rate VALUES ('EUR', '2026-01-01', 0.8)")
    items.refresh(database, "GBP", UTC)


def without_a_name(database: Database) -> None:
    change(database, "UPDATE product SET name = NULL")


def gone(database: Database) -> None:
    change(database, "DELETE FROM sales_order WHERE external_id = '1'")


def change(database: Database, sql: str) -> None:
    with database.transaction() as connection:
        assert connection.execute(text(sql)).rowcount


@pytest.mark.parametrize(
    ("changed", "months"),
    [
        pytest.param(lambda _: None, set(), id="nothing"),
        pytest.param(newly_ordered, {"2026-03"}, id="a new order"),
        pytest.param(amended, {"2026-01"}, id="an old order amended"),
        pytest.param(cancelled, {"2026-01"}, id="an old order cancelled"),
        pytest.param(moved_to_another_month, {"2026-01", "2026-02"}, id="an order dated otherwise"),
        pytest.param(given_to_another_customer, {"2026-01"}, id="an order of another customer"),
        pytest.param(ordered_late, {"2025-11"}, id="a late import into a closed month"),
        pytest.param(amended_by_an_import, {"2025-11"}, id="an order amended by an import"),
        pytest.param(
            given_back_by_an_import_from_before_the_facts, {"2026-03"}, id="a return of an order years old"
        ),
        pytest.param(merged, set(), id="customers merged"),
        pytest.param(made_internal, set(), id="a customer made internal"),
        pytest.param(given_costs, {"2026-01", "2026-02"}, id="costs that came later"),
        pytest.param(given_a_rate, {"2026-02"}, id="a rate that came later"),
        pytest.param(without_a_name, set(), id="products named by their lines"),
        pytest.param(gone, {"2026-01"}, id="an order taken away"),
    ],
)
def test_facts_are_those_of_postgresql_after(
    held: Database, folder: Path, changed: Callable[[Database], None], months: set[str]
) -> None:
    before = facts(held, folder)
    assert before == facts(held, None)
    kept = files(folder)
    changed(held)
    assert facts(held, folder) == facts(held, None)
    after = files(folder)
    assert {month for month in after if after[month] != kept.get(month)} == months


def markers(kept: dict[str, str]) -> dict[str, str]:
    """The change marker of each month; the rest of a name is of its bytes, and rows may come in another order."""
    return {month: name.rpartition("-")[0] for month, name in kept.items()}


def damaged(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(Path.unlink, id="deleted"),
        pytest.param(damaged, id="damaged"),
        pytest.param(lambda file: file.write_bytes(file.read_bytes()[:-9]), id="cut short"),
        pytest.param(lambda file: file.write_bytes(b""), id="emptied"),
        pytest.param(
            lambda file: file.rename(file.with_name(f"{file.name[:7]}-{'0' * 16}-{file.name[-24:]}")),
            id="of another release",
        ),
    ],
)
def test_a_file_is_written_again_that_was(held: Database, folder: Path, harm: Callable[[Path], None]) -> None:
    expected = facts(held, folder)
    kept = files(folder)
    harm(folder / kept["2026-01"])
    assert facts(held, folder) == expected
    assert markers(files(folder)) == markers(kept)
    assert facts(held, folder) == expected


def test_months_that_did_not_change_are_not_read_from_postgresql(held: Database, folder: Path) -> None:
    expected = facts(held, folder)
    change(held, "DELETE FROM order_line")
    assert facts(held, folder) == expected
    assert facts(held, None)["lines"] == []


def test_a_backtest_knows_what_had_been_received_by_then(held: Database, folder: Path) -> None:
    change(held, "UPDATE event SET received_at = '2026-02-20 09:00Z' WHERE external_id = '1'")
    since = AS_OF - timedelta(days=9)
    for _ in ("written", "kept"):
        read = facts(held, folder, since=since)
        assert read == facts(held, None, since=since)
        assert sum("2026, 2, 20, 9, 0" in each for each in read["lines"]) == 2
        by = {"received_by": datetime(2026, 2, 19, tzinfo=UTC)}
        assert facts(held, folder, **by) == facts(held, None, **by) != facts(held, None)


def test_two_workers_may_write_at_once(held: Database, folder: Path) -> None:
    expected = facts(held, None)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: facts(held, folder), range(4))) == [expected] * 4
    assert facts(held, folder) == expected
    assert not list(folder.glob("*.unfinished"))


@pytest.fixture
def closed(folder: Path) -> Path:
    """A folder that is none: a file stands there."""
    folder.write_text("")
    return folder


def test_where_nothing_can_be_kept_facts_are_read_all_the_same(
    held: Database, closed: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert facts(held, closed) == facts(held, None)
    assert "cannot be kept" in caplog.text


def test_files_are_for_their_owner_and_name_nobody(held: Database, folder: Path) -> None:
    facts(held, folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for file in folder.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert pq.read_schema(file).names == [
            "order_id", "product_id", "quantity", "net", "base_net", "unit_cost", "returns_order_id", "title",
        ]  # fmt: skip


def test_no_orders_are_no_facts(database: Database, folder: Path) -> None:
    for _ in ("written", "kept"):
        assert (
            facts(database, folder) == facts(database, None) == {name: [] for name in facts(database, None)}
        )
