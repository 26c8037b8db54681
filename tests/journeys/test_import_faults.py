"""Files as people really make them: each comes in, or ends in a line that says what to do, never in a traceback."""

import csv
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from services.ingest.commands import import_
from shared.db import UNHURRIED, Database
from shared.settings import Settings
from tests.ingest_service import rows

csv.field_size_limit(1 << 20)
ORDERS = "order_id,ordered_at,customer_id,sku,quantity,unit_price,cost\n"
GOOD = "good,2026-01-05T10:00:00Z,c1,A,2,5.00,1\n"
LAST = "last,2026-01-06T10:00:00Z,c2,B,1,7.00,\n"


class Context:
    """What commands are given."""

    def __init__(self, database_url: str) -> None:
        self.settings = Settings.model_validate({"database_url": database_url, "secret_key": "k" * 32})
        self.database = Database(database_url, UNHURRIED)


@pytest.fixture
def context(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    opened = Context(database_url)
    yield opened
    opened.database.close()


def run(context: Context, *arguments: object) -> Result:
    return CliRunner().invoke(import_, [str(each) for each in arguments], obj=context)


def rejected(path: Path) -> dict[int, str]:
    """Reasons by the number of the row."""
    with path.open(newline="") as opened:
        return {int(row["rejected_row"]): row["rejected_because"] for row in csv.DictReader(opened)}


def between(row: str | bytes) -> bytes:
    """A bad row between good ones."""
    bad = row.encode() if isinstance(row, str) else row
    return (ORDERS + GOOD).encode() + bad + b"\n" + LAST.encode()


def an_order(**told: str) -> bytes:
    row = {
        "id": "bad",
        "at": "2026-01-05",
        "who": "c1",
        "sku": "A",
        "quantity": "1",
        "price": "1",
        "cost": "",
    } | told
    return between(",".join(row.values()))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(between("bad,2026-01-05,c1"), "3 values for 7 columns", id="too few values"),
        pytest.param(between("bad,2026-01-05,c1,A,1,1,1,1"), "8 values for 7 columns", id="too many values"),
        pytest.param(between('bad,2026-01-05,c1,"A,1,1,'), "a quote that never ends", id="a quote left open"),
        pytest.param(between('bad,2026-01-05,c1,"A"x,1,1,'), "expected after", id="text after a quote"),
        pytest.param(between("bad,2026-01-05,c1,Bär,1,1,".encode("latin-1")), "not UTF-8", id="another encoding"),
        pytest.param(an_order(sku="A" * 2_000_000), "line is longer than", id="a gigantic field"),
        pytest.param(an_order(sku="A" * 200_000), "at most 200 characters", id="a long field"),
        pytest.param(an_order(at="soon"), "ordered_at", id="no date"),
        pytest.param(an_order(at="1889-01-05"), "between 1990 and tomorrow", id="a date long ago"),
        pytest.param(an_order(at="9999-12-31"), "between 1990 and tomorrow", id="a date far ahead"),
        pytest.param(an_order(at="infinity"), "ordered_at", id="a date without end"),
        pytest.param(an_order(at="2026-02-30"), "ordered_at", id="a day no month has"),
        pytest.param(an_order(quantity="1e400"), "quantity", id="1e400"),
        pytest.param(an_order(quantity="NaN"), "quantity", id="NaN"),
        pytest.param(an_order(price="Infinity"), "unit_price", id="Infinity"),
        pytest.param(an_order(quantity="many"), "quantity", id="a word for a number"),
        pytest.param(an_order(quantity=""), "quantity", id="no quantity"),
        pytest.param(an_order(quantity="99999999", price="99999999"), "amount is out of range", id="overflow"),
        pytest.param(an_order(price="99999999999999999999"), "unit_price", id="a price no column holds"),
        pytest.param(an_order(price="-5"), "negative price", id="a negative price"),
        pytest.param(an_order(cost="-1"), "cost must not be negative", id="a negative cost"),
        pytest.param(an_order(id=" "), "no order id", id="no order id"),
    ],
)  # fmt: skip
def test_a_bad_row_is_one_reject_and_its_neighbours_come_in(
    context: Context, tmp_path: Path, content: bytes, reason: str
) -> None:
    file, rejects = tmp_path / "orders.csv", tmp_path / "refused.csv"
    file.write_bytes(content)
    done = run(context, "orders", file, "--rejects", rejects)
    assert done.exit_code == 0, (done.output, done.exception)
    assert "Settled" in done.output
    [(row, told)] = rejected(rejects).items()
    assert (row, reason in told) == (2, True), told
    assert rows(context.database, "SELECT external_id FROM sales_order ORDER BY 1") == [("good",), ("last",)]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(an_order(quantity="3", price="22638.48"), id="a line worth more than 10,000"),
        pytest.param(an_order(quantity="99999", price="99999"), id="a line worth 9,999,800,001"),
        pytest.param(an_order(quantity="0.0001", price="0.000001"), id="a line worth nothing"),
        pytest.param(an_order(sku="=cmd|' /C calc'!A0"), id="a formula"),
        pytest.param(an_order(sku="A\0B"), id="a NUL"),
        pytest.param(an_order(sku='"A\nB"'), id="a line break in quotes"),
        pytest.param(an_order(sku='5"'), id="an inch"),
        pytest.param(b"\xef\xbb\xbf" + an_order(), id="a byte order mark"),
        pytest.param(an_order().replace(b"\n", b"\r\n"), id="lines as Windows ends them"),
        pytest.param(an_order().replace(b"\n", b"\r"), id="lines as an old Mac ends them"),
        pytest.param(an_order().replace(b",", b";"), id="semicolons"),
        pytest.param(an_order().replace(b"\n", b"\n\n"), id="blank lines"),
        pytest.param(an_order().rstrip(b"\n"), id="a last line without an end"),
        pytest.param(an_order().replace(b"cost", b"surprise"), id="an unknown column"),
        pytest.param(an_order().replace(b"cost", b""), id="a column without a name"),
    ],
)
def test_an_unusual_file_comes_in_whole(context: Context, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "orders.csv"
    file.write_bytes(content)
    done = run(context, "orders", file)
    assert done.exit_code == 0, (done.output, done.exception)
    assert "Settled" in done.output
    stored = rows(context.database, "SELECT external_id FROM sales_order ORDER BY 1")
    assert stored == [("bad",), ("good",), ("last",)], done.output


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        pytest.param(b"", "is empty", id="nothing"),
        pytest.param(b"\n\n", "is empty", id="blank lines alone"),
        pytest.param((ORDERS + GOOD).encode("utf-16"), "is not UTF-8", id="UTF-16"),
        pytest.param((ORDERS + GOOD).encode("utf-16-le"), "is not UTF-8", id="UTF-16 without a mark"),
        pytest.param("größe,".encode("latin-1") + ORDERS.encode(), "is not UTF-8", id="a header in Latin-1"),
        pytest.param(ORDERS.replace("cost", "Sku").encode(), "names a column twice: Sku", id="a header twice"),
        pytest.param(ORDERS.replace("cost", "row_no").encode(), "has a column row_no", id="a name of our own"),
        pytest.param(b'"order_id,ordered_at\n' + GOOD.encode(), "line 1 cannot", id="an open quote on top"),
        pytest.param(b"PK\x03\x04\x14\0\x06\0", "is not UTF-8", id="a spreadsheet"),
        pytest.param(GOOD.encode(), "has no column order_id", id="no header"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_table_ends_in_a_line_and_a_hint(
    context: Context, tmp_path: Path, content: bytes, complaint: str
) -> None:
    file = tmp_path / "orders.csv"
    file.write_bytes(content)
    done = run(context, "orders", file)
    assert isinstance(done.exception, SystemExit), done.exception
    assert (done.exit_code, complaint in done.output) == (1, True), done.output
    assert len(done.output.strip().splitlines()) == 2
    assert "hint: " in done.output


def test_a_file_without_rows_says_so(context: Context, tmp_path: Path) -> None:
    for entity, header in (("orders", ORDERS), ("reps", "id,name\n")):
        file = tmp_path / "none.csv"
        file.write_text(header)
        done = run(context, entity, file)
        assert (done.exit_code, "the file has no rows" in done.output) == (0, True), done.output


def test_an_order_of_which_a_row_cannot_be_read_is_refused_whole(context: Context, tmp_path: Path) -> None:
    file, rejects = tmp_path / "orders.csv", tmp_path / "refused.csv"
    file.write_bytes(between("good,2026-01-05T10:00:00Z,c1"))
    assert "Settled" in run(context, "orders", file, "--rejects", rejects).output
    assert rejected(rejects) == {
        1: "another row of this order cannot be read",
        2: "3 values for 7 columns",
    }
    assert rows(context.database, "SELECT external_id FROM sales_order") == [("last",)]


def test_the_reject_file_never_takes_the_place_of_the_file(context: Context, tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_bytes(an_order(at="soon"))
    done = run(context, "orders", file, "--rejects", file)
    assert (done.exit_code, "would overwrite" in done.output) == (1, True)


MASTER = {
    "products": "id,name\nA,Drill\nB,Bit\n",
    "reps": "id,name\nr1,Ann\n",
    "customers": "id,name\nc1,Contoso\n",
}


@pytest.mark.parametrize(
    ("entity", "header", "good", "bad", "reason"),
    [
        ("products", "id,name,floor_margin", "C,Saw,0.15", "D,Nail,150", "a share from 0 to 1: 15 % is 0.15"),
        ("products", "id,name,floor_margin", "C,Saw,0", "D,Nail,15", "a share from 0 to 1: 15 % is 0.15"),
        ("products", "id,name,list_price", "C,Saw,1e3", "D,Nail,1e400", "is too large"),
        ("products", "id,name,list_price", "C,Saw,.5", "D,Nail,NaN", "is no number"),
        ("products", "id,name,list_price", "C,Saw,9", "D,Nail,1_000", "is no number"),
        ("products", "id,name,list_price", "C,Saw,9", "D,Nail,\uff11\uff10", "is no number"),
        ("products", "id,name,stock", "C,Saw,9", "D,Nail,999999999999999", "is too large"),
        ("products", "id,name", "C,Saw", "D,Na\0il", "NUL"),
        ("products", "id,name", "C,=cmd|' /C calc'!A0", "D,Nail,9", "3 values for 2 columns"),
        ("products", "id,name", "C,Saw", 'D,"Nail', "a quote that never ends"),
        ("products", "id,name", "C,Saw", "D" * 300 + ",Nail", "longer than 200 characters"),
        ("products", "id,name", "C,Saw", "C,Again", "earlier row"),
        ("customers", "id,status", "c2,Blocked", "c3,gesperrt", "is none of active, blocked, closed"),
        ("costs", "product_id,cost,valid_from", "A,1,", "A,2,1990-01-01", "earlier row"),
        ("costs", "product_id,cost,valid_from", "A,1,2026-01-05", "B,-1,", "must be >= 0"),
        ("costs", "product_id,cost,valid_from", "A,1,2026-01-05", "A,2,2026-1-5", "earlier row"),
        ("costs", "product_id,cost,valid_from", "A,1,2026-01-05", "A,2,0026-01-05", "is no date"),
        ("price-breaks", "product_id,min_quantity,unit_price", "A,10,1", "A,10.0,2", "earlier row"),
        ("price-breaks", "product_id,min_quantity,unit_price,currency", "A,1,1,", "A,1,2,EUR", "earlier row"),
        ("price-breaks", "product_id,min_quantity,unit_price", "A,10,1", "A,0.00001,2", "must be > 0"),
        ("reps", "id,name,default_owner", "r1,Ann,true", "r2,Bob,true", "is the default_owner already"),
        ("exchange-rates", "currency,valid_on,rate", "GBP,2026-01-01,1.2", "USD,2026-01-01,1e7", "is too large"),
        ("exchange-rates", "currency,valid_on,rate", "GBP,2026-01-01,1.2", "USD,2026-01-01,1e-12", "must be > 0"),
        ("assignments", "customer_id,rep_id,valid_from", "c1,r1,", "c1,r1,1990-01-01", "earlier row"),
    ],
)  # fmt: skip
def test_a_bad_row_of_master_data_is_one_reject(  # noqa: PLR0917 - a column of the table each
    context: Context, tmp_path: Path, entity: str, header: str, good: str, bad: str, reason: str
) -> None:
    for name, known in MASTER.items():
        (tmp_path / "known.csv").write_text(known)
        assert run(context, name, tmp_path / "known.csv").exit_code == 0
    file, rejects = tmp_path / f"{entity}.csv", tmp_path / "refused.csv"
    file.write_text(f"{header}\n{good}\n{bad}\n")
    done = run(context, entity, file, "--rejects", rejects)
    assert done.exit_code == 0, (done.output, done.exception)
    [(row, told)] = rejected(rejects).items()
    assert (row, reason in told) == (2, True), told
    assert "2 rows read, 1 taken, 1 rejected" in done.output


def test_a_history_whose_amounts_overflow_in_base_currency_comes_in_without_them(
    context: Context, tmp_path: Path
) -> None:
    rates, orders = tmp_path / "rates.csv", tmp_path / "orders.csv"
    rates.write_text("currency,valid_on,rate\nKWD,2026-01-01,9999999\n")
    orders.write_text("order_id,ordered_at,currency,sku,quantity,unit_price,cost\n"
                      "o1,2026-01-05,KWD,A,1,900000000000,900000000000\no2,2026-01-05,KWD,A,1,2,1\n")  # fmt: skip
    assert run(context, "exchange-rates", rates).exit_code == 0
    assert run(context, "orders", orders).exit_code == 0
    stored = rows(
        context.database,
        "SELECT order_line.base_net, base_unit_cost FROM order_line JOIN sales_order ON id = order_id"
        " ORDER BY sales_order.external_id",
    )
    assert [tuple(row) for row in stored] == [(None, None), (19_999_998, 9_999_999)]
