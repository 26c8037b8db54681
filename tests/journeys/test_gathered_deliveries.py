"""Journey: a storm is two messages and a morning one list, with every alert in them."""

from email.message import EmailMessage

from sqlalchemy import text

from shared.db import Database
from tests import mail_sink
from tests.alert_rows import (
    NOW,
    a_customer,
    a_rep,
    a_signal,
    an_order,
    decide_day,
    decide_task,
    drain,
    due_now,
    rows,
    settings,
    value,
)


def mispriced(database: Database, orders: range, products: int = 1) -> None:
    """Orders of as many customers of Ruth, each with a product below its floor."""
    with database.transaction() as connection:
        rep = connection.scalar(text("SELECT id FROM rep WHERE name = 'Ruth'")) or a_rep(connection)
        for number in orders:
            customer = a_customer(connection, rep, f"Customer {number}")
            order = an_order(connection, customer, f"INV-{number}")
            product = number % products + 1
            connection.execute(
                text(
                    "INSERT INTO product (id, name) OVERRIDING SYSTEM VALUE VALUES (:id, :name) ON CONFLICT DO NOTHING"
                ),
                {"id": product, "name": f"Drill {product}"},
            )
            signal = a_signal(
                connection, customer, order, subject=f"product:{product}", urgent=True, selling=False
            )
            connection.execute(
                text("UPDATE signal SET product_id = :product, kind = 'below_floor' WHERE id = :signal"),
                {"product": product, "signal": signal},
            )
            decide_task(connection, order)


def body(mail: EmailMessage) -> str:
    part = mail.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


def test_308_mispriced_orders_are_one_urgent_mail_and_one_list_of_the_rest(
    database: Database, sink: mail_sink.Sink
) -> None:
    told = settings(smtp_url=sink.url, business_time=None)
    for orders in (range(1), range(1, 120), range(120, 308)):
        mispriced(database, orders)
        drain(database, told, NOW)

    (first,) = sink.mails
    assert str(first["Subject"]).startswith("Now: Customer 0: ")
    (waits,) = rows(
        database, "SELECT run_at - now() AS left FROM task WHERE kind = 'deliver' AND state = 'ready'"
    )
    assert 25 * 60 < waits.left.total_seconds() <= 30 * 60

    due_now(database)
    drain(database, told, NOW)

    _, rest = sink.mails
    assert rest["Subject"] == "307 to fix: Drill 1"
    assert "247 more stand in the inbox" in body(rest)
    assert (
        value(database, "SELECT count(*) FROM delivery_item JOIN delivery ON delivery.id = delivery_id")
        == 308
    )
    assert value(database, "SELECT count(DISTINCT alert_id) FROM delivery_item") == 308
    assert rows(database, "SELECT DISTINCT state FROM delivery") == [("sent",)]


def test_a_storm_of_many_causes_is_five_mails_and_one_list(database: Database, sink: mail_sink.Sink) -> None:
    told = settings(smtp_url=sink.url, business_time=None)
    mispriced(database, range(40), products=40)
    drain(database, told, NOW)
    mispriced(database, range(40, 60), products=60)
    drain(database, told, NOW)

    assert len(sink.mails) == 5
    due_now(database)
    drain(database, told, NOW)

    assert len(sink.mails) == 6
    assert str(sink.mails[-1]["Subject"]).startswith("55 to fix: Customer")
    assert value(database, "SELECT count(DISTINCT alert_id) FROM delivery_item") == 60


def test_without_an_interval_every_order_is_told_at_once(database: Database, sink: mail_sink.Sink) -> None:
    told = settings(smtp_url=sink.url, business_time=None, group_interval=0)
    mispriced(database, range(8))

    drain(database, told, NOW)

    assert len(sink.mails) == 8


def a_day(database: Database, numbers: range) -> None:
    """As many customers of Ruth of whom a night found something."""
    with database.transaction() as connection:
        rep = connection.scalar(text("SELECT id FROM rep WHERE name = 'Ruth'")) or a_rep(connection)
        for number in numbers:
            customer = a_customer(connection, rep, f"Customer {number}")
            a_signal(connection, customer, None, selling=False, value=20 + number)
            decide_day(connection, customer)


def test_a_day_is_one_list_at_seven_of_what_is_still_open(database: Database, sink: mail_sink.Sink) -> None:
    told = settings(smtp_url=sink.url, business_time=None)
    a_day(database, range(2))
    drain(database, told, NOW)
    a_day(database, range(2, 4))  # what is decided later joins the list that waits
    drain(database, told, NOW)
    assert value(database, "SELECT count(*) FROM delivery") == 1
    rows(
        database,
        "UPDATE alert SET state = 'done' WHERE customer_id = (SELECT max(id) FROM customer) RETURNING 1",
    )

    due_now(database)
    drain(database, told, NOW)

    (mail,) = sink.mails
    assert mail["Subject"] == "3 to call: Customer 2 first"
    assert [each for each in range(4) if f"Customer {each}" in body(mail)] == [0, 1, 2]
