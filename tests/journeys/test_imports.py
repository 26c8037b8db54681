"""Histories and master data that come in from files, as whoever types the commands sees it."""

import csv
import json
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import text

from services.ingest.commands import import_, quarantine
from services.ingest.imports import orders as importing
from services.ingest.imports.columns import MapFault, known_maps, read_map
from services.ingest.imports.file_orders import Window
from services.ingest.imports.orders import OrdersRequest, Report, import_orders
from services.ingest.imports.send import orders_of
from services.ingest.imports.table import FileFault
from shared.db import UNHURRIED, Database
from shared.settings import Settings
from tests.alert_rows import a_signal
from tests.ingest_service import Ingest, an_order, ingest_on, rows

HEADER = "order_id,version,ordered_at,customer_id,order_kind,order_discount,line_id,line_kind,sku,quantity,unit_price"
HISTORY = """\
o1,,2026-01-05T10:00:00Z,c1,,1.00,,,A,2,5.00
o1,,2026-01-05T10:00:00Z,c1,,1.00,,,B,1,10.00
o2,,2026-01-06T10:00:00Z,,,,,,A,4,5.00
o3,,2026-02-07T10:00:00Z,c2,return,,,,A,1,5.00
o4,,2026-02-08T10:00:00Z,c2,,,,freight,,1,4.90
o4,,2026-02-08T10:00:00Z,c2,,,,,A,1,5.00
o5,,not a time,c2,,,,,A,1,5.00
,,2026-02-09T10:00:00Z,c2,,,,,A,1,5.00
o6,1,2026-02-10T10:00:00Z,c2,,,,,A,1,5.00
o6,2,2026-02-10T10:00:00Z,c2,,,,,A,3,5.00
"""


@pytest.fixture(autouse=True)
def _somewhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reject files land where the command is called."""
    monkeypatch.chdir(tmp_path)


@dataclass
class Context:
    """What commands are given."""

    settings: Settings
    database: Database


@pytest.fixture
def context(database_url: str) -> Any:
    settings = Settings.model_validate({"database_url": database_url, "secret_key": "k" * 32})
    opened = Context(settings, Database(database_url, UNHURRIED))
    yield opened
    opened.database.close()


def run(context: Context, *arguments: object) -> Result:
    return CliRunner().invoke(import_, [str(each) for each in arguments], obj=context)


@pytest.fixture
def history(tmp_path: Path) -> Path:
    file = tmp_path / "history.csv"
    file.write_text(f"{HEADER}\n{HISTORY}")
    return file


def lines_stored(context: Context) -> list[Any]:
    return rows(
        context.database,
        "SELECT sales_order.external_id, sales_order.kind, line_no, quantity::float8, order_line.net::float8"
        " FROM sales_order JOIN order_line ON order_id = id ORDER BY 1, 3",
    )


STORED = [
    ("o1", "sale", 1, 2.0, 9.5),
    ("o1", "sale", 2, 1.0, 9.5),
    ("o2", "sale", 1, 4.0, 20.0),
    ("o3", "return", 1, -1.0, -5.0),
    ("o4", "sale", 1, 1.0, 4.9),
    ("o4", "sale", 2, 1.0, 5.0),
    ("o6", "sale", 1, 3.0, 15.0),
]


def test_a_history_is_loaded_settled_and_never_scored(
    context: Context, history: Path, tmp_path: Path
) -> None:
    rejects = tmp_path / "rejects.csv"
    done = run(context, "orders", history, "--rejects", rejects)
    assert done.exit_code == 0, done.output
    assert "Settled" in done.output
    assert lines_stored(context) == STORED
    facts = rows(context.database, "SELECT DISTINCT is_history, is_counted, base_net = net FROM sales_order")
    assert facts == [(True, True, True)]
    assert rows(context.database, "SELECT queue, kind, key FROM task") == [("scoring", "refresh", "import-1")]
    assert rows(context.database, "SELECT DISTINCT entry_point, state, is_current FROM event") == [
        ("import", "applied", True)
    ]
    with rejects.open() as file:
        rejected = [
            (row["rejected_row"], row["rejected_because"], row["sku"]) for row in csv.DictReader(file)
        ]
    assert [(row, sku) for row, _, sku in rejected] == [("7", "A"), ("8", "A")]
    assert "ordered_at" in rejected[0][1]
    assert rejected[1][1] == "no order id"


def test_the_account_names_what_every_row_became(context: Context, history: Path) -> None:
    run(context, "orders", history)
    [(counts,)] = rows(context.database, "SELECT counts FROM import_run")
    kept = {
        name: (entry["rows"], entry["value"]) for name, entry in counts["categories"].items() if entry["rows"]
    }
    assert kept == {
        "sales": (4, "40"),
        "sales to guests": (1, "20"),
        "returns": (1, "-5"),
        "non-product lines": (1, "4.9"),
        "older versions": (1, "5"),
        "rejected": (2, "10"),
    }
    assert counts["settled"] is True


def test_running_it_again_changes_nothing(context: Context, history: Path) -> None:
    run(context, "orders", history)
    before = rows(context.database, "SELECT * FROM sales_order ORDER BY id")
    done = run(context, "orders", history)
    assert "5 duplicate" in done.output
    assert rows(context.database, "SELECT * FROM sales_order ORDER BY id") == before
    assert lines_stored(context) == STORED


def test_a_newer_version_replaces_the_whole_order(context: Context, history: Path) -> None:
    run(context, "orders", history)
    history.write_text(f"{HEADER}\no1,,2026-01-05T10:00:00Z,c1,,,,,C,7,1.00\n")
    done = run(context, "orders", history)
    assert "1 newer" in done.output
    assert lines_stored(context)[0] == ("o1", "sale", 1, 7.0, 7.0)
    assert lines_stored(context)[1:] == STORED[2:]
    heads = rows(context.database, "SELECT count(*) FROM event WHERE external_id = 'o1' AND is_current")
    assert heads == [(1,)]


def test_what_was_said_of_an_order_that_a_file_replaces_is_withdrawn(context: Context, history: Path) -> None:
    run(context, "orders", history)
    with context.database.transaction() as connection:
        for name in ("o1", "o4"):
            order, customer = connection.execute(
                text("SELECT id, customer_id FROM sales_order WHERE external_id = :name"), {"name": name}
            ).one()
            a_signal(connection, customer, order)
    history.write_text(f"{HEADER}\no1,{10**16},2026-01-05T10:00:00Z,c1,,,,,C,7,1.00\n")
    run(context, "orders", history)
    said = "SELECT o.external_id, withdrawn_at IS NULL FROM signal JOIN sales_order o ON order_id = o.id"
    assert rows(context.database, f"{said} ORDER BY 1") == [("o1", False), ("o4", True)]
    key = "SELECT 'order:' || id || '@' || version FROM sales_order"
    decide = f"SELECT count(*) FROM task WHERE kind = 'decide' AND key = ({key}"
    assert rows(context.database, f"{decide} WHERE external_id = 'o1')") == [(1,)]


def test_a_dry_run_counts_the_same_and_stores_nothing(context: Context, history: Path) -> None:
    done = run(context, "orders", history, "--dry-run")
    assert done.exit_code == 0
    assert "5 new" in done.output
    for table in ("event", "sales_order", "customer", "import_run", "task"):
        assert rows(context.database, f"SELECT count(*) FROM {table}") == [(0,)]


def test_only_the_days_asked_for_come_in(context: Context, history: Path) -> None:
    run(context, "orders", history, "--since", "2026-01-06", "--until", "2026-02-08")
    assert [row[0] for row in rows(context.database, "SELECT external_id FROM sales_order ORDER BY 1")] == [
        "o2",
        "o3",
    ]


def test_an_order_that_came_by_webhook_is_a_repeat(
    context: Context, database: Database, database_url: str, tmp_path: Path
) -> None:
    ingest: Ingest = ingest_on(database, database_url)
    order = an_order(customer={"id": "c1"}, version=None)
    order["lines"] = [{"sku": "A", "quantity": "3", "unit_price": "2.50"}]
    assert ingest.hook(order).status_code == 202
    file = tmp_path / "same.csv"
    file.write_text("order_id,ordered_at,currency,customer_id,sku,quantity,unit_price\n"
                    "o1,2026-03-02T09:00:00+00:00,EUR,c1,A,3,2.5\n")  # fmt: skip
    assert "1 duplicate" in run(context, "orders", file).output


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("told", "moment"),
    [
        pytest.param("DATE '2026-03-12'", "2026-03-12 00:00:00+00", id="a day alone"),
        pytest.param("TIMESTAMPTZ '2026-03-12 09:30:00+00'", "2026-03-12 09:30:00+00", id="an hour as zone"),
        pytest.param("TIMESTAMP '2026-03-12 09:30:00'", "2026-03-12 09:30:00+00", id="no zone"),
        pytest.param("'2026-03-12T09:30:00.5-03'", "2026-03-12 12:30:00.5+00", id="a text with a zone"),
    ],
)
def test_times_are_read_in_every_way_files_write_them(
    context: Context, tmp_path: Path, kind: str, told: str, moment: str
) -> None:
    file = tmp_path / f"orders.{kind}"
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        columns = f"'o1' AS order_id, {told} AS ordered_at, 'A' AS sku, 1 AS quantity, '5' AS unit_price"
        connection.execute(f"COPY (SELECT {columns}) TO '{file}' (FORMAT {kind})")
    done = run(context, "orders", file)
    assert done.exit_code == 0, done.output
    assert rows(context.database, "SELECT ordered_at::text FROM sales_order") == [(moment,)]


def test_an_order_whose_rows_contradict_each_other_is_refused_whole(context: Context, tmp_path: Path) -> None:
    file, rejects = tmp_path / "orders.csv", tmp_path / "rejects.csv"
    file.write_text(
        "order_id,ordered_at,currency,customer_id,customer_name,sku,quantity,unit_price\n"
        "two customers,2026-01-05,EUR,c1,,A,1,5\ntwo customers,2026-01-05,EUR,c2,,B,1,5\n"
        "two days,2026-01-05,EUR,c1,,A,1,5\ntwo days,2026-01-06,EUR,c1,,B,1,5\n"
        "two currencies,2026-01-05,EUR,c1,,A,1,5\ntwo currencies,2026-01-05,USD,c1,,B,1,5\n"
        "told once,2026-01-05,,,,A,1,5\ntold once,2026-01-05,EUR,c1,Ann,B,1,5\n"
        "told once,2026-01-05,EUR,c1,Anne,B,2,5\n"
    )
    done = run(context, "orders", file, "--rejects", rejects)
    assert done.exit_code == 0, done.output
    assert "Settled" in done.output
    with rejects.open() as opened:
        told = [(row["rejected_row"], row["rejected_because"]) for row in csv.DictReader(opened)]
    assert [row for row, _ in told] == ["1", "2", "3", "4", "5", "6"]
    assert all("customer is “c1” and “c2”" in reason for _, reason in told[:2])
    assert all("ordered_at is “2026-01-05” and “2026-01-06”" in reason for _, reason in told[2:4])
    assert all("currency is “EUR” and “USD”" in reason for _, reason in told[4:])
    stored = rows(
        context.database,
        "SELECT sales_order.external_id, customer_ref.external_id, net::int FROM sales_order"
        " JOIN customer_ref USING (customer_id)",
    )
    assert stored == [("told once", "c1", 20)]


def test_sending_names_the_row_of_a_bad_date(tmp_path: Path, history: Path) -> None:
    with pytest.raises(FileFault, match=r"row 7, order o5: ordered_at “not a time”"):
        orders_of(history, read_map("standard"), Window())


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        pytest.param(["--columns", "nobody"], "no column map 'nobody'", id="a map nobody made"),
        pytest.param(
            ["--columns", "online_retail"], "no column Invoice or InvoiceNo", id="a map of other files"
        ),
    ],
)
def test_a_file_that_cannot_be_read_ends_in_one_line(
    context: Context, history: Path, arguments: list[str], complaint: str
) -> None:
    done = run(context, "orders", history, *arguments)
    assert done.exit_code == 1
    assert complaint in done.output


ROWS = b"order_id,ordered_at,sku,quantity,unit_price,id\n" + b"".join(
    b"o%d,2026-01-05,A,1,5,%d\n" % (number, number) for number in range(30_000)
)


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        pytest.param("empty.csv", b"", "is empty\nhint: ", id="nothing at all"),
        pytest.param("text.parquet", ROWS, "is no whole Parquet file: ", id="a text named Parquet"),
        pytest.param("blank.parquet", b"", "is no whole Parquet file: ", id="nothing"),
    ],
)
def test_a_broken_file_ends_in_one_line_and_a_hint(
    context: Context, tmp_path: Path, name: str, content: bytes, complaint: str
) -> None:
    (tmp_path / name).write_bytes(content)
    for entity in ("orders", "products"):
        done = run(context, entity, tmp_path / name)
        assert done.exit_code == 1
        assert complaint in done.output
        assert len(done.output.strip().splitlines()) == 2
    with pytest.raises(FileFault, match=complaint):
        orders_of(tmp_path / name, read_map("standard"), Window())


RETAIL = """\
Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country
489434,85048,GLASS BALL,12,2009-12-01 07:45:00,6.95,13085.0,United Kingdom
489434,85048,GLASS BALL,12,2009-12-01 07:45:00,6.95,13085.0,United Kingdom
489434,79323p,CHERRY LIGHTS,10,2009-12-01 07:46:00,6.75,13085.0,United Kingdom
489434,POST,POSTAGE,1,2009-12-01 07:45:00,18.00,13085.0,United Kingdom
489435,22041,FRAME,2,2010-07-01 12:00:00,2.10,,United Kingdom
C489449,22087,PAPER,-12,2010-07-01 12:30:00,2.95,16321.0,Australia
489464,21733,damages,-96,2010-07-01 13:00:00,0.00,,United Kingdom
A506401,B,Adjust bad debt,1,2010-07-02 13:36:00,-53.44,,United Kingdom
C496350,M,Manual,1,2010-07-03 08:24:00,3.57,,United Kingdom
"""


def test_the_online_retail_file_is_understood(context: Context, tmp_path: Path) -> None:
    file = tmp_path / "retail.csv"
    file.write_text(RETAIL)
    done = run(context, "orders", file, "--columns", "online_retail")
    assert done.exit_code == 0, done.output
    assert "Settled" in done.output
    assert "Exact duplicates of another row of their order: 1, kept" in done.output
    found = rows(
        context.database,
        "SELECT o.external_id, o.kind, o.currency, o.ordered_at::text, count(*), sum(l.net)::float8,"
        " count(*) FILTER (WHERE l.product_id IS NOT NULL)"
        " FROM sales_order o JOIN order_line l ON l.order_id = o.id GROUP BY o.id ORDER BY 4, 1",
    )
    assert [tuple(row) for row in found] == [
        ("489434", "sale", "GBP", "2009-12-01 07:45:00+00", 4, 252.3, 3),
        ("489435", "sale", "GBP", "2010-07-01 11:00:00+00", 1, 4.2, 1),
        ("C489449", "return", "GBP", "2010-07-01 11:30:00+00", 1, -35.4, 1),
        ("489464", "adjustment", "GBP", "2010-07-01 12:00:00+00", 1, 0.0, 1),
        ("A506401", "adjustment", "GBP", "2010-07-02 12:36:00+00", 1, -53.44, 0),
        ("C496350", "adjustment", "GBP", "2010-07-03 07:24:00+00", 1, 3.57, 0),
    ]
    names = rows(context.database, "SELECT external_id FROM product_ref ORDER BY 1")
    assert [row[0] for row in names] == ["21733", "22041", "22087", "79323P", "85048"]
    assert [row[0] for row in rows(context.database, "SELECT external_id FROM customer_ref ORDER BY 1")] == [
        "13085", "16321",
    ]  # fmt: skip


def test_the_same_file_is_sent_as_a_shop_would_send_it(tmp_path: Path) -> None:
    file = tmp_path / "retail.csv"
    file.write_text(RETAIL)
    sending = orders_of(file, read_map("online_retail"), Window(until=date(2010, 7, 2)))
    assert [order.key for order in sending] == ["489434", "489435", "C489449", "489464"]
    assert sending[1].order["ordered_at"] == "2010-07-01T12:00:00+01:00"
    assert sending[1].order["customer"] is None


@pytest.mark.parametrize("name", known_maps())
def test_every_column_map_can_be_read(name: str) -> None:
    assert read_map(name).description


def test_a_broken_column_map_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[headers]\n")
    with pytest.raises(MapFault, match="mine"):
        read_map(str(tmp_path / "mine.toml"))


ENTITIES = {
    "reps": "id,name,email,time_zone,default_owner,manager_id\nr1,Ann,ann@x.example,Europe/Berlin,true,\n"
    "r2,Bob,,Mars/Base,false,r1\nr3,Cy,,,,r9\n",
    "territories": "id,name,region,rep_id,valid_from\nt1,North,N,r1,2026-01-01\n",
    "customers": "id,name,status,internal,parent_id,territory_id\nc1,Contoso,active,false,,t1\n"
    "c2,Branch,active,false,c1,\nc3,Ghost,asleep,false,,\nc1,Twice,active,false,,\n",
    "products": "id,name,category,list_price,units_per_pack,substitutes\n"
    "A,Drill,Tools,9.90,1,B\nB,Bit,Tools,1.50,10,A;C\n"
    "C,Saw,Tools,-1,1,\nD,Hammer,Tools,5,,A\n",
    "costs": "product_id,valid_from,cost,currency\nA,2026-01-01,4.20,EUR\nA,2026-13-01,4.20,EUR\nZ,2026-01-01,1,EUR\n",
    "price-breaks": "product_id,min_quantity,unit_price,currency,valid_from\nA,10,8.90,EUR,2026-01-01\n",
    "assignments": "customer_id,rep_id,valid_from\nc1,r1,2026-01-01\n",
    "targets": "rep_id,period_start,period_end,amount,currency\nr1,2026-01-01,2026-03-31,90000,EUR\n",
    "exchange-rates": "currency,valid_on,rate\nGBP,2026-01-01,1.15\nusd,2026-01-01,0.9\n",
    "price-agreements": "customer_id,segment,product_id,category,unit_price,currency,valid_from,valid_to\n"
    "c1,,A,,8.50,EUR,2026-01-01,2026-12-31\n,trade,,Tools,7,,,\n,,A,,8,,,\nc1,trade,A,,8,,,\n"
    "c1,,,,8,,,\nc1,,A,,8,,2026-02-01,2026-01-31\nc9,,A,,8,,,\n",
    "contacts": "id,customer_id,at,channel,by,result\nk1,c1,2026-01-05T10:00:00+01:00,phone,Ann,won\n"
    "k2,c1,2026-01-06,mail,,\nk3,c1,yesterday,,,\nk4,c1,2026-01-06T25:00,,,\nk5,,2026-01-06,,,\n",
    "holds": "customer_id,kind,valid_from,valid_to,reference,note\nc1,Complaint,2026-01-05,,T-1,Wrong colour\n"
    "c1,complaint,2026-01-05,2026-01-07,T-2,\nc1,complaint,2026-01-05,,T-2,\nc1,strike,2026-01-05,,,\n"
    "c1,credit_hold,,,,\nc1,credit_hold,2026-01-05,2026-01-04,,\n",
}
REJECTED = {
    "reps": {"2": "time_zone", "3": "manager_id"},
    "customers": {"3": "status", "4": "earlier row"},
    "products": {"3": "list_price", "2": "substitutes “C”", "1": "substitutes “B”", "4": "substitutes “A”"},
    "costs": {"2": "valid_from", "3": "product_id “Z” is not known"},
    "exchange-rates": {"2": "currency"},
    "price-agreements": {
        "3": "customer_id or segment is missing",
        "4": "customer_id and segment exclude each other",
        "5": "product_id or category is missing",
        "6": "valid_to is before valid_from",
        "7": "customer_id “c9” is not known",
    },
    "contacts": {"3": "at “yesterday” is no time", "4": "is no time", "5": "customer_id is missing"},
    "holds": {
        "3": "earlier row",
        "4": "is none of credit_hold, complaint, other",
        "5": "valid_from is missing",
        "6": "valid_to is before valid_from",
    },
}


@pytest.mark.parametrize("is_dry", [False, True], ids=["for good", "dry"])
def test_every_entity_comes_in_with_its_faults_named(context: Context, tmp_path: Path, is_dry: bool) -> None:
    products = "id,name,category\nA,Drill,Tools\n"
    for entity, content in ENTITIES.items():
        file, rejects = tmp_path / f"{entity}.csv", tmp_path / f"{entity}.rejects.csv"
        file.write_text(content)
        for dry in [["--dry-run"], []] if is_dry else [[]]:
            done = run(context, entity, file, "--rejects", rejects, *dry)
            assert done.exit_code == 0, done.output
        if entity in REJECTED:
            with rejects.open() as opened:
                told = {row["rejected_row"]: row["rejected_because"] for row in csv.DictReader(opened)}
            assert told.keys() == REJECTED[entity].keys()
            assert all(REJECTED[entity][row] in reason for row, reason in told.items())
        else:
            assert not rejects.exists()
        if entity == "products":
            file.write_text(products)
            run(context, entity, file)
    found = rows(
        context.database,
        "SELECT (SELECT count(*) FROM customer), (SELECT count(*) FROM customer WHERE parent_id IS NOT NULL),"
        " (SELECT count(*) FROM product), (SELECT count(*) FROM product_cost), (SELECT count(*) FROM price_break),"
        " (SELECT count(*) FROM assignment), (SELECT count(*) FROM target), (SELECT count(*) FROM fx_rate),"
        " (SELECT count(*) FROM price_agreement), (SELECT count(*) FROM contact), (SELECT count(*) FROM hold)",
    )
    assert found == [(2, 1, 1, 1, 1, 2, 1, 1, 2, 2, 2)]
    same = '"user".rep_id = rep.id AND ("user".name, "user".time_zone) = (rep.name, rep.time_zone)'
    lost = f'SELECT count(*) FROM rep WHERE NOT EXISTS (SELECT FROM "user" WHERE {same})'
    assert rows(context.database, lost) == [(0,)], "every rep is a user"


@pytest.mark.parametrize(
    ("entity", "content", "reasons"),
    [
        pytest.param(
            "reps",
            'id,name,email\nr1,Ann,nobody\nr2,Bob,"b@x.example\nBcc: c@x.example"\nr3,Cy,c@x.example\n'
            "r4,Di,d@x.example;e@x.example\nr5,Ed,e\x07@x.example\nr6,Fay,f..f@x.example\nr7,Gus,<g@x.example>\n",
            dict.fromkeys("124567", "is no mail address"),
            id="mail addresses of reps",
        ),
        pytest.param(
            "customers",
            "id,name,parent_id\nc1,Contoso,c1\nc2,Branch,\n",
            {"1": "parent_id is the customer itself"},
            id="a customer below itself",
        ),
        pytest.param(
            "exchange-rates",
            "currency,valid_on,rate\nEUR,2026-01-01,1.2\nEUR,2026-01-02,1.0\nGBP,2026-01-01,1.2\n",
            {"1": "rate must be 1"},
            id="the base currency",
        ),
        pytest.param(
            "targets",
            "rep_id,period_start,period_end,amount\nr1,2026-03-31,2026-01-01,5\nr1,2026-01-01,2026-01-01,5\n",
            {"1": "period_end is before period_start"},
            id="a period that ends before it begins",
        ),
        pytest.param(
            "price-breaks",
            "product_id,min_quantity,unit_price\nA,0,1\nA,-1,1\nA,1,1\n",
            {"1": "min_quantity “0” must be > 0", "2": "must be > 0"},
            id="a break at nothing",
        ),
    ],
)
def test_rows_that_make_no_sense_are_refused(
    context: Context, tmp_path: Path, entity: str, content: str, reasons: dict[str, str]
) -> None:
    for master, known in (("reps", "id,name\nr1,Ann\n"), ("products", "id,name\nA,Drill\n")):
        (tmp_path / "master.csv").write_text(known)
        run(context, master, tmp_path / "master.csv")
    file, rejects = tmp_path / "file.csv", tmp_path / "rejects.csv"
    file.write_text(content)
    assert run(context, entity, file, "--rejects", rejects).exit_code == 0
    with rejects.open(newline="") as opened:
        told = {row["rejected_row"]: row["rejected_because"] for row in csv.DictReader(opened)}
    assert told.keys() == reasons.keys()
    assert all(reasons[row] in reason for row, reason in told.items())


def test_a_second_file_updates_and_leaves_alone_what_it_does_not_say(
    context: Context, tmp_path: Path
) -> None:
    file = tmp_path / "customers.csv"
    for content in ("id,name,phone\nc1,Contoso,123\n", "id,name,segment\nc1,Contoso AG,Retail\n"):
        file.write_text(content)
        run(context, "customers", file)
    assert rows(context.database, "SELECT name, phone, segment FROM customer") == [
        ("Contoso AG", "123", "Retail")
    ]


def test_what_was_agreed_and_said_and_held_is_brought_up_to_date(context: Context, tmp_path: Path) -> None:
    file = tmp_path / "file.csv"
    for entity, *contents in (
        ("customers", "id\nc1\n"),
        ("products", "id\nA\n"),
        (
            "price-agreements",
            "customer_id,product_id,unit_price,valid_from,valid_to\nc1,A,8.50,2026-01-01,2026-12-31\n",
            "customer_id,product_id,unit_price,valid_from\nc1,A,8.40,2026-01-01\nc1,A,8,2026-07-01\n",
        ),
        (
            "contacts",
            "id,customer_id,at,channel\nk1,c1,2026-07-01 10:00,phone\n",
            "id,customer_id,at,result\nk1,c1,2026-07-01T10:00Z,won\n",
        ),
        (
            "holds",
            "customer_id,kind,valid_from,note\nc1,complaint,2026-01-05,Wrong colour\n",
            "customer_id,kind,valid_from,valid_to\nc1,complaint,2026-01-05,2026-01-09\n",
        ),
    ):
        for content in contents * 2:
            file.write_text(content)
            assert "0 rejected" in run(context, entity, file).output

    def stored(query: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in rows(context.database, query)]

    assert stored("SELECT unit_price, valid_from, valid_to FROM price_agreement ORDER BY valid_from") == [
        (Decimal("8.4"), date(2026, 1, 1), date(2026, 12, 31)),
        (8, date(2026, 7, 1), None),
    ]
    assert stored("SELECT at AT TIME ZONE 'UTC', channel, result FROM contact") == [
        (datetime(2026, 7, 1, 10), "phone", "won")
    ]
    assert stored("SELECT valid_to, note FROM hold") == [(date(2026, 1, 9), "Wrong colour")]


def test_times_without_an_offset_are_in_the_company_s_zone(context: Context, tmp_path: Path) -> None:
    context.settings = context.settings.model_copy(update={"time_zone": "Europe/Berlin"})
    file = tmp_path / "file.csv"
    for entity, content in (
        ("customers", "id\nc1\n"),
        ("contacts", "id,customer_id,at\n1,c1,2026-07-01T10:00\n2,c1,2026-07-01T10:00Z\n3,c1,2026-01-01\n"),
    ):
        file.write_text(content)
        assert run(context, entity, file).exit_code == 0
    at = "SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24') FROM contact ORDER BY external_id"
    assert [row[0] for row in rows(context.database, at)] == [
        "2026-07-01 08",
        "2026-07-01 10",
        "2025-12-31 23",
    ]


def test_a_new_default_owner_takes_the_place_of_the_old(context: Context, tmp_path: Path) -> None:
    file = tmp_path / "reps.csv"
    for content in (
        "id,name,default_owner\nr1,Ann,true\nr2,Bob,false\n",
        "id,name,default_owner\nr2,Bob,true\n",
    ):
        file.write_text(content)
        assert run(context, "reps", file).exit_code == 0
    owners = rows(context.database, "SELECT external_id, is_default_owner FROM rep ORDER BY 1")
    assert owners == [("r1", False), ("r2", True)]


def test_a_file_without_a_required_column_is_refused(context: Context, tmp_path: Path) -> None:
    file = tmp_path / "costs.csv"
    file.write_text("product_id,valid_from\nA,2026-01-01\n")
    done = run(context, "costs", file)
    assert (done.exit_code, "no column cost" in done.output) == (1, True)


def test_parquet_is_read_like_csv(context: Context, tmp_path: Path) -> None:
    file = tmp_path / "rates.parquet"
    duckdb.sql(
        f"COPY (SELECT 'GBP' AS currency, DATE '2026-01-01' AS valid_on, 1.15::DOUBLE AS rate) TO '{file}'"
    )
    assert run(context, "exchange-rates", file).exit_code == 0
    assert rows(context.database, "SELECT currency, rate::float8 FROM fx_rate") == [("GBP", 1.15)]


def test_a_quarantined_conflict_can_be_accepted(
    context: Context, database: Database, database_url: str
) -> None:
    ingest = ingest_on(database, database_url)
    ingest.hook(an_order())
    waiting = ingest.hook(an_order(number="other")).get_json()["id"]

    def ask(*arguments: str) -> str:
        return CliRunner().invoke(quarantine, arguments, obj=context).output

    assert waiting in ask("list")
    assert '"number": "other"' in ask("show", waiting)
    assert "still" in ask("replay", waiting)
    assert "newer" in ask("replay", waiting, "--accept")
    assert ask("list") == ""
    assert ingest.rows("SELECT id::text, version, revision FROM event WHERE is_current") == [(waiting, 1, 2)]
    assert ingest.rows(
        "SELECT count(*) FROM task WHERE key = (SELECT id::text FROM event WHERE is_current)"
    ) == [(1,)]


def test_the_sender_s_next_version_is_newer_than_an_accepted_one(
    context: Context, database: Database, database_url: str
) -> None:
    ingest = ingest_on(database, database_url)
    ingest.hook(an_order())
    waiting = ingest.hook(an_order(number="other")).get_json()["id"]
    CliRunner().invoke(quarantine, ["replay", waiting, "--accept"], obj=context)
    assert ingest.hook(an_order(version=2, number="next")).get_json()["status"] == "accepted"
    assert ingest.rows("SELECT version, revision FROM event WHERE is_current") == [(2, 3)]


def test_a_number_that_comes_after_an_import_without_versions_is_newer(
    context: Context, database: Database, database_url: str, tmp_path: Path
) -> None:
    ingest = ingest_on(database, database_url)
    file = tmp_path / "history.csv"
    file.write_text("order_id,ordered_at,currency,customer_id,sku,quantity,unit_price\n"
                    "o1,2026-03-02T09:00:00+00:00,EUR,c1,A,3,2.5\n")  # fmt: skip
    run(context, "orders", file)
    assert ingest.hook(an_order(version=2, status="cancelled")).get_json()["status"] == "accepted"
    assert ingest.hook(an_order(version=3, status="confirmed")).get_json()["status"] == "accepted"


def test_an_export_made_before_an_edit_does_not_roll_it_back(
    context: Context, database: Database, database_url: str, tmp_path: Path
) -> None:
    ingest = ingest_on(database, database_url)
    line = {"sku": "A", "quantity": "3", "unit_price": "2.50"}
    ingest.hook(an_order(customer={"id": "c1"}, lines=[line]))
    ingest.hook(an_order(customer={"id": "c1"}, lines=[line | {"quantity": "4"}], version=2))
    file = tmp_path / "before.csv"
    file.write_text("order_id,ordered_at,currency,customer_id,sku,quantity,unit_price\n"
                    "o1,2026-03-02T09:00:00+00:00,EUR,c1,A,3,2.5\n")  # fmt: skip
    assert "1 older version" in run(context, "orders", file, "--dry-run").output
    assert "1 older version" in run(context, "orders", file).output
    assert ingest.rows("SELECT version FROM event WHERE is_current") == [(2,)]


def test_a_repeat_by_import_raises_the_version(
    context: Context, database: Database, database_url: str, tmp_path: Path
) -> None:
    ingest = ingest_on(database, database_url)
    line = {"sku": "A", "quantity": "3", "unit_price": "2.50"}
    ingest.hook(an_order(customer={"id": "c1"}, lines=[line]))
    file = tmp_path / "same.csv"
    file.write_text("order_id,version,ordered_at,currency,customer_id,sku,quantity,unit_price\n"
                    "o1,7,2026-03-02T09:00:00+00:00,EUR,c1,A,3,2.5\n")  # fmt: skip
    assert "1 duplicate" in run(context, "orders", file).output
    assert ingest.rows("SELECT version, revision FROM event") == [(7, 1)]
    assert ingest.hook(an_order(version=5, number="old")).get_json()["status"] == "stale"


def test_what_can_be_read_today_is_taken_in(context: Context, database: Database, database_url: str) -> None:
    ingest = ingest_on(database, database_url)
    waiting = ingest.hook({"id": "o1"}).get_json()["id"]
    repaired = (
        b'{"type": "order.created", "data": {"id": "o1", "ordered_at": "2026-01-01T00:00:00Z", "lines": []}}'
    )
    with database.transaction() as connection:
        connection.exec_driver_sql("UPDATE event SET body = %b", (repaired,))
    done = CliRunner().invoke(quarantine, ["replay", waiting], obj=context)
    assert "new" in done.output
    assert ingest.rows("SELECT state, is_current, external_id FROM event") == [("accepted", True, "o1")]


def test_a_replay_keeps_its_first_receipt(context: Context, database: Database, database_url: str) -> None:
    ingest = ingest_on(database, database_url)
    waiting = ingest.hook(an_order(lines=[{"sku": "A", "quantity": "1"}])).get_json()["id"]
    ingest.hook(an_order(version=None))
    repaired = json.dumps({"type": "order.created", "data": an_order(number="first")}).encode()
    with database.transaction() as connection:
        connection.exec_driver_sql("UPDATE event SET body = %b WHERE state = 'quarantined'", (repaired,))
    assert "stale" in CliRunner().invoke(quarantine, ["replay", waiting], obj=context).output
    assert ingest.rows("SELECT id::text FROM event WHERE is_current") != [(waiting,)]


def test_replaying_what_is_still_bad_fails_with_one_line(
    context: Context, database: Database, database_url: str
) -> None:
    waiting = ingest_on(database, database_url).hook({"id": "o1"}).get_json()["id"]
    done = CliRunner().invoke(quarantine, ["replay", waiting], obj=context)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == f"{waiting}: still Field required; Field required\n"


def test_replaying_what_is_not_there_fails(context: Context) -> None:
    unknown = "5c3b0d0e-0000-4000-8000-000000000000"
    done = CliRunner().invoke(quarantine, ["replay", unknown], obj=context)
    assert done.exit_code == 1
    assert f"{unknown}: not in quarantine" in done.output


@pytest.mark.needs_reference
def test_fifteen_months_of_a_real_wholesaler_settle_to_the_penny(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Path(__file__).parents[2] / "../shared/data/online_retail_ii/lines.parquet"
    if not file.exists():
        pytest.skip("the reference data is not beside the checkout")
    columns = read_map("online_retail")
    request = OrdersRequest(
        file, "standard", columns, Window(date(2010, 11, 29), date(2010, 12, 13)), ZoneInfo("Europe/London"), "GBP",
        tmp_path / "rejects.csv", is_dry_run=False,
    )  # fmt: skip
    monkeypatch.setattr(importing, "BATCH_ORDERS", 100)
    report: Report = import_orders(context.database, request)
    with duckdb.connect() as connection:
        asked = connection.execute(
            "SELECT sum(quantity * CAST(unit_price AS DECIMAL(18, 4))) FILTER (WHERE NOT overlap_copy),"
            f" count(*) FILTER (WHERE overlap_copy) FROM '{file}'"
            " WHERE invoice_ts >= '2010-11-29' AND invoice_ts < '2010-12-13'"
        )
        [(worth, copies)] = asked.fetchall()
    assert report.is_settled
    assert (report.account.stored.net, report.account.entries["rejected"].rows) == (worth, copies)
    assert report.in_database == worth


def test_a_cancellation_at_version_2_applies_to_an_order_imported_without_a_version(
    context: Context, history: Path, database: Database, database_url: str
) -> None:
    run(context, "orders", history)
    ingest = ingest_on(database, database_url)
    assert ingest.hook(an_order(id="o1", version=2, status="cancelled")).get_json()["status"] == "accepted"
    history.write_text(f"{HEADER}\no1,,2026-01-05T10:00:00Z,c1,,,,,D,1,1.00\n")
    assert "1 newer" in run(context, "orders", history).output
    assert ingest.hook(an_order(id="o1", version=3)).get_json()["status"] == "accepted"


def test_a_cost_is_rounded_to_the_even_digit_as_by_webhook(context: Context, tmp_path: Path) -> None:
    file = tmp_path / "costs.csv"
    file.write_text("order_id,ordered_at,sku,quantity,unit_price,cost\n"
                    "o1,2026-01-05,A,1,5,1.00005\no1,2026-01-05,B,1,5,1.00015\n")  # fmt: skip
    assert run(context, "orders", file).exit_code == 0
    assert rows(context.database, "SELECT base_unit_cost::text FROM order_line ORDER BY line_no") == [
        ("1.0000",),
        ("1.0002",),
    ]
