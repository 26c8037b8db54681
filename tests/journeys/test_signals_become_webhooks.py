"""Journey: an alert reaches a signed webhook, also when the worker dies, the receiver fails, or the order changes."""

import json
from collections.abc import Sequence
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text
from standardwebhooks import Webhook

from services.alerts.channels.webhook import secret_of
from services.alerts.deliver import DeliveryBatch
from services.alerts.dispatch import Outcome
from services.alerts.jobs import delivering_of, periodic
from shared import tasks
from shared.db import Database
from shared.metrics import Metrics
from shared.settings import Settings
from shared.tasks import Handler, Tally
from tests import http_receiver
from tests.alert_rows import (
    NOW,
    a_customer,
    a_rep,
    a_signal,
    an_endpoint,
    an_order,
    decide_task,
    drain,
    due_now,
    rows,
    settings,
    value,
)


def told(receiver: http_receiver.Receiver) -> Settings:
    return settings(loopback_origins=receiver.url.removesuffix("/hook"), recipients="")


def one_order(database: Database, receiver: http_receiver.Receiver) -> tuple[int, int]:
    """A customer with one order and one signal, and an endpoint that hears of every alert."""
    with database.transaction() as connection:
        customer = a_customer(connection, a_rep(connection, email=None))
        order = an_order(connection, customer, "INV-1")
        a_signal(connection, customer, order)
        decide_task(connection, order)
        an_endpoint(connection, receiver.url)
    return customer, order


def test_an_alert_arrives_signed_with_order_customer_and_question(
    database: Database, receiver: http_receiver.Receiver
) -> None:
    one_order(database, receiver)

    drain(database, told(receiver))

    (request,) = receiver.requests
    secret = secret_of("a secret key of more than 32 letters", receiver.url, 1)
    event = Webhook(secret).verify(request.body, request.headers)
    assert request.headers["webhook-id"] == str(value(database, "SELECT id FROM delivery"))
    assert event["type"] == "alert.raised"
    assert event["data"]["order"] == {"id": "INV-1", "source": "standard", "number": "INV-1"}
    assert event["data"]["customer"]["phone"] == "+44 20 7946 0018"
    assert event["data"]["question"] == "Who supplies your drill bits?"
    assert event["data"]["rep"] == {"id": "Ruth", "name": "Ruth", "email": None}
    assert "/inbox/" in event["data"]["link"]  # not the link of the rep's mail, which acts without sign-in
    assert [each["number"] for each in event["data"]["last_orders"]] == ["INV-1"]


class Killed(BaseException):
    """The process ends here, as kill -9 would end it."""


def test_a_crash_between_send_and_record_means_a_second_request_with_the_same_id_and_is_counted(
    database: Database, receiver: http_receiver.Receiver
) -> None:
    one_order(database, receiver)
    rows(
        database,
        "INSERT INTO control (name, value, changed_by) VALUES ('sending_paused', 'true', 't') RETURNING 1",
    )
    drain(database, told(receiver))
    rows(database, "DELETE FROM control RETURNING 1")
    due_now(database)

    with pytest.raises(Killed):
        dying_round(database, told(receiver))
    rows(database, "UPDATE task SET lease_until = now() - interval '1 s' WHERE state = 'leased' RETURNING 1")
    drain(database, told(receiver))

    first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert rows(database, "SELECT n, outcome FROM attempt ORDER BY n") == [(1, "unknown"), (2, "sent")]
    assert rows(database, "SELECT state FROM delivery") == [("sent",)]


def dying_round(database: Database, told: Settings) -> None:
    """Claim and send as a worker does, and die once the receiver has answered."""

    class Dying(DeliveryBatch):
        def _record(self, outcomes: Sequence[Outcome]) -> Tally:
            assert [each.result for each in outcomes] == [{"status": 204}]
            raise Killed

    with database.transaction() as connection:
        batch = tasks.claim(connection, Handler("deliver", lambda _batch: Tally(), batch=20), uuid4())
    Dying(database, delivering_of(told, Metrics("alerts", "test"))).run(batch)


def test_a_receiver_that_is_gone_is_switched_off_and_the_alert_stays_in_the_inbox(
    database: Database, receiver: http_receiver.Receiver
) -> None:
    one_order(database, receiver)
    receiver.answers = [(410, {})]

    drain(database, told(receiver))

    assert value(database, "SELECT state FROM endpoint") == "off"
    assert value(database, "SELECT state FROM delivery") == "dead"
    assert value(database, "SELECT state FROM alert") == "open"


def test_a_busy_receiver_is_given_the_time_it_asks_for(
    database: Database, receiver: http_receiver.Receiver
) -> None:
    one_order(database, receiver)
    receiver.answers = [(429, {"Retry-After": "600"})]

    drain(database, told(receiver))

    waits = value(database, "SELECT extract(epoch FROM run_at - now()) FROM task WHERE kind = 'deliver'")
    assert 590 < waits <= 600


def test_what_grew_too_old_expires_visibly(database: Database, receiver: http_receiver.Receiver) -> None:
    one_order(database, receiver)
    receiver.answers = [(503, {})]
    drain(database, told(receiver))
    rows(database, "UPDATE delivery SET expires_at = now() RETURNING 1")
    due_now(database)

    drain(database, told(receiver))

    assert value(database, "SELECT state FROM delivery") == "expired"
    assert len(receiver.requests) == 1


def newer_version(database: Database, customer: int, order: int, *, finds: bool) -> None:
    """The order is changed: scoring withdraws what it found before, and may find it again."""
    rows(database, "UPDATE sales_order SET version = 2 RETURNING 1")
    rows(database, "UPDATE signal SET withdrawn_at = now(), withdrawn_reason = 'amended' RETURNING 1")
    with database.transaction() as connection:
        if finds:
            a_signal(connection, customer, order, version=2)
        decide_task(connection, order, version=2)


def test_an_amendment_before_sending_replaces_what_would_have_been_said(
    database: Database, receiver: http_receiver.Receiver
) -> None:
    customer, order = one_order(database, receiver)
    receiver.answers = [(503, {})]
    drain(database, told(receiver))
    newer_version(database, customer, order, finds=True)

    drain(database, told(receiver))

    states = rows(
        database, "SELECT notice, state FROM delivery JOIN delivery_item ON delivery_id = id ORDER BY notice"
    )
    assert states == [(1, "withdrawn"), (2, "sent")]
    assert rows(database, "SELECT reason FROM decision ORDER BY signal_id") == [
        ("first_time",),
        ("first_time",),
    ]
    assert value(database, "SELECT count(*) FROM alert") == 1


def test_an_order_cancelled_before_sending_is_never_spoken_of(
    database: Database, receiver: http_receiver.Receiver
) -> None:
    customer, order = one_order(database, receiver)
    receiver.answers = [(503, {})]
    drain(database, told(receiver))
    newer_version(database, customer, order, finds=False)
    due_now(database)

    drain(database, told(receiver))

    assert rows(database, "SELECT state FROM delivery") == [("withdrawn",)]
    assert value(database, "SELECT state FROM alert") == "withdrawn"
    assert len(receiver.requests) == 1


def test_an_amendment_after_sending_marks_the_alert_and_says_nothing_again(
    database: Database, receiver: http_receiver.Receiver
) -> None:
    customer, order = one_order(database, receiver)
    drain(database, told(receiver))
    newer_version(database, customer, order, finds=True)

    drain(database, told(receiver))

    assert len(receiver.requests) == 1
    assert value(database, "SELECT amended_at IS NOT NULL FROM alert")
    assert rows(database, "SELECT verdict, reason FROM decision ORDER BY signal_id") == [
        ("notify", "first_time"),
        ("inbox_only", "amended"),
    ]


def test_a_second_order_in_the_same_episode_says_nothing_new(
    database: Database, receiver: http_receiver.Receiver
) -> None:
    customer, _ = one_order(database, receiver)
    drain(database, told(receiver))
    with database.transaction() as connection:
        order = an_order(connection, customer, "INV-2", at=NOW)
        a_signal(connection, customer, order)
        decide_task(connection, order)

    drain(database, told(receiver))

    assert len(receiver.requests) == 1
    assert rows(database, "SELECT verdict, reason FROM decision ORDER BY signal_id") == [
        ("notify", "first_time"),
        ("suppressed", "within_repeat_interval"),
    ]
    assert value(database, "SELECT count(*) FROM episode") == 1


def test_no_rep_gets_more_than_the_budget_and_every_signal_is_accounted_for(
    database: Database, receiver: http_receiver.Receiver
) -> None:
    one_order(database, receiver)
    with database.transaction() as connection:
        rep = connection.exec_driver_sql("SELECT id FROM rep").scalar_one()
        for number in range(2, 10):
            customer = a_customer(connection, rep, f"Customer {number}")
            order = an_order(connection, customer, f"INV-{number}")
            a_signal(connection, customer, order, value=30 + number)
            decide_task(connection, order)

    drain(database, told(receiver))

    sent = [json.loads(each.body)["data"]["order"]["id"] for each in receiver.requests]
    assert sorted(sent) == ["INV-5", "INV-6", "INV-7", "INV-8", "INV-9"]
    assert rows(database, "SELECT reason, count(*) FROM decision GROUP BY reason ORDER BY reason") == [
        ("first_time", 5),
        ("over_budget", 4),
    ]


def test_the_holdout_is_decided_and_logged_and_nowhere_to_be_seen(
    database: Database, receiver: http_receiver.Receiver
) -> None:
    one_order(database, receiver)
    everyone = told(receiver).model_copy(update={"holdout_percent": 100})

    drain(database, everyone)

    assert receiver.requests == []
    ((verdict, reason, bucket),) = rows(database, "SELECT verdict, reason, holdout_bucket FROM decision")
    assert (verdict, reason) == ("suppressed", "held_out")
    assert 0 <= bucket < 100
    assert value(database, "SELECT count(*) FROM alert") == 0


def test_an_alert_closes_by_itself_when_its_question_is_answered(
    database: Database, receiver: http_receiver.Receiver
) -> None:
    customer, _ = one_order(database, receiver)
    drain(database, told(receiver))
    rows(
        database, "UPDATE episode SET closed_at = now(), close_reason = 'the customer bought it' RETURNING 1"
    )
    with database.transaction() as connection:
        decide_task(connection, an_order(connection, customer, "INV-2", at=NOW))

    drain(database, told(receiver))

    assert rows(database, "SELECT state, close_reason FROM alert") == [
        ("done", "by itself: the customer bought it")
    ]


def test_what_fell_quiet_is_tidied_away_once_a_day(
    database: Database, receiver: http_receiver.Receiver
) -> None:
    one_order(database, receiver)
    drain(database, told(receiver))
    later = told(receiver).model_copy(update={"business_time": NOW + timedelta(days=28)})
    for _ in range(2):
        with database.transaction() as connection:
            for put in periodic(later, lambda: later.business_time or NOW):
                put(connection)

    drain(database, later)

    assert value(database, "SELECT count(*) FROM task WHERE kind = 'tidy'") == 1
    assert rows(database, "SELECT closed_at IS NULL, close_reason FROM episode") == [
        (False, "no new evidence")
    ]
    assert rows(database, "SELECT state, close_reason FROM alert") == [("done", "by itself: no new evidence")]


def test_a_delivery_whose_task_died_does_not_wait_for_ever(
    database: Database, receiver: http_receiver.Receiver
) -> None:
    one_order(database, receiver)
    receiver.answers = [(503, {})]
    drain(database, told(receiver))
    rows(database, "UPDATE task SET state = 'dead' WHERE kind = 'deliver' RETURNING 1")
    rows(database, "UPDATE delivery SET expires_at = now() RETURNING 1")
    with database.transaction() as connection:
        for put in periodic(told(receiver), lambda: NOW):
            put(connection)

    drain(database, told(receiver))

    assert value(database, "SELECT state FROM delivery") == "expired"


def test_an_amendment_of_what_the_rep_has_dealt_with_is_not_brought_up_again(
    database: Database, receiver: http_receiver.Receiver
) -> None:
    customer, order = one_order(database, receiver)
    shadow = told(receiver).model_copy(update={"sending": "shadow"})
    drain(database, shadow)
    rows(database, "UPDATE alert SET state = 'done' RETURNING 1")
    newer_version(database, customer, order, finds=True)

    drain(database, told(receiver))

    assert receiver.requests == []
    assert rows(database, "SELECT state, amended_at IS NOT NULL FROM alert") == [("done", True)]


def test_an_endpoint_that_is_down_is_asked_once_and_others_are_served(
    database: Database, receiver: http_receiver.Receiver
) -> None:
    one_order(database, receiver)
    dead = "http://127.0.0.1:1"
    with database.transaction() as connection:
        connection.execute(
            text("INSERT INTO endpoint (channel, address) VALUES ('webhook', :url)"), {"url": f"{dead}/hook"}
        )
        rep = connection.exec_driver_sql("SELECT id FROM rep").scalar_one()
        for number in (2, 3):
            customer = a_customer(connection, rep, f"Customer {number}")
            order = an_order(connection, customer, f"INV-{number}")
            a_signal(connection, customer, order)
            decide_task(connection, order)
    both = f"{dead} {receiver.url.removesuffix('/hook')}"

    drain(database, settings(loopback_origins=both, recipients=""))

    assert len(receiver.requests) == 3
    parked = (
        "SELECT attempts, error FROM task WHERE kind = 'deliver' AND state = 'ready' ORDER BY attempts, error"
    )
    assert [row.attempts for row in rows(database, parked)] == [
        0,
        0,
        0,
    ]  # asking an endpoint again costs nothing
    assert [row.error for row in rows(database, parked)].count("its endpoint is down") == 2
    assert value(database, "SELECT count(*) FROM attempt") == 4
