"""`tipoff prove`: from a company's own export to a report, with no database; what is wrong is one line and a hint."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner, Result

from services.cli import main
from services.ingest.imports.trade import Trade, read_trade

HEAD = "order_id,ordered_at,customer_id,customer_name,sku,title,quantity,unit_price\n"


def prove(folder: Path, content: bytes, *options: str) -> Result:
    file = folder / "orders.csv"
    file.write_bytes(content)
    return CliRunner().invoke(main, ["prove", str(file), "--out", str(folder / "report.html"), *options])


def an_export() -> str:
    first = date(2024, 1, 1)
    rows = [
        f"{number}-{day},{first + timedelta(days=day)},C{number},Bär <{number}>,S1,Saw,10,200\n"
        for number in range(12)
        for day in range(number, 300 if number % 3 else 200, 20 + number)
    ]
    return HEAD + "".join(rows)


def test_an_export_becomes_a_report(tmp_path: Path) -> None:
    left_out = "X,2024-05-01,C1,Bär,S1,Saw,many,200\n"
    done = prove(tmp_path, (an_export() + left_out).encode("windows-1252"), "--weeks", "2")
    assert done.exit_code == 0, done.output
    assert "it was read as Windows-1252" in done.output
    assert "One row was left out" in done.output
    assert "orders of 12 customers" in done.output
    report = (tmp_path / "report.html").read_text()
    assert "Whom you would have been told of" in report
    assert "<script" not in report


def trade(folder: Path, content: bytes) -> Trade:
    file = folder / "orders.csv"
    file.write_bytes(content)
    return read_trade(file, None, ZoneInfo("UTC"), datetime.now(UTC), lambda _rows: None)


def test_an_export_of_a_spreadsheet_is_read_in_its_own_letters(tmp_path: Path) -> None:
    read = trade(tmp_path, an_export().encode("windows-1252"))
    assert read.customers.names[1] == "Bär <0>"
    assert (read.encoding, read.refused_rows) == ("windows-1252", 0)


def test_one_row_of_other_letters_does_not_change_the_rest(tmp_path: Path) -> None:
    row = "X,2024-05-01,C1,Bär,S1,Saw,1,200\n"
    read = trade(tmp_path, an_export().encode() + row.encode("windows-1252"))
    assert read.customers.names[1] == "Bär <0>"
    assert (read.encoding, read.refused_rows) == ("utf-8", 1)
    assert str(read.refusal).startswith("not UTF-8")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"", "is empty", id="nothing at all"),
        pytest.param(b"\x00\xff\xfe\x89PNG", "is not UTF-8", id="a picture"),
        pytest.param("Bestellung;Kunde\n1;2\n".encode("utf-16"), "is not UTF-8", id="UTF-16"),
        pytest.param(b"a,b\n1,2\n", "the file has no column", id="columns nobody knows"),
        pytest.param(b"order_id,order_id\n1,2\n", "names a column twice", id="a column twice"),
        pytest.param(
            HEAD.encode(), "no order in orders.csv can be read: it has no rows", id="a header alone"
        ),
        pytest.param(
            (HEAD + '1,yesterday,C,"a,S,"",x,y\n2,31/31/2024,C,n,S,t,many,-\n').encode(),
            "can be read",
            id="rubbish",
        ),
        pytest.param(
            (HEAD + "1,2024-01-01,C1,A,S1,T,1,2\n2,2024-02-01,C1,A,S1,T,1,2\n").encode(),
            "31 days of orders",
            id="a month",
        ),
        pytest.param(
            (HEAD + "1,2024-01-01,C1,A,S1,T,0,2\n2,2025-02-01,C1,A,S1,T,-1,2\n").encode(),
            "hint: ",
            id="nothing sold",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line_and_a_hint(tmp_path: Path, content: bytes, said: str) -> None:
    done = prove(tmp_path, content)
    assert done.exit_code == 1, done.output
    assert isinstance(done.exception, SystemExit)
    assert said in done.output
    assert "hint: " in done.output
    assert len(done.output.splitlines()) <= 4


def test_a_zone_nobody_knows_is_named(tmp_path: Path) -> None:
    done = prove(tmp_path, HEAD.encode(), "--zone", "Narnia")
    assert "there is no time zone 'Narnia'" in done.output
