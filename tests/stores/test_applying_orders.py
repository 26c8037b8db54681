"""Applying orders: the facts that stand afterwards, whatever sequence the readings came in."""

from datetime import UTC, date, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as some
from msgspec.structs import replace
from sqlalchemy import text

from services.scoring.store import as_array, items
from shared.db import Database
from shared.domain.order import CustomerRef, LineKind, Order, OrderKind, OrderStatus
from shared.partitions import ensure_months
from tests import databases
from tests.scoring_orders import NOW, Worker, line, order, receive, rows, score

FACTS = {
    "orders": """
        SELECT o.source, o.external_id, o.version, o.status, o.kind, o.is_counted, o.ordered_at, o.currency, o.net,
               o.base_net, r.external_id AS customer
        FROM sales_order o LEFT JOIN customer_ref r USING (customer_id) ORDER BY 1, 2
    """,
    "lines": """
        SELECT o.external_id, l.line_no, l.ordered_at, r.external_id AS customer, p.external_id AS product, l.kind,
               l.is_counted, l.quantity, l.net, l.base_net, l.base_unit_cost
        FROM order_line l JOIN sales_order o ON o.id = l.order_id
        LEFT JOIN customer_ref r ON r.customer_id = l.customer_id
        LEFT JOIN product_ref p ON p.product_id = l.product_id ORDER BY 1, 2
    """,
    "items": """
        SELECT r.external_id AS customer, p.external_id AS product, i.order_days, i.first_at, i.last_at,
               i.recent_at, i.recent_quantity, i.recent_price, i.recent_currency
        FROM customer_item i JOIN customer_ref r USING (customer_id) JOIN product_ref p USING (product_id)
        ORDER BY 1, 2
    """,
}


def facts(database: Database) -> dict[str, Any]:
    """Everything that stands, without our own ids."""
    return {name: [tuple(row) for row in rows(database, sql)] for name, sql in FACTS.items()}


def test_an_order_is_stored_with_its_lines_and_what_the_customer_bought(database: Database) -> None:
    score(
        database, order("1", line("DRILL", 10, 5), line("BIT", 4, 1), line(sku=None, kind=LineKind.FREIGHT))
    )
    stood = facts(database)
    assert stood["orders"] == [
        ("standard", "1", 1, "confirmed", "sale", True, NOW, "GBP", Decimal(104), Decimal(104), "acme")
    ]
    assert [(row[4], row[7]) for row in stood["lines"]] == [("DRILL", 10), ("BIT", 4), (None, 10)]
    assert [(row[1], row[2], row[6], row[7]) for row in stood["items"]] == [
        ("BIT", 1, [Decimal(4)], [Decimal(1)]),
        ("DRILL", 1, [Decimal(10)], [Decimal(5)]),
    ]


def test_an_array_brings_every_text_as_it_is(database: Database) -> None:
    texts = [
        None,
        "",
        "null",
        " {a,b} ",
        'pipe 3/4"',
        "C:\\new",
        "two\nlines\r\tand\x1f\x7f",
        "Ünï 管",
        "\\u0041",
    ]
    with database.autocommit() as connection:
        came = connection.scalar(text("SELECT CAST(:texts AS text[])"), {"texts": as_array(texts)})
    assert came == texts


def test_a_newer_reading_replaces_the_whole_order(database: Database) -> None:
    score(database, order("1", line("DRILL"), line("BIT")))
    score(database, order("1", line("SAW"), version=2, days_ago=1))
    stood = facts(database)
    assert [row[4] for row in stood["lines"]] == ["SAW"]
    assert [row[1] for row in stood["items"]] == ["SAW"]


def test_an_order_that_moves_to_another_customer_leaves_nothing_behind(database: Database) -> None:
    score(database, order("1"))
    score(database, order("1", version=2, customer="other"))
    assert [row[0] for row in facts(database)["items"]] == ["other"]


def test_a_cancelled_order_is_as_if_never_placed(database: Database) -> None:
    score(database, order("1", days_ago=2), order("2", line("DRILL", 3, 5)))
    score(database, order("2", line("DRILL", 3, 5), version=2, status=OrderStatus.CANCELLED))
    ((_, _, days, _, last_at, _, quantities, *_),) = facts(database)["items"]
    assert (days, last_at, quantities) == (1, NOW - timedelta(days=2), [10])


def test_returns_reduce_totals_and_never_erase_a_purchase(database: Database) -> None:
    score(database, order("1", days_ago=2), order("2", line("DRILL", -10), kind=OrderKind.RETURN))
    stood = facts(database)
    ((_, _, days, _, _, _, quantities, *_),) = stood["items"]
    assert (days, quantities) == (1, [Decimal(10)])
    assert [sum(row[column] for row in stood["lines"]) for column in (7, 8, 9)] == [0, 0, 0]


def test_guests_count_for_items_and_never_for_customers(database: Database) -> None:
    score(database, order("1", customer=None))
    stood = facts(database)
    assert stood["items"] == []
    assert [(row[3], row[4]) for row in stood["lines"]] == [(None, "DRILL")]


def test_the_line_a_line_is_part_of_and_the_account_a_customer_belongs_to_are_kept(
    database: Database,
) -> None:
    branch = CustomerRef("branch", parent_id="group")
    set_of_two = order("1", line("SET"), customer=None)
    lines = (set_of_two.lines[0], replace(line("BIT"), id="2", parent_id="1"))
    score(database, replace(set_of_two, lines=lines, customer=branch))
    assert rows(database, "SELECT external_id, parent_line_id FROM order_line ORDER BY line_no") == [
        ("1", None),
        ("2", "1"),
    ]
    parents = (
        "SELECT child.external_id, parent.external_id FROM customer JOIN customer_ref child ON child.customer_id = id"
        " JOIN customer_ref parent ON parent.customer_id = parent_id"
    )
    assert rows(database, parents) == [("branch", "group")]


def test_a_late_older_reading_changes_nothing(database: Database) -> None:
    score(database, order("1", line("SAW"), version=2))
    before = facts(database)
    receive(database, order("1", line("DRILL"), version=1))
    Worker(database).work()
    assert facts(database) == before


def test_a_reading_overtaken_before_it_was_scored_is_superseded(database: Database) -> None:
    first, second = receive(database, order("1"), order("1", line("SAW"), version=2))
    Worker(database).work()
    states = dict(tuple(row) for row in rows(database, "SELECT id, state FROM event"))
    assert states == {first: "stale", second: "applied"}
    assert rows(database, "SELECT 1 FROM task WHERE state <> 'done' AND kind = 'score'") == []


def test_lines_of_a_month_without_a_partition_find_a_place(database: Database) -> None:
    with database.transaction() as connection:
        ensure_months(connection, date(2026, 3, 1), date(2026, 3, 1))
    score(database, order("1"), order("2", days_ago=60))
    places = rows(database, "SELECT tableoid::regclass::text AS place FROM order_line ORDER BY 1")
    assert [row.place for row in places] == ["order_line_2026_03", "order_line_default"]


def test_money_is_turned_into_base_currency_at_the_rate_of_that_day(database: Database) -> None:
    with database.transaction() as connection:
        connection.exec_driver_sql(
            "INSERT INTO fx_rate VALUES"
            " ('EUR', '2026-02-01', 0.5), ('EUR', '2026-03-01', 0.8), ('EUR', '2026-03-03', 9)"
        )
    score(
        database,
        order("1", currency="EUR"),
        order("2", currency="EUR", days_ago=10),
        order("3", currency="CHF"),
    )
    assert [row[9] for row in facts(database)["orders"]] == [40, 25, None]


def test_a_rate_that_makes_an_amount_absurd_leaves_it_unknown_by_order_and_by_refresh(
    database: Database,
) -> None:
    with database.transaction() as connection:
        connection.exec_driver_sql("INSERT INTO fx_rate VALUES ('EUR', '2026-02-01', 9999999)")
    score(database, order("1", line("DRILL", 10, 90_000_000), currency="EUR"))
    assert facts(database)["orders"][0][8:10] == (900_000_000, None)
    with database.transaction() as connection:
        connection.exec_driver_sql(
            "INSERT INTO task (queue, kind, key) VALUES ('scoring', 'refresh', 'import-1')"
        )
    Worker(database).work("refresh")
    assert facts(database)["orders"][0][9] is None
    assert rows(database, "SELECT state FROM task WHERE state <> 'done'") == []


def test_a_refresh_before_a_fit_is_not_done_again_by_a_worker(database: Database) -> None:
    score(database, order("1", currency="EUR"))
    with database.transaction() as connection:
        connection.exec_driver_sql("INSERT INTO fx_rate VALUES ('EUR', '2026-03-01', 0.8)")
        connection.exec_driver_sql(
            "INSERT INTO task (queue, kind, key) VALUES ('scoring', 'refresh', 'import-1')"
        )
    items.refresh_if_needed(database, "GBP", ZoneInfo("UTC"))
    assert facts(database)["orders"][0][9] is not None
    assert rows(database, "SELECT state FROM task WHERE kind = 'refresh'") == [("done",)]


def test_a_lines_own_cost_goes_before_the_one_valid_that_day(database: Database) -> None:
    score(database, order("0", line("DRILL"), line("BIT"), days_ago=40))
    with database.transaction() as connection:
        connection.exec_driver_sql(
            "INSERT INTO product_cost SELECT product_id, day, cost, 'GBP' FROM product_ref,"
            " (VALUES (date '2026-02-01', 2), (date '2026-03-02', 3), (date '2026-03-03', 9)) AS costs (day, cost)"
            " WHERE external_id = 'DRILL'"
        )
        connection.exec_driver_sql(
            "INSERT INTO import_run (entity, source, file, finished_at) VALUES ('costs', '', '', now())"
        )
    score(
        database,
        order("1", line("DRILL"), line("DRILL", unit_cost=Decimal("1.5")), line("BIT")),
        order("2", line("DRILL"), days_ago=3),
        order("3", line("DRILL"), days_ago=35),
    )
    assert [row[10] for row in facts(database)["lines"]] == [None, None, 3, Decimal("1.5"), None, 2, None]


def test_what_became_known_later_is_filled_in_by_a_refresh(database: Database) -> None:
    score(database, order("1", currency="EUR"))
    with database.transaction() as connection:
        connection.exec_driver_sql("INSERT INTO fx_rate VALUES ('EUR', '2026-03-01', 0.8)")
        connection.exec_driver_sql("INSERT INTO product_cost SELECT id, '2026-01-01', 2, 'EUR' FROM product")
        connection.exec_driver_sql("DELETE FROM customer_item")
        connection.exec_driver_sql(
            "INSERT INTO task (queue, kind, key) VALUES ('scoring', 'refresh', 'import-1')"
        )
    Worker(database).work("refresh")
    stood = facts(database)
    assert stood["orders"][0][9] == 40
    assert stood["lines"][0][9:] == (40, Decimal("1.6"))
    assert stood["items"][0][6] == [10]


def test_merged_customers_count_for_the_one_that_remains(database: Database) -> None:
    score(database, order("1", customer="old", days_ago=5), order("2", customer="new", days_ago=4))
    with database.transaction() as connection:
        connection.exec_driver_sql(
            "UPDATE customer SET merged_into_id = (SELECT customer_id FROM customer_ref WHERE external_id = 'new')"
            " WHERE id = (SELECT customer_id FROM customer_ref WHERE external_id = 'old')"
        )
    score(database, order("3", customer="old"))
    found = rows(database, "SELECT customer_id FROM sales_order WHERE external_id IN ('2', '3')")
    assert len({row.customer_id for row in found}) == 1


def test_what_is_added_up_is_what_a_rebuild_makes(database: Database) -> None:
    daily = [order(f"day {day}", line("DRILL", day + 1, 5), days_ago=30 - day) for day in range(12)]
    twice = [
        order("morning", line("DRILL", 3, 4), line("DRILL", 4, 4.0001), days_ago=2.5),
        order("noon", line("DRILL", 7, 3), line("BIT", 1, 0), days_ago=2.4),
    ]
    for each in (*daily, *twice):
        score(database, each)
    reached = facts(database)
    (drill,) = reached["items"]
    assert (drill[2], len(drill[5])) == (13, 8)
    items.refresh(database, "GBP", UTC)
    assert facts(database) == reached


readings = some.builds(
    lambda number, version, days, lines, customer, status, kind: order(
        str(number),
        *(
            line(sku, -quantity if kind == OrderKind.RETURN else quantity, price)
            for sku, quantity, price in lines
        ),
        version=version,
        days_ago=days,
        customer=customer,
        status=status,
        kind=kind,
    ),
    number=some.integers(1, 3),
    version=some.integers(1, 4),
    days=some.integers(0, 3),
    lines=some.lists(
        some.tuples(some.sampled_from(["DRILL", "BIT"]), some.integers(1, 9), some.integers(0, 9)),
        min_size=1,
        max_size=3,
    ),
    customer=some.sampled_from(["acme", "other", None]),
    status=some.sampled_from([OrderStatus.CONFIRMED, OrderStatus.CONFIRMED, OrderStatus.CANCELLED]),
    kind=some.sampled_from([OrderKind.SALE, OrderKind.SALE, OrderKind.RETURN]),
)


@pytest.mark.timeout(300)
@settings(
    max_examples=25,
    deadline=None,
    phases=[Phase.reuse, Phase.generate],  # shrinking takes minutes where each example is a real database
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    readings=some.lists(readings, min_size=1, max_size=8, unique_by=lambda each: (each.id, each.version)),
    data=some.data(),
)
def test_any_sequence_of_readings_ends_in_the_state_of_a_fresh_load(
    worker_database: databases.TestDatabase, database: Database, readings: list[Order], data: some.DataObject
) -> None:
    shuffled = data.draw(some.permutations(readings))
    batch = data.draw(some.sampled_from([1, 3, 200]))
    databases.clean(worker_database)
    database.engine.dispose()
    worker = Worker(database, batch=batch)
    for piece in range(0, len(shuffled), 2):
        receive(database, *shuffled[piece : piece + 2])
        worker.work()
    reached = facts(database)
    items.refresh(database, "GBP", UTC)
    assert reached == facts(database), "what was added up is not what a rebuild makes"

    newest = {each.id: each for each in sorted(readings, key=lambda each: each.version)}
    databases.clean(worker_database)
    database.engine.dispose()
    score(database, *newest.values())
    assert reached == facts(database)
