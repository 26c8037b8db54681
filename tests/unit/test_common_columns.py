"""A company's own export is understood: its headers in five languages, its dates, decimals and discounts."""

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from services.ingest.imports.columns import MapFault
from services.ingest.imports.trade import Trade, read_trade


def read(folder: Path, *rows: str) -> Trade:
    file = folder / "orders.csv"
    file.write_text("\n".join(rows) + "\n", "utf-8")
    return read_trade(file, None, ZoneInfo("UTC"), datetime(2026, 1, 1, tzinfo=UTC), lambda rows: None)


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(
            ("Order ID,Order Date,Customer ID,Customer Name,Product ID,Product Name,Quantity,Unit Price",
             '7,"03/14/2024",C1,"Acme, Ltd",S1,Saw,10,"1,234.50"'), id="English, months first",
        ),
        pytest.param(
            ("Belegnummer;Datum;Kundennr.;Kundenname;Artikelnummer;Bezeichnung;Menge;Einzelpreis",
             '7;14.03.2024;C1;"Acme, Ltd";S1;Saw;10;1.234,50 €'), id="German",
        ),
        pytest.param(
            ("N° commande;Date de commande;N° client;Nom du client;Référence;Désignation;Quantité;Prix unitaire",
             '7;14/03/2024;C1;"Acme, Ltd";S1;Saw;10;1 234,50'), id="French",
        ),
        pytest.param(
            ("Ordernummer;Orderdatum;Klantnummer;Klantnaam;Artikelnummer;Omschrijving;Aantal;Stukprijs",
             '7;14-03-2024;C1;"Acme, Ltd";S1;Saw;10;€ 1.234,50'), id="Dutch",
        ),
        pytest.param(
            ("Número de pedido;Fecha;Código cliente;Nombre cliente;Código artículo;Descripción;Cantidad;Precio unitario",
             '7;14/03/24 09:30;C1;"Acme, Ltd";S1;Saw;10;1234,50'), id="Spanish, with a clock",
        ),
        pytest.param(
            ("order_no\torder_date\tcustomer_no\tcustomer_name\tsku\titem\tqty\tline_total",
             "7\t2024-03-14T00:00:00\tC1\tAcme, Ltd\tS1\tSaw\t10\t12345"), id="tabs, and the total of a line",
        ),
        pytest.param(
            ("orderNumber,orderDate,customerNumber,customerName,productCode,productName,quantityOrdered,priceEach,Discount",
             '7,14 Mar 2024,C1,"Acme, Ltd",S1,Saw,10,2469,0.5'), id="a discount as a share",
        ),
        pytest.param(
            ("Auftrag;Bestelldatum;Kunden-ID;Kunde;Artikel-Nr.;Artikel;Stück;Preis;Rabatt %",
             '7;14.3.24;C1;"Acme, Ltd";S1;Saw;10;1.371,66666;10'), id="a discount in percent",
        ),
    ],
)  # fmt: skip
def test_an_order_is_the_same_in_every_spelling(tmp_path: Path, rows: tuple[str, ...]) -> None:
    trade = read(tmp_path, *rows)
    (line,) = trade.lines.to_pylist()
    assert str(line["day"]) == "2024-03-14"
    assert (line["quantity"], round(line["net"], 2)) == (10.0, 12345.0)
    assert (trade.customers.ids, trade.customers.names) == ({"C1": 1}, {1: "Acme, Ltd"})
    assert (trade.products.ids, trade.products.names) == ({"S1": 1}, {1: "Saw"})
    assert trade.orders == 1


def test_without_an_order_number_what_is_bought_on_a_day_is_one_order(tmp_path: Path) -> None:
    trade = read(
        tmp_path,
        "Date,Customer,Product,Qty,Price",
        "2024-03-14,Acme,Saw,1,10",
        "2024-03-14,Acme,Axe,1,20",
        "2024-03-15,Acme,Axe,1,20",
    )
    assert trade.orders == 2
    assert trade.customers.ids == {"Acme": 1}


def test_what_is_given_back_cancelled_or_carriage_is_no_trade(tmp_path: Path) -> None:
    trade = read(
        tmp_path,
        "Order;Date;Customer;Product;Qty;Price;Status;Currency;Cost",
        "1;14.03.2024;Acme;Saw;3;10,00;Shipped;€;6,00",
        "1;14.03.2024;Acme;Shipping costs;1;5,00;Shipped;€;",
        "2;15.03.2024;Acme;Saw;1-;10,00;Shipped;€;6,00",
        "3;16.03.2024;Acme;Saw;9;10,00;Cancelled;€;6,00",
    )
    assert [(row["quantity"], row["net"], row["unit_cost"]) for row in trade.lines.to_pylist()] == [
        (3.0, 30.0, 6.0),
        (-1.0, -10.0, 6.0),
    ]
    assert trade.currency == "EUR"


def test_what_is_missing_is_said_in_one_line_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(MapFault) as fault:
        read(tmp_path, "basket,item", "1,bread")
    said, hint = str(fault.value).splitlines()
    assert said.startswith("the file has no column Order date or Ordered at, Customer ID")
    assert said.endswith("it has basket, item")
    assert hint.startswith("hint: ")
