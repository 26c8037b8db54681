"""Journey: real orders, where they lie beside the project. `make realday` plays their whole day, in a minute."""

import os
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner

from services.cli import Context, main
from shared.db import Database
from shared.domain.order import decode
from tests.alert_rows import rows, settings
from tests.ingest_service import ingest_on

REFERENCE = Path(os.environ.get("TIPOFF_REFERENCE", "../shared"))
LINES = REFERENCE / "data/online_retail_ii/lines.parquet"
WEBHOOK = REFERENCE / "contracts/inbound/standard_webhooks/order_created.json"

pytestmark = [
    pytest.mark.needs_reference,
    pytest.mark.skipif(
        not LINES.exists() or not WEBHOOK.exists(), reason=f"no reference data in {REFERENCE}"
    ),
]


def test_the_published_webhook_is_an_order(database: Database, database_url: str) -> None:
    ingest = ingest_on(database, database_url)

    answer = ingest.hook(None, raw=WEBHOOK.read_bytes())

    assert (answer.status_code, answer.get_json()["status"]) == (202, "accepted")
    ((normal,),) = rows(database, "SELECT normalized FROM event")
    order = decode(normal if isinstance(normal, str) else bytes(normal))
    assert (order.id, [each.sku for each in order.lines], order.net) == (
        "ord_1001",
        ["WID-1"],
        Decimal("53.73"),
    )


def test_a_real_day_comes_in_to_the_penny(database: Database, database_url: str, tmp_path: Path) -> None:
    day, next_day = "2011-02-28", "2011-03-01"
    context = Context()
    context.settings = settings(
        database_url=database_url,
        time_zone="Europe/London",
        business_time=datetime(2011, 2, 28, 18, tzinfo=UTC),
    )
    context.database = database
    words = [
        "import",
        "orders",
        str(LINES),
        "--columns",
        "online_retail",
        "--since",
        day,
        "--until",
        next_day,
    ]
    done = CliRunner().invoke(main, [*words, "--rejects", str(tmp_path / "rejects.csv")], obj=context)
    assert done.exit_code == 0, done.output

    with duckdb.connect() as connection:
        (file_total, invoices) = connection.execute(
            "SELECT round(sum(CAST(quantity AS DECIMAL(18, 4)) * CAST(unit_price AS DECIMAL(18, 4))), 2),"
            f" count(DISTINCT invoice) FROM '{LINES}' WHERE invoice_ts >= '{day}' AND invoice_ts < '{next_day}'"
            " AND NOT overlap_copy"
        ).fetchone() or (None, None)
    ((orders, guests, net),) = rows(
        database,
        "SELECT count(*), count(*) FILTER (WHERE customer_id IS NULL), round(sum(net), 2) FROM sales_order",
    )
    assert orders == invoices == 61
    assert guests == 9
    assert net == file_total
    assert rows(database, "SELECT count(*) FROM task WHERE kind = 'score'") == [(0,)], "history never alerts"
