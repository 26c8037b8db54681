"""Journey: a rep waves alerts away, puts them off and changes its mind, and hears what was said it would hear."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text

from services.alerts.jobs import sending_of
from services.alerts.store import inbox, outbox
from services.alerts.web.actions import action_of
from shared.db import Database
from tests import mail_sink
from tests.alert_rows import (
    NOW,
    a_customer,
    a_rep,
    a_signal,
    an_order,
    decide_task,
    drain,
    due_now,
    rows,
    settings,
    value,
)

DAY = timedelta(days=1)


def found(database: Database, number: int, **given: object) -> None:
    """An order of Acme in which something was found."""
    with database.transaction() as connection:
        customer = connection.scalar(text("SELECT id FROM customer WHERE name = 'Acme'"))
        customer = customer or a_customer(connection, a_rep(connection))
        order = an_order(connection, customer, f"INV-{number}")
        a_signal(connection, customer, order, selling=False, **given)
        decide_task(connection, order)


def reasons(database: Database) -> list[str]:
    return [row.reason for row in rows(database, "SELECT reason FROM decision ORDER BY signal_id")]


def act(database: Database, now: datetime = NOW, **form: str) -> str | None:
    """What the rep does with the newest alert, and what the page says of it then."""
    with database.transaction() as connection:
        public_id: UUID = connection.scalar(text("SELECT public_id FROM alert ORDER BY id DESC LIMIT 1"))
        alert = inbox.find(connection, public_id, hold=True)
        assert alert is not None
        done = action_of(form, now, "UTC")
        inbox.act(connection, alert.id, done, now, by="inbox")
        outbox.withdraw_reminders(connection, alert.id)
        if done.until is not None:
            told = settings(business_time=None, smtp_url="smtp://127.0.0.1:9")
            outbox.remind(connection, alert.id, done.until, sending_of(told), now)
        said: str | None = connection.scalar(text("SELECT close_reason FROM alert ORDER BY id DESC LIMIT 1"))
        return said


def later(days: float) -> dict[str, datetime]:
    """When a signal is found so many days later."""
    at = NOW + days * DAY
    return {"as_of": at - timedelta(hours=1), "expires": at + 5 * DAY}


def test_what_is_not_worth_a_call_is_silent_for_its_kind_until_it_grows_or_the_time_is_over(
    database: Database, sink: mail_sink.Sink
) -> None:
    told = settings(smtp_url=sink.url, business_time=None)
    found(database, 1)
    drain(database, told)
    said = act(database, action="dismiss", reason="not_worth_it")
    assert said == (
        "Not worth a call. Nothing of this kind about this customer until 29 May,"
        " unless half as much money again is in it."
    )

    found(database, 2, subject="product:2")
    drain(database, told, NOW + DAY)
    found(database, 3, subject="product:3", value=40)
    drain(database, told, NOW + DAY)
    found(database, 4, subject="product:2", **later(91))
    drain(database, told, NOW + 91 * DAY)

    assert reasons(database) == ["first_time", "dismissed_by_rep", "first_time", "first_time"]


def test_what_was_known_is_no_news_and_silences_nothing_else(
    database: Database, sink: mail_sink.Sink
) -> None:
    told = settings(smtp_url=sink.url, business_time=None)
    found(database, 1)
    drain(database, told)
    act(database, action="dismiss", reason="knew")

    found(database, 2)
    found(database, 3, subject="product:2")
    drain(database, told, NOW + DAY)

    assert reasons(database) == ["first_time", "within_repeat_interval", "first_time"]


def test_of_a_message_only_what_it_is_named_after_is_dismissed_and_it_can_be_undone(
    database: Database, sink: mail_sink.Sink
) -> None:
    told = settings(smtp_url=sink.url, business_time=None)
    found(database, 1, value=90)
    with database.transaction() as connection:
        customer, order = connection.execute(text("SELECT customer_id, order_id FROM signal")).one()
        a_signal(connection, customer, order, kind="up_sell", selling=False)
    drain(database, told)
    act(database, action="dismiss", reason="wrong_item")

    open_kinds = "SELECT kind FROM episode WHERE closed_at IS NULL ORDER BY kind"
    assert rows(database, open_kinds) == [("up_sell",)]

    act(database, action="undo")

    assert rows(database, open_kinds) == [("cross_sell",), ("up_sell",)]
    assert value(database, "SELECT ended_at IS NOT NULL FROM dismissal") is True
    found(database, 2, value=200)
    drain(database, told, NOW + DAY)
    assert reasons(database)[-1] == "much_more_money"


def test_nothing_is_told_of_a_customer_who_has_left_until_it_orders(
    database: Database, sink: mail_sink.Sink
) -> None:
    told = settings(smtp_url=sink.url, business_time=None)
    found(database, 1)
    drain(database, told)
    act(database, action="dismiss", reason="customer_gone")

    found(database, 2, kind="up_sell")
    rows(database, "UPDATE sales_order SET ordered_at = :at RETURNING 1", at=NOW - 9 * DAY)
    drain(database, told, NOW + DAY)
    found(database, 3, kind="half_usual")
    rows(database, "UPDATE sales_order SET ordered_at = :at WHERE number = 'INV-3' RETURNING 1", at=NOW + DAY)
    drain(database, told, NOW + 2 * DAY)

    assert reasons(database) == ["first_time", "dismissed_by_rep", "first_time"]


def test_what_is_put_off_comes_back_by_mail_on_the_morning_it_was_put_off_to(
    database: Database, sink: mail_sink.Sink
) -> None:
    told = settings(smtp_url=sink.url, business_time=None)
    found(database, 1)
    drain(database, told)
    assert len(sink.mails) == 1

    act(database, action="snooze_tomorrow")
    ((send_after, waits),) = rows(
        database, "SELECT send_after, due_at - now() AS waits FROM delivery WHERE state = 'ready'"
    )
    assert (send_after.hour, send_after - NOW < 2 * DAY) == (7, True)
    assert waits > timedelta(hours=12)
    due_now(database)
    drain(database, told, send_after)

    assert len(sink.mails) == 2
    assert sink.mails[0]["Message-ID"] != sink.mails[1]["Message-ID"]


def test_who_changes_its_mind_is_not_reminded(database: Database, sink: mail_sink.Sink) -> None:
    told = settings(smtp_url=sink.url, business_time=None)
    found(database, 1)
    drain(database, told)

    act(database, action="snooze_tomorrow")
    act(database, action="undo")
    act(database, action="snooze_week")
    act(database, action="called")
    due_now(database)
    drain(database, told, NOW + 9 * DAY)

    assert len(sink.mails) == 1
    assert rows(database, "SELECT DISTINCT state FROM delivery ORDER BY state") == [("sent",), ("withdrawn",)]
