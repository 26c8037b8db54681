"""A purchase is one thing: what is known of a customer when an order comes, what a rebuild makes, what a fit reads."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from services.scoring.engine import open_engine
from services.scoring.facts import MEMORY
from services.scoring.fit.facts import read_facts
from services.scoring.fit.run import connected
from services.scoring.store import items
from shared.db import Database
from shared.domain.order import CustomerRef, Order, OrderKind, OrderStatus
from tests.scoring_orders import NOW, Worker, line, order, receive, rows

ZONE = "America/New_York"
EVENING = datetime(2026, 2, 10, 23, 30, tzinfo=UTC)
"""Half past six in New York; three hours later it is the next day in UTC and still the same one there."""


def given_back(order_id: str, quantity: float, days_ago: float, of: str | None, **given: Any) -> Order:
    """A return of drills at five each, that names a sale or none."""
    told: dict[str, Any] = {"kind": OrderKind.RETURN, "original_order_id": of}
    return order(order_id, line("DRILL", -quantity), days_ago=days_ago, **(told | given))


HISTORIES: dict[str, list[Order]] = {
    "a return that names its sale": [
        order("sale", line("DRILL", 10), line("BIT", 3), days_ago=20),
        given_back("return", 4, 10, "sale"),
    ],
    "a return whose line names the sale": [
        order("sale", days_ago=20),
        order("return", line("DRILL", -4, returns_order_id="sale"), days_ago=9, kind=OrderKind.CREDIT),
    ],
    "a return before its sale is known": [given_back("return", 4, 10, "sale"), order("sale", days_ago=20)],
    "a sale given back whole": [
        order("first", days_ago=40),
        order("sale", days_ago=20),
        given_back("return", 10, 10, "sale"),
    ],
    "a return that names no sale": [order("sale", days_ago=20), given_back("return", 4, 10, None)],
    "a return of somebody else": [
        order("sale", days_ago=20),
        given_back("return", 4, 10, "sale", customer="other"),
    ],
    "a return in another currency": [
        order("sale", days_ago=20),
        given_back("return", 4, 10, "sale", currency="EUR"),
    ],
    "a return that is cancelled": [
        order("sale", days_ago=20),
        given_back("return", 4, 10, "sale"),
        given_back("return", 4, 10, "sale", version=2, status=OrderStatus.CANCELLED),
    ],
    "a return within an exchange": [
        order("sale", days_ago=20),
        order("exchange", line("SAW", 2, 30), line("DRILL", -3), days_ago=9, original_order_id="sale"),
    ],
    "ten less four in one sale": [order("sale", line("DRILL", 10), line("DRILL", -4), days_ago=5)],
    "ten bought and two free": [order("sale", line("DRILL", 10, 2), line("DRILL", 2, 0), days_ago=5)],
    "nothing but free goods": [order("sale", line("DRILL", 2, 0), days_ago=5)],
    "a rebate on a line of its own": [
        order("sale", line("DRILL", 10, 5), line("DRILL", 1, -6), days_ago=5),
    ],
    "two orders of one evening in New York": [
        order("six", ordered_at=EVENING),
        order("nine", ordered_at=EVENING + timedelta(hours=3)),
        order("next evening", ordered_at=EVENING + timedelta(hours=26)),
    ],
    "an amended order": [
        order("sale", line("DRILL", 10), line("BIT", 3), days_ago=20),
        order("later", line("DRILL", 1), days_ago=5),
        order("sale", line("DRILL", 7, 4), days_ago=21, version=2),
        order("sale", line("DRILL", 8, 4), days_ago=21, version=3),
    ],
    "several currencies": [
        order("pounds", days_ago=20),
        order("euros", line("DRILL", 3, 7), days_ago=10, currency="EUR"),
        order("francs", line("DRILL", 3, 7), days_ago=9, currency="CHF"),
    ],
    "a cancelled order, a draft and a test": [
        order("sale", days_ago=20),
        order("off", days_ago=10, status=OrderStatus.CANCELLED),
        order("draft", days_ago=9, status=OrderStatus.DRAFT),
        order("test", days_ago=8, is_test=True),
    ],
    "samples and replacements": [
        order("sample", days_ago=10, kind=OrderKind.SAMPLE),
        order("sent again", days_ago=9, kind=OrderKind.REPLACEMENT),
    ],
    "more purchases than are remembered": [
        order(f"day {day}", line("DRILL", day + 1, 5 + day / 7), days_ago=60 - day) for day in range(12)
    ],
}


def merge(database: Database, one: str, into: str) -> None:
    """Say that two customers are one."""
    with database.transaction() as connection:
        connection.exec_driver_sql(
            "UPDATE customer SET merged_into_id = kept.customer_id FROM customer_ref AS gone, customer_ref AS kept"
            " WHERE customer.id = gone.customer_id AND gone.external_id = %s AND kept.external_id = %s",
            (one, into),
        )


def post(database: Database, *orders: Order) -> None:
    """Post the orders one after another: each is added to the state of the one before."""
    worker = Worker(database, time_zone=ZONE, batch=3)
    for each in orders:
        receive(database, each)
        worker.work()


Purchases = dict[tuple[int, int], tuple[int, list[tuple[datetime, float, float, str]]]]
"""By customer and product: on how many days, and the last eight as (at, quantity, unit price, currency)."""


def held(database: Database) -> Purchases:
    """What scoring knows when an order comes."""
    found = rows(database, "SELECT * FROM customer_item")
    return {
        (row.customer_id, row.product_id): (
            row.order_days,
            [
                (at, float(quantity), float(price), currency)
                for at, quantity, price, currency in zip(
                    row.recent_at, row.recent_quantity, row.recent_price, row.recent_currency, strict=True
                )
            ],
        )
        for row in found
    }


def fitted(database: Database) -> Purchases:
    """What a fit of tomorrow makes of the same facts."""
    address = database.engine.url.render_as_string(hide_password=False)
    with open_engine(threads=1, memory="200MB") as engine, connected(address) as connection:
        facts = read_facts(engine, connection, NOW + timedelta(days=1), zone=ZONE)
        bought = facts.engine.rows(facts.accounts)
    by_pair: dict[tuple[int, int], list[Any]] = {}
    for row in sorted(bought, key=lambda each: each["at"], reverse=True):
        by_pair.setdefault((row["customer_id"], row["product_id"]), []).append(row)
    return {
        pair: (
            len({row["day"] for row in several}),
            [
                (
                    row["at"].replace(tzinfo=UTC),
                    row["quantity"],
                    round(row["net"] / row["quantity"], 4),
                    row["currency"],
                )
                for row in several[:MEMORY]
            ],
        )
        for pair, several in by_pair.items()
    }


def assert_one_definition(database: Database) -> None:
    """What was added up is what a rebuild makes, and what a fit reads."""
    reached = held(database)
    assert reached == fitted(database)
    items.refresh(database, "GBP", ZoneInfo(ZONE))
    assert held(database) == reached


@pytest.mark.parametrize("history", HISTORIES.values(), ids=list(HISTORIES))
def test_live_and_fit_count_the_same_purchases(database: Database, history: list[Order]) -> None:
    post(database, *history)
    assert_one_definition(database)


def test_all_of_it_at_once_in_any_batches_ends_the_same(database: Database) -> None:
    messy = [
        replace(
            each,
            id=f"{number} {each.id}",
            ordered_at=each.ordered_at + timedelta(minutes=number),  # no two at one moment
            original_order_id=each.original_order_id and f"{number} {each.original_order_id}",
            lines=tuple(
                replace(one, returns_order_id=one.returns_order_id and f"{number} {one.returns_order_id}")
                for one in each.lines
            ),
            customer=each.customer and CustomerRef(f"{each.customer.id} {number % 3}"),
        )
        for number, history in enumerate(HISTORIES.values())
        for each in history
    ]
    for batch in range(0, len(messy), 7):
        receive(database, *messy[batch : batch + 7])
        Worker(database, time_zone=ZONE).work()
    with database.transaction() as connection:  # a product that two sources name, each in its way
        connection.exec_driver_sql(
            "INSERT INTO product_ref SELECT 'erp', 'D-1', product_id FROM product_ref WHERE external_id = 'DRILL'"
        )
    post(
        database,
        order("by another name", line("D-1", 6), source="erp", customer="acme 0", days_ago=1),
        given_back("by its first name", 2, 0.5, "0 sale", customer="acme 0"),
    )
    assert_one_definition(database)


def test_merged_customers_are_one_from_the_next_refresh_on(database: Database) -> None:
    post(
        database,
        order("old sale", customer="old", days_ago=20),
        order("new sale", customer="new", days_ago=10),
    )
    merge(database, "old", "new")
    items.refresh_if_needed(database, "GBP", ZoneInfo(ZONE))
    assert held(database) == fitted(database)
    post(
        database,
        order("by its old name", line("DRILL", 5), customer="old", days_ago=3),
        given_back("of the old sale", 4, 2, "old sale", customer="new"),
    )
    assert_one_definition(database)
    ((_, [newest, second, first]),) = held(database).values()
    assert [newest[1], second[1], first[1]] == [5, 10, 6]
