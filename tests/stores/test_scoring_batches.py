"""Scoring batches: what each order may know, what is stored once, withdrawn, closed, and passed on to be decided."""

import os
import signal
import time
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from services.explain import explain
from services.scoring import gather
from services.scoring.facts import OrderFacts
from services.scoring.store.signals import end_of_window
from shared import tasks
from shared.db import DRAIN, Database
from shared.domain.order import LineKind, Order, OrderStatus
from tests.scoring_orders import NOW, Worker, line, order, receive, rows, score
from tests.task_rows import cut

CUSTOMER_BUYS_FORTY = [
    order(f"past-{days}", line("DRILL", 40, 5), days_ago=days) for days in (30, 60, 90, 120)
]


class Watched:
    """Keeps the facts that detectors were given, by order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.facts: dict[str, OrderFacts] = {}
        gathered = gather.gather

        def watch(connection: Any, resolved: Any, *others: Any) -> list[OrderFacts]:
            found = gathered(connection, resolved, *others)
            names = {each.order_id: each.order.id for each in resolved}
            self.facts |= {names[each.order_id]: each for each in found}
            return found

        monkeypatch.setattr(gather, "gather", watch)

    def knows(self, order_id: str) -> tuple[list[tuple[int, int]], int, int]:
        """History of the first line as (days ago, quantity), how many products were bought, how many past orders."""
        facts = self.facts[order_id]
        history = [((NOW - each.at).days, int(each.quantity)) for each in facts.lines[0].history]
        return history, len(facts.bought), len(facts.past_orders)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    """The facts of every order scored."""
    return Watched(monkeypatch)


def test_an_order_knows_what_came_before_it_and_not_itself(database: Database, watched: Watched) -> None:
    score(database, order("1", line("DRILL", 3), days_ago=2))
    score(database, order("2", line("DRILL", 4), line("BIT", 1), days_ago=1))
    assert watched.knows("2") == ([(2, 3)], 1, 1)


@pytest.mark.parametrize(
    "batch", [pytest.param(200, id="within one batch"), pytest.param(1, id="each by itself, late ones last")]
)
def test_an_order_knows_the_earlier_orders_of_its_customer_and_no_later_one(
    database: Database, watched: Watched, batch: int
) -> None:
    first, second = order("1", line("DRILL", 3), days_ago=2), order("2", line("DRILL", 4), days_ago=1)
    score(database, second, first, order("3", line("DRILL", 5), line("BIT")), batch=batch)
    assert watched.knows("1") == ([], 0, 0)
    assert watched.knows("3") == ([(1, 4), (2, 3)], 1, 2)
    if batch == 200:
        assert watched.knows("2") == ([(2, 3)], 1, 1)


def test_orders_of_one_moment_do_not_know_each_other(database: Database, watched: Watched) -> None:
    score(database, order("1"), order("2"))
    assert watched.knows("1") == watched.knows("2") == ([], 0, 0)


def test_a_late_order_knows_only_what_came_before_it(database: Database, watched: Watched) -> None:
    score(database, order("0", line("DRILL", 2), days_ago=3), order("2", line("DRILL", 4), line("BIT")))
    score(database, order("1", line("DRILL", 3), days_ago=2))
    assert watched.knows("1") == ([(3, 2)], 1, 1)


def test_an_old_order_of_another_customer_changes_nothing(database: Database, watched: Watched) -> None:
    long_ago, lately = order("1", line("BIT"), days_ago=800), order("2", line("DRILL"), days_ago=10)
    score(database, long_ago, lately)
    score(database, order("3", line("DRILL")), order("4", line("SAW"), days_ago=200, customer="other"))
    assert watched.knows("3")[1] == 1


def test_an_amended_order_does_not_know_what_it_said_before(database: Database, watched: Watched) -> None:
    score(
        database,
        order("0", line("DRILL", 2), days_ago=3),
        order("1", line("DRILL", 3), line("BIT"), days_ago=2),
    )
    score(database, order("1", line("DRILL", 4), version=2))
    assert watched.knows("1") == ([(3, 2)], 1, 1)


def test_an_order_does_not_know_what_is_cancelled_in_its_own_batch(
    database: Database, watched: Watched
) -> None:
    score(database, order("1", line("DRILL", 3), days_ago=2))
    score(
        database,
        order("1", line("DRILL", 3), days_ago=2, version=2, status=OrderStatus.CANCELLED),
        order("2", line("DRILL", 4)),
    )
    assert watched.knows("2") == ([], 0, 0)


def test_the_state_and_the_lines_before_a_moment_say_the_same(database: Database, watched: Watched) -> None:
    bought = [order(str(days), line("DRILL", days), line("DRILL", 1), days_ago=days) for days in range(1, 12)]
    score(database, *bought)
    score(database, order("live", line("DRILL")))
    score(database, order("later", line("DRILL"), days_ago=-0.001))
    score(database, order("late", line("DRILL"), days_ago=0.001))
    assert watched.knows("live")[0] == [(days, days + 1) for days in range(1, 9)]
    assert watched.facts["late"].lines[0].history == watched.facts["live"].lines[0].history


def test_what_is_found_is_stored_once_with_its_versions_and_passed_on(database: Database) -> None:
    worker = Worker(database)
    receive(database, *CUSTOMER_BUYS_FORTY, order("now", line("DRILL", 40, 3)))
    assert worker.work() == {("signals", "price_error"): 1}
    (found,) = rows(database, "SELECT * FROM signal")
    (stored,) = rows(database, "SELECT id FROM sales_order WHERE external_id = 'now'")
    assert (found.kind, found.order_id, found.order_version, found.detector_version) == (
        "price_error",
        stored.id,
        1,
        "1",
    )
    assert (found.is_proven, found.is_selling, found.quiet_days, found.model_run_id) == (
        True,
        False,
        30,
        None,
    )


def test_scoring_again_finds_nothing_new(database: Database) -> None:
    score(database, *CUSTOMER_BUYS_FORTY, order("now", line("DRILL", 40, 3)))
    with database.transaction() as connection:
        connection.execute(text("UPDATE task SET state = 'ready' WHERE kind = 'score'"))
    assert Worker(database).work() == {}
    assert rows(database, "SELECT count(*) FROM signal") == [(1,)]


def test_an_amendment_withdraws_what_the_older_reading_said_and_is_judged_again(database: Database) -> None:
    score(database, *CUSTOMER_BUYS_FORTY, order("now", line("DRILL", 40, 3)))
    score(database, order("now", line("DRILL", 42, 3), version=2))
    found = rows(database, "SELECT order_version, withdrawn_reason FROM signal ORDER BY 1")
    assert found == [(1, "the order was amended"), (2, None)]
    assert rows(database, "SELECT split_part(key, '@', 2) FROM task WHERE kind = 'decide' ORDER BY 1") == [
        ("1",),
        ("2",),
    ]


def test_the_order_that_asks_a_question_does_not_end_it(database: Database) -> None:
    """What is said once would be said with every order."""
    score(database, *CUSTOMER_BUYS_FORTY)
    with database.transaction() as connection:
        connection.execute(
            text(
                "INSERT INTO episode (customer_id, kind, subject, number, product_id, opened_at, last_seen_at,"
                " quiet_after, holdout_bucket, is_holdout, value) SELECT customer_id, 'price_error',"
                " concat('product:', product_id), 1, product_id, :opened, :opened, :opened, 1, false, 9"
                " FROM customer_item"
            ),
            {"opened": NOW - timedelta(days=1)},
        )
    score(database, order("now", line("DRILL", 40, 3)))
    assert rows(database, "SELECT closed_at FROM episode") == [(None,)]


def test_what_brings_less_than_acting_costs_is_counted_and_not_stored(database: Database) -> None:
    score(database, *CUSTOMER_BUYS_FORTY)
    receive(database, order("now", line("DRILL", 40, 4.45)))  # 22 lost
    receive(database, order("small", line("DRILL", 40, 3)))
    worker = Worker(database, correction_cost=20)
    assert worker.work() == {("signals", "price_error"): 1, ("dropped", "price_error"): 1}
    assert rows(database, "SELECT count(*) FROM signal") == [(1,)]


def test_what_is_always_ordered_and_missing_is_found(database: Database) -> None:
    """Whether the customer's state is held, or computed from lines for an amendment."""
    weeks = [
        order(f"past-{days}", line("DRILL", 10, 5), line("BIT", 20, 5), days_ago=days)
        for days in (8, 16, 24, 32, 40)
    ]
    score(database, *weeks)
    little = Decimal(1)  # so that what is missing is reason enough for a message
    score(database, order("now", line("DRILL", 10, 5)), call_cost=little)
    score(database, order("now", line("DRILL", 11, 5), version=2), call_cost=little)
    found = rows(database, "SELECT kind, order_version, headline FROM signal ORDER BY 2")
    assert [tuple(row) for row in found] == [
        ("basket_gap", version, "No BIT, usually on 5 of 5 orders") for version in (1, 2)
    ]


def test_a_cancellation_withdraws_what_was_said(database: Database) -> None:
    score(database, *CUSTOMER_BUYS_FORTY, order("now", line("DRILL", 40, 3)))
    score(database, order("now", line("DRILL", 40, 3), version=2, status=OrderStatus.CANCELLED))
    assert rows(database, "SELECT withdrawn_reason FROM signal") == [("the order is cancelled now",)]
    assert len(rows(database, "SELECT key FROM task WHERE kind = 'decide'")) == 2


SKIPPED = [
    pytest.param({"customer": None}, "a guest", id="a guest"),
    pytest.param({"is_test": True}, "a test order", id="a test order"),
    pytest.param({"status": OrderStatus.DRAFT}, "a draft order", id="a draft"),
    pytest.param({"ordered_at": NOW - timedelta(days=4)}, "more than 3 days old", id="a late order"),
    pytest.param(
        {"ordered_at": NOW + timedelta(days=1)}, "ahead of the business clock", id="an order of tomorrow"
    ),
]


@pytest.mark.parametrize(("given", "reason"), SKIPPED)
def test_nothing_is_found_in(database: Database, given: dict[str, Any], reason: str) -> None:
    score(database, *CUSTOMER_BUYS_FORTY, order("now", line("DRILL", 40, 3), **given))
    assert rows(database, "SELECT kind FROM signal") == []
    stored = rows(
        database,
        "SELECT reason FROM skip_reason JOIN sales_order ON id = order_id AND version = order_version"
        " WHERE external_id = 'now'",
    )
    assert stored == [(reason,)]
    assert rows(database, "SELECT 1 FROM task WHERE kind = 'decide'") == []


def test_the_facts_of_a_silent_order_still_apply(database: Database) -> None:
    score(database, order("1", days_ago=10))
    assert rows(database, "SELECT recent_quantity[1] FROM customer_item") == [(10,)]


@pytest.mark.parametrize("kind", [LineKind.FREIGHT, LineKind.FEE, LineKind.MANUAL])
def test_nothing_is_said_about_a_line_of_kind(database: Database, kind: LineKind) -> None:
    score(database, *CUSTOMER_BUYS_FORTY, order("now", line("DRILL", 40, 3, kind=kind)))
    assert rows(database, "SELECT kind FROM signal") == []


def test_an_urgent_order_is_decided_at_once_and_others_wait_for_their_group(database: Database) -> None:
    score(database, order("0", line("DRILL"), line("BIT"), days_ago=40))
    with database.transaction() as connection:
        connection.execute(
            text(
                "INSERT INTO product_cost SELECT product_id, '2026-01-01', 7, 'GBP' FROM product_ref"
                " WHERE external_id = 'BIT'"
            )
        )
    below_floor: Order = order("urgent", line("BIT", 10, 5), customer="other")
    score(
        database,
        *CUSTOMER_BUYS_FORTY,
        order("now", line("DRILL", 40, 3)),
        below_floor,
        group_wait=timedelta(hours=1),
    )
    due = rows(
        database,
        "SELECT external_id, run_at <= now() FROM task JOIN sales_order"
        " ON key = concat('order:', sales_order.id, '@1')"
        " WHERE task.kind = 'decide'",
    )
    assert dict(tuple(row) for row in due) == {"now": False, "urgent": True}


def test_all_of_one_window_come_due_together_at_its_end(database: Database) -> None:
    with database.transaction() as connection:
        ends = {end_of_window(connection, timedelta(minutes=1)) for _ in range(2)}
        now = connection.scalar(text("SELECT extract(epoch FROM now())::float8"))
        assert end_of_window(connection, timedelta(0)) is None
    (end,) = ends
    assert end is not None
    assert now is not None
    assert end.timestamp() % 60 == 0
    assert now <= end.timestamp() <= now + 60


def test_an_order_ends_the_question_it_answers(database: Database) -> None:
    score(database, *CUSTOMER_BUYS_FORTY)
    with database.transaction() as connection:
        connection.execute(
            text(
                "INSERT INTO episode (customer_id, kind, subject, number, product_id, opened_at, last_seen_at,"
                " quiet_after, holdout_bucket, is_holdout, value) SELECT customer_id, kind,"
                " concat('product', product_id), 1, product_id, :opened, :opened, :opened, 1, false, 9"
                " FROM customer_item, (VALUES ('basket_gap'), ('price_error'), ('gone')) AS kinds (kind)"
            ),
            {"opened": NOW - timedelta(days=1)},
        )
    score(database, order("now", line("DRILL", 40, 5)))
    ended = rows(database, "SELECT kind, close_reason, closed_at FROM episode ORDER BY kind")
    assert [tuple(row) for row in ended] == [
        ("basket_gap", "the customer took it", NOW),
        ("gone", None, None),
        ("price_error", "sold at the usual price again", NOW),
    ]
    moved = rows(database, "SELECT to_state, actor FROM episode_event ORDER BY id")
    assert [tuple(row) for row in moved] == [("closed", "scoring"), ("closed", "scoring")]
    assert len(rows(database, "SELECT 1 FROM task WHERE kind = 'decide'")) == 1


def test_a_worker_forgets_what_it_remembers_when_connections_broke(
    database: Database, database_url: str
) -> None:
    worker = Worker(database)
    receive(database, order("1", line("DRILL")))
    worker.work()
    with database.transaction() as connection:  # a crash took the product's id back, and another got it
        connection.execute(text("UPDATE product SET category = 'another'"))
    elsewhere = Database(database_url, DRAIN)
    cut(elsewhere)
    elsewhere.close()
    with pytest.raises(OperationalError):
        rows(database, "SELECT 1")
    receive(database, order("2", line("DRILL")))
    worker.work()
    shard = worker.handlers["score"].run.__self__._here  # type: ignore[attr-defined]
    assert [each.category for each in shard.catalogue.values()] == ["another"]


CUSTOMERS = [f"customer-{number}" for number in range(12)]


def mistakes(number: int) -> list[Order]:
    """Four orders of each of twelve customers at the usual price, and one far below it."""
    usual = [
        order(f"{number}-{each}-{days}", line("DRILL", 40, 5), days_ago=days, customer=each)
        for each in CUSTOMERS
        for days in (30, 60, 90, 120)
    ]
    return usual + [order(f"{number}-{each}", line("DRILL", 40, 3), customer=each) for each in CUSTOMERS]


def child_of(worker: Worker) -> Any:
    """The child process of a worker, once it has begun."""
    child = worker.handlers["score"].run.__self__._there  # type: ignore[attr-defined]
    until = time.monotonic() + 60
    while not child.is_ready():
        assert time.monotonic() < until
        time.sleep(0.05)
    return child


def test_a_large_batch_is_shared_with_a_process_that_knows_as_much(database: Database) -> None:
    worker = Worker(database)
    child_of(worker)
    receive(database, *mistakes(1))
    assert worker.work() == {("signals", "price_error"): len(CUSTOMERS)}
    assert worker.notified == ["alerts", "alerts"]
    assert rows(database, "SELECT DISTINCT state FROM task WHERE kind = 'score'") == [("done",)]


def test_what_a_process_that_died_left_is_done_again_and_nothing_else(database: Database) -> None:
    worker = Worker(database)
    child = child_of(worker)
    receive(database, *mistakes(1))
    handler = worker.handlers["score"]
    with database.autocommit() as connection:
        batch = tasks.claim(connection, handler, uuid4())
    for pid in child._pool._processes:
        os.kill(pid, signal.SIGKILL)
    for _ in range(2):
        with suppress(BrokenProcessPool):
            handler.run(batch)
    handler.run(batch)
    assert rows(database, "SELECT DISTINCT state, attempts FROM task WHERE kind = 'score'") == [("done", 1)]
    assert rows(database, "SELECT count(*), count(DISTINCT order_id) FROM signal") == [(12, 12)]


def test_a_product_made_by_a_transaction_that_failed_is_made_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(database)
    receive(database, order("1", line("DRILL")))
    with monkeypatch.context() as broken, pytest.raises(ZeroDivisionError):
        broken.setattr(gather, "gather", lambda *_: 1 / 0)
        worker.work()
    with database.transaction() as connection:
        connection.execute(text("UPDATE task SET state = 'ready', lease_token = NULL, lease_until = NULL"))
    worker.work()
    assert rows(database, "SELECT DISTINCT product_id FROM order_line") == rows(
        database, "SELECT product_id FROM product_ref WHERE external_id = 'DRILL'"
    )


def test_a_signal_keeps_the_facts_it_was_made_from(database: Database) -> None:
    score(database, *CUSTOMER_BUYS_FORTY, order("now", line("DRILL", 40, 3)))
    ((kept,),) = rows(database, "SELECT facts FROM signal")
    ((drill,),) = rows(database, "SELECT id FROM product")
    (only,) = kept["lines"]
    assert (only["product"]["id"], only["line"]["quantity"], only["line"]["net"]) == (drill, "40", "120")
    assert [float(purchase[1]) for purchase in only["history"]] == [40.0] * len(CUSTOMER_BUYS_FORTY)
    assert (kept["currency"], kept["fit"], kept["zone"]) == ("GBP", None, "UTC")


def test_a_stored_signal_is_explained_by_its_own_facts(database: Database) -> None:
    score(database, *CUSTOMER_BUYS_FORTY, order("now", line("DRILL", 40, 3)))
    ((asked,),) = rows(database, "SELECT public_id FROM signal")

    def said() -> dict[str, list[str]]:
        with database.transaction() as connection:
            steps = explain(connection, str(asked))
        return {
            what: [each.detail for each in steps if each.what == what] for what in {s.what for s in steps}
        }

    told = said()
    assert told["replayed"] == ["the same"]
    assert "line: 40 of Drill for 120 GBP" in told["fact"]
    assert "bought before: 40 at 5.0000 GBP on 2026-01-31" in told["fact"]
    (signal,) = told["signal"]
    assert "chance if nobody acts 10.0% (estimated), gain " in signal
    with database.transaction() as connection:
        connection.exec_driver_sql("UPDATE signal SET headline = 'Drill £2.00', detector_version = '0'")
    told = said()
    assert told["replayed"] == ["differs"]
    assert told["kind"] == ["version 0 then, version 1 now"]
    assert told["difference"] == ["headline: Drill £2.00 then, Drill £3.00, usually £5.00 now"]


def test_a_new_fit_replaces_what_a_worker_remembers(database: Database) -> None:
    worker = Worker(database, call_cost=Decimal("0.5"))
    receive(database, order("1", line("DRILL"), line("BIT"), customer="other", days_ago=5))
    worker.work()
    with database.transaction() as connection:
        for name, grade in (("neighbours", '{"passes": false, "reason": "too few"}'), ("item_facts", "{}")):
            connection.execute(
                text(
                    "INSERT INTO model_run (model, state, as_of, version, grade)"
                    " VALUES (:name, 'current', :as_of, '1', :grade)"
                ),
                {"name": name, "as_of": NOW - timedelta(hours=9), "grade": grade},
            )
        run = "(SELECT id FROM model_run WHERE model = '{}') AS model_run_id"
        connection.exec_driver_sql(
            f"CREATE TABLE item_neighbour AS SELECT {run.format('neighbours')}, a.product_id,"
            " b.product_id AS neighbour_id, 0.5::float8 AS score, 120 AS buyers, 45 AS both"
            " FROM product_ref a, product_ref b WHERE a.external_id = 'DRILL' AND b.external_id = 'BIT'"
        )
        connection.exec_driver_sql(
            "CREATE TABLE customer_candidate"
            " (model_run_id bigint, customer_id bigint, product_ids bigint[], scores float8[])"
        )
        connection.exec_driver_sql(
            f"CREATE TABLE item_fact AS SELECT {run.format('item_facts')}, product_id, 'Drill bits' AS name,"
            " 60 AS buyers, 9 AS recent_buyers, 24::float8 AS first_quantity, NULL::float8 AS line_quantity,"
            " 4.1::float8 AS unit_price, NULL::float8 AS margin_rate, NULL::float8 AS category_margin_rate,"
            " NULL::float8 AS repeats FROM product_ref"
        )
    receive(database, order("2", line("DRILL")))
    worker.work()
    (found,) = rows(database, "SELECT headline, is_proven, unproven_reason, model_run_id FROM signal")
    assert found.headline == "Buys Drill bits, never Drill bits"
    assert not found.is_proven
    assert found.unproven_reason == "too few"
    assert found.model_run_id is not None


@pytest.mark.parametrize(
    ("days_ago", "run"),
    [
        pytest.param(0, "newest", id="after the newest run"),
        pytest.param(1.5, "earlier", id="late: the newest run knows it, the one before does not"),
        pytest.param(2.5, None, id="before every run: nothing is said from models"),
    ],
)
def test_an_order_is_scored_with_the_newest_run_before_it(
    database: Database, days_ago: float, run: str | None
) -> None:
    score(database, *CUSTOMER_BUYS_FORTY)
    ids = {}
    with database.transaction() as connection:
        for name, state, days in (("earlier", "superseded", 2), ("newest", "current", 1)):
            ids[name] = connection.scalar(
                text(
                    "INSERT INTO model_run (model, state, as_of, version)"
                    " VALUES ('reorder', :state, :as_of, '1') RETURNING id"
                ),
                {"state": state, "as_of": NOW - timedelta(days=days)},
            )
    score(database, order("late", line("DRILL", 40, 3), days_ago=days_ago))
    ((fit,),) = rows(database, "SELECT facts->'fit' FROM signal")
    kept = {name: run["id"] for name, run in fit["runs"].items()} if fit else {}
    assert kept == ({"reorder": ids[run]} if run else {})
