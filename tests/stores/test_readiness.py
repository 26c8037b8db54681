"""`tipoff readiness` on data as it comes: nothing at all, orders alone, and everything."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from services.scoring import signals
from services.scoring.readiness import NEEDS, readiness_command
from services.scoring.store.readiness import holdings
from shared.clock import Clock
from shared.db import UNHURRIED, Database
from shared.domain.signal import SignalKind
from shared.plugins import discover
from shared.settings import Settings
from tests.scoring_orders import NOW, settings

KINDS = discover(signals, "KIND", SignalKind)

COMPANY = """
INSERT INTO customer (name) SELECT 'Customer ' || n FROM generate_series(1, 25) AS n;
INSERT INTO product (name) VALUES ('Drill'), ('Saw');
INSERT INTO sales_order (source, external_id, version, digest, event_id, status, kind, is_counted, ordered_at, currency,
    customer_id, net, base_net) SELECT 'erp', customer.id || '/' || n, 1, '', gen_random_uuid(), 'confirmed', 'sale',
    true, '2026-03-02 10:00Z'::timestamptz - n * interval '2 months', 'GBP', customer.id, 100, 100
    FROM customer, generate_series(1, 6) AS n;
INSERT INTO order_line (order_id, line_no, ordered_at, customer_id, product_id, external_id, kind, is_counted, quantity,
    net, base_net) SELECT sales_order.id, product.id, ordered_at, customer_id, product.id, product.id::text, 'product',
    true, 10, 50, 50 FROM sales_order, product;
"""
MASTER_DATA = """
UPDATE product SET category = 'Tools', stock = 5;
UPDATE order_line SET base_unit_cost = 3 WHERE product_id = 1;
UPDATE customer SET parent_id = 1 WHERE id = 2;
INSERT INTO rep (external_id, name) VALUES ('ruth', 'Ruth');
INSERT INTO assignment (customer_id, rep_id, valid_from) SELECT id, 1, '2020-01-01' FROM customer WHERE id <= 20;
INSERT INTO price_agreement (customer_id, product_id, currency, valid_from, unit_price)
    VALUES (1, 1, 'GBP', '2026-01-01', 5);
"""


@dataclass
class Context:
    """What the command is given."""

    settings: Settings
    database: Database
    clock: Clock


@pytest.fixture
def context(database_url: str) -> Iterator[Context]:
    opened = Context(settings(database_url=database_url), Database(database_url, UNHURRIED), lambda: NOW)
    yield opened
    opened.database.close()


def fill(database: Database, statements: str) -> None:
    with database.transaction() as connection:
        for statement in statements.strip().split(";")[:-1]:
            connection.execute(text(statement))


def verdicts(context: Context) -> dict[str, str]:
    """What is said of each kind."""
    done = CliRunner().invoke(readiness_command, obj=context)
    assert done.exit_code == 0, (done.output, done.exception)
    kinds = done.output.partition("\n\n")[2].splitlines()
    return {name: said.strip() for name, _, said in (each.partition(" ") for each in kinds)}


def test_without_orders_no_kind_can_speak(context: Context) -> None:
    told = verdicts(context)
    assert told.keys() == KINDS.keys()
    assert all(said.startswith("cannot speak: no sale to a known customer") for said in told.values())


def test_orders_alone_are_enough_for_some(context: Context) -> None:
    fill(context.database, COMPANY)
    told = verdicts(context)
    assert told["margin_erosion"] == "can speak"
    assert told["going_quiet"] == "can speak once its model is fitted (tipoff fit)"
    assert told["cost_not_passed_on"] == (
        "cannot speak: costs for 0% of sales, 50% needed (tipoff import costs)"
    )
    assert told["stopped_category"].startswith("cannot speak: categories for 0% of sales")


def test_a_young_company_is_told_what_is_still_to_come(context: Context) -> None:
    fill(context.database, COMPANY)
    fill(context.database, "DELETE FROM sales_order WHERE ordered_at < '2025-10-01';")
    assert verdicts(context)["going_quiet"] == (
        "cannot speak: 4 of 9 months of orders (tipoff import orders); 0 of 20 customers with five order days"
    )


@pytest.mark.parametrize(
    ("state", "grade", "said"),
    [
        pytest.param("current", '{"passes": true}', "can speak", id="a model that passes"),
        pytest.param(
            "rejected", '{"passes": false, "reason": "no better than chance"}',
            "inbox only: no better than chance", id="a model that was rejected",
        ),
    ],
)  # fmt: skip
def test_what_a_model_is_worth_is_said(context: Context, state: str, grade: str, said: str) -> None:
    fill(context.database, COMPANY)
    with context.database.transaction() as connection:
        connection.execute(
            text(
                "INSERT INTO model_run (model, state, as_of, version, grade, finished_at)"
                " VALUES ('going_quiet', :state, :at, '1', CAST(:grade AS jsonb), :at)"
            ),
            {"state": state, "grade": grade, "at": NOW},
        )
    assert verdicts(context)["going_quiet"] == said


def test_what_is_held_is_counted(context: Context) -> None:
    fill(context.database, COMPANY + MASTER_DATA)
    with context.database.transaction() as connection:
        held = holdings(connection, NOW, "Europe/London")
    assert (held.months, held.customers, held.regulars, held.parents, held.agreements) == (12, 25, 25, 1, 1)
    assert (held.costed, held.categorised, held.stocked, held.owned) == (0.5, 1, 1, 0.8)
    output = CliRunner().invoke(readiness_command, obj=context).output
    assert "Orders: 12 months, 25 customers in two years, 25 with five order days" in output
    assert "Price breaks: 0 (without any, they are inferred from what accounts pay)" in output
    assert "cannot speak" not in output


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_a_kind_names_needs_that_there_are(kind: SignalKind[object]) -> None:
    assert kind.needs
    assert set(kind.needs) <= NEEDS.keys()
