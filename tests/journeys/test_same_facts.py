"""One order by webhook and scoring, and the same by import: the facts that are stored are equal."""

import csv
from pathlib import Path

from click.testing import CliRunner

from services.ingest.commands import import_
from services.scoring import jobs as scoring
from shared.clock import real_now
from shared.db import UNHURRIED, Database
from shared.drainer import Drainer
from shared.metrics import Metrics
from tests.alert_rows import settings
from tests.ingest_service import ingest_on, rows
from tests.journeys.test_imports import Context

ROW = {
    "order_id": "o1", "version": "7", "number": "N-7", "ordered_at": "2026-03-02T09:00:00Z", "currency": "GBP",
    "channel": "web", "rep_id": "r1", "order_status": "closed", "order_kind": "return", "original_order_id": "o0",
    "customer_id": "c1", "customer_parent_id": "c0", "customer_name": "Contoso",
}  # fmt: skip
LINE = {
    "id": "l1", "kind": "product", "sku": "A", "title": "Drill\\8", "category": "Tools", "quantity": "3",
    "units_per_pack": "10", "unit_price": "2.50005", "discount": "0.25", "cost": "1.00005", "reason": "broken",
}  # fmt: skip
FEE = {
    "id": "l2",
    "parent_line_id": "l1",
    "kind": "fee",
    "title": "Restocking",
    "quantity": "1",
    "unit_price": "-1.5",
}
OF_A_LINE = {"id": "line_id", "kind": "line_kind"}

ORDER = {
    "id": "o1", "version": 7, "number": "N-7", "ordered_at": "2026-03-02T09:00:00Z", "currency": "GBP",
    "channel": "web", "rep_id": "r1", "status": "closed", "kind": "return", "original_order_id": "o0",
    "customer": {"id": "c1", "parent_id": "c0", "name": "Contoso"},
    "lines": [LINE | {"returns": {"order_id": "o0", "line_id": "l9"}}, FEE],
}  # fmt: skip

ORDERS = (
    "SELECT external_id, version, number, channel, status, kind, is_test, is_counted, ordered_at, currency,"
    " rep_external_id, original_order_id, net, base_net FROM sales_order ORDER BY source"
)
LINES = (
    "SELECT line_no, order_line.ordered_at, product_id IS NULL, order_line.external_id, parent_line_id,"
    " order_line.kind, order_line.is_counted, quantity, order_line.net, order_line.base_net, base_unit_cost, title,"
    " returns_order_id, returns_line_id, return_reason FROM order_line JOIN sales_order ON id = order_id"
    " ORDER BY source, line_no"
)
CUSTOMERS = (
    "SELECT external_id, customer.name, status, is_internal, customer.parent_id IS NULL FROM customer"
    " JOIN customer_ref ON customer_id = id ORDER BY source, external_id"
)


def as_rows(file: Path) -> None:
    """Write the order as a file in our own columns."""
    lines = [{OF_A_LINE.get(name, name): value for name, value in line.items()} for line in (LINE, FEE)]
    lines[0] |= {"returns_order_id": "o0", "returns_line_id": "l9"}
    with file.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, [*ROW, *lines[0], "parent_line_id"])
        writer.writeheader()
        writer.writerows(ROW | line for line in lines)


def test_an_order_has_the_same_facts_by_webhook_and_by_import(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    rates, orders = tmp_path / "rates.csv", tmp_path / "orders.csv"
    rates.write_text("currency,valid_on,rate\nGBP,2026-01-01,1.17\n")
    as_rows(orders)
    told = settings(database_url=database_url, base_currency="EUR")
    context = Context(told, Database(database_url, UNHURRIED))
    for arguments in (["exchange-rates", str(rates)], ["orders", str(orders), "--source", "import"]):
        done = CliRunner().invoke(import_, arguments, obj=context)
        assert done.exit_code == 0, done.output
    context.database.close()
    assert ingest_on(database, database_url).hook(ORDER).get_json()["status"] == "accepted"
    metrics = Metrics("all", "test")
    kinds = scoring.handlers(database, told, real_now, metrics, lambda _queue: None)
    Drainer(database, [each for each in kinds if each.kind == "score"], metrics.count).drain(seconds=30)
    for statement, number in ((ORDERS, 1), (LINES, 2), (CUSTOMERS, 2)):
        found = rows(database, statement)
        assert (found[:number], len(found)) == (found[number:], 2 * number)
