"""Orders posted through the worker and the same orders in a backtest of their day: the very same signals."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner

from services.cli import main
from services.scoring import signals
from services.scoring.backtest import Judged, walk
from services.scoring.engine import open_engine
from services.scoring.fit import models
from services.scoring.fit.facts import read_facts
from services.scoring.fit.model import Model
from services.scoring.fit.run import connected, fit
from services.scoring.jobs import assumed
from services.scoring.past_orders import PastOrders
from services.scoring.store import items
from services.scoring.store.catalogue import MODELS
from shared.clock import start_of_day
from shared.db import Database
from shared.domain.order import Order, OrderKind
from shared.domain.signal import OrderSignalKind, SignalKind
from shared.plugins import discover
from tests.fit_company import Company
from tests.scoring_orders import NOW, Worker, line, order, receive, rows, settings

ZONE = "America/New_York"
MORNING = start_of_day(NOW, ZONE)
SET: dict[str, Any] = {"base_currency": "EUR", "time_zone": ZONE, "business_time": None}
KINDS = {
    name: kind
    for name, kind in discover(signals, "KIND", SignalKind).items()
    if isinstance(kind, OrderSignalKind)
}


def at(hours: float) -> datetime:
    """A moment of the day that is judged."""
    return MORNING + timedelta(hours=hours)


def buys(name: str, hours: float, customer: str, *lines: Any, **given: Any) -> Order:
    """A live order in euros."""
    return order(name, *lines, customer=customer, ordered_at=at(hours), currency="EUR", **given)


@pytest.fixture
def company(database: Database) -> Database:
    """Forty customers: half buy bits with saws each fortnight, some of them pads, too; the rest buys glue."""
    with database.engine.connect() as connection:
        Company(connection).history(_trade(), cost=3.0)
        for statement in (
            "INSERT INTO customer_ref SELECT 'standard', name, id FROM customer",
            "INSERT INTO product_ref SELECT 'standard', name, id FROM product",
            "INSERT INTO product_cost SELECT id, '2025-01-01', 3, 'EUR' FROM product",
            "INSERT INTO price_break SELECT id, 'EUR', '2025-01-01', 48, 4.8 FROM product WHERE name = 'BIT'",
        ):
            connection.exec_driver_sql(statement)
        connection.commit()
    items.refresh(database, "EUR", ZoneInfo(ZONE))
    return database


def _trade() -> Iterator[tuple[str, datetime, list[tuple[str, float, float]]]]:
    for number in range(40):
        usual = [("BIT", 40.0, 5.0), ("SAW", 10.0, 20.0)] if number % 4 < 2 else [("GLUE", 5.0, 9.0)]
        for days in range(180 + number, 12, -(14 + number % 5)):
            takes_pads = number % 4 == 1 or (number % 8 == 4 and days < 50)
            goods = [*usual, ("PAD", 6.0, 30.0)] if takes_pads else usual
            yield f"C{number}", MORNING - timedelta(days=days) + timedelta(hours=number % 20), goods


def post(database: Database, *orders: Order, received_after: timedelta = timedelta(minutes=1)) -> None:
    """Post live orders, each received some time after it was placed."""
    receive(database, *orders)
    with database.transaction() as connection:
        for each in orders:
            connection.exec_driver_sql(
                "UPDATE event SET received_at = %s WHERE external_id = %s AND source = 'standard'",
                (each.ordered_at + received_after, each.id),
            )
    Worker(database, now=orders[-1].ordered_at + timedelta(minutes=5), **SET).work()


A_DAY = (
    buys("no bits", 9, "C1", line("SAW", 10, 20)),
    buys("too cheap", 10, "C8", line("SAW", 10, 12), line("BIT", 40, 5)),
    buys("below cost", 11, "C4", line("BIT", 40, 2), line("SAW", 10, 20)),
    buys("first of two", 12, "C5", line("BIT", 4, 5), line("BIT", -2, 5), line("SAW", 1, 20)),
    buys("gives back", 13, "C5", line("BIT", -1, 5), kind=OrderKind.RETURN, original_order_id="first of two"),
    buys("second of two", 14, "C5", line("SAW", 9, 20), line("BIT", 38, 5)),
    buys("in the evening, of tomorrow in UTC", 22, "C12", line("SAW", 10, 20)),
)


def backtest(database: Database) -> list[Judged]:
    """What a backtest of the day makes of its orders, with facts that reach over the days after."""
    told = settings(**SET)
    address = database.engine.url.render_as_string(hide_password=False)
    with (
        open_engine(threads=1, memory="400MB") as engine,
        connected(address) as adbc,
        database.transaction() as opened,
    ):
        whole = read_facts(engine, adbc, MORNING + timedelta(days=90), zone=ZONE, since=MORNING)
        orders = PastOrders(opened, KINDS, discover(models, "MODEL", Model), "EUR")
        [judged] = walk(replace(whole, assumptions=assumed(told)), [], [MORNING], orders=orders.judge)
    return judged


COLUMNS = (
    "kind customer_id subject cause probability basis stake value low high headline question detail".split()
)


def as_text(values: list[Any]) -> str:
    return json.dumps(
        [round(float(v), 4) if hasattr(v, "as_tuple") else v for v in values], sort_keys=True, default=str
    )


@pytest.mark.timeout(300)
def test_live_and_backtest_find_the_same_in_orders(company: Database) -> None:
    fit(company.engine.url.render_as_string(hide_password=False), MORNING, names=MODELS, zone=ZONE)
    for each in A_DAY:
        post(company, each)
    live = rows(company, f"SELECT {', '.join(COLUMNS)} FROM signal")
    assert {row.kind for row in live} == set(KINDS)
    # what nobody knew on the day: an order of the next, a late one of the days before, a return of what was bought
    post(
        company,
        buys("tomorrow", 30, "C1", line("BIT", 400, 1)),
        buys("tomorrow 2", 31, "C8", line("SAW", 90, 1)),
    )
    late = (buys("late", -30, "C1", line("BIT", 999, 9)), buys("late 2", -31, "C8", line("SAW", 999, 9)))
    post(company, *late, received_after=timedelta(days=3))
    judged = backtest(company)
    found = [as_text([getattr(each.signal, name) for name in COLUMNS]) for each in judged]
    assert sorted(found) == sorted(as_text(list(row)) for row in live)
    made = {name: number for number, name in rows(company, "SELECT id, name FROM customer")}
    then = {(each.kind, each.key[0]): each.happened for each in judged}
    assert then["price_error", made["C8"]] is False
    assert then["basket_gap", made["C1"]] is True  # the next day's order made up for it
    with company.transaction() as connection:
        assert (
            connection.exec_driver_sql("SELECT count(*) FROM pg_class WHERE relpersistence = 't'").scalar()
            == 0
        )


def test_the_command_tells_of_orders(company: Database) -> None:
    post(company, A_DAY[0])
    address = company.engine.url.render_as_string(hide_password=False)
    context = SimpleNamespace(
        database=company, settings=settings(**SET, database_url=address), clock=lambda: at(24 * 30)
    )
    day = f"{MORNING:%Y-%m-%d}"
    asked = ["backtest", "--from", day, "--to", day, "--kinds", "basket_gap,price_error"]
    done = CliRunner().invoke(main, asked, obj=context)
    assert done.exit_code == 0, done.output
    assert "basket_gap, 2026-03-02, C1: No PAD and 1 more, usually on 8 of 8 orders" in done.output
    assert "not made up for in 14 days" in done.output
