"""Many deliveries at once: in few transactions, each endpoint apart, and each until its signal expires."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import event, text

from services.alerts import jobs
from services.alerts.channel import Channel, ChannelConfig, OutboundMessage, Receipt, Send, Unavailable
from services.explain import explain
from shared.db import Database
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

FAST, SLOW = "https://fast.example", "https://slow.example"
Answer = Callable[[OutboundMessage], Receipt]
Use = Callable[[Answer], None]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    """Have endpoints answer as told."""

    def put(answer: Answer) -> None:
        @contextmanager
        def opened(_config: ChannelConfig) -> Iterator[Send]:
            yield answer

        channel = Channel("webhook", opened, lambda *_: None)
        monkeypatch.setattr(jobs, "installed_channels", lambda: {"webhook": channel})

    return put


def alerts_for(database: Database, number: int, *addresses: str, **given: object) -> None:
    """As many urgent alerts, each about a product of its own, and endpoints that hear of all."""
    with database.transaction() as connection:
        customer = a_customer(connection, a_rep(connection, email=None))
        for address in addresses:
            connection.execute(
                text("INSERT INTO endpoint (channel, address) VALUES ('webhook', :url)"), {"url": address}
            )
        for each in range(number):
            order = an_order(connection, customer, f"INV-{each}")
            a_signal(
                connection, customer, order, subject=f"product:{each}", urgent=True, selling=False, **given
            )
            decide_task(connection, order)


def outcomes(database: Database) -> Counter[tuple[str, str | None]]:
    """How many attempts at each address ended how."""
    found = rows(
        database,
        "SELECT endpoint.address, outcome FROM attempt JOIN delivery ON delivery.id = delivery_id"
        " JOIN endpoint ON endpoint.id = endpoint_id",
    )
    return Counter((row.address, row.outcome) for row in found)


def test_a_batch_takes_few_transactions_however_many_it_holds(database: Database, use: Use) -> None:
    alerts_for(database, 60, FAST)
    commits: list[object] = []
    event.listen(database.engine, "commit", commits.append)
    use(lambda _message: {"status": 204})

    drain(database, settings(), waits=False)

    assert len(commits) == 3  # deciding, the attempts, their outcomes
    assert outcomes(database) == {(FAST, "sent"): 60}
    assert value(database, "SELECT count(*) FROM delivery WHERE receipt = '{\"status\": 204}'") == 60


def test_a_slow_receiver_is_not_waited_for_and_its_answers_are_recorded(database: Database, use: Use) -> None:
    fast: list[float] = []
    enough = threading.Event()

    def answer(message: OutboundMessage) -> Receipt:
        if message.recipient == SLOW:
            enough.wait(10)
        else:
            fast.append(time.monotonic())
        return None

    alerts_for(database, 20, FAST, SLOW)
    use(answer)
    began = time.monotonic()

    drain(database, settings(), waits=False)
    took = time.monotonic() - began

    assert len(fast) == 20
    assert fast[-1] - began < 3
    assert took < 9
    assert outcomes(database)[SLOW, None] >= 1
    enough.set()
    until = time.monotonic() + 10
    while outcomes(database)[SLOW, None] and time.monotonic() < until:
        time.sleep(0.05)
    assert outcomes(database)[SLOW, None] == 0
    assert outcomes(database)[SLOW, "sent"] >= 1
    due_now(database)
    drain(database, settings(), waits=False)
    assert outcomes(database) == {(FAST, "sent"): 20, (SLOW, "sent"): 20}
    assert value(database, "SELECT max(n) FROM attempt") == 1


def test_what_nobody_expected_costs_one_attempt_of_one_delivery(database: Database, use: Use) -> None:
    alerts_for(database, 5, FAST)
    seen: list[OutboundMessage] = []

    def answer(message: OutboundMessage) -> Receipt:
        seen.append(message)
        if len(seen) == 2:
            raise RuntimeError("a fault of ours")
        return None

    use(answer)

    drain(database, settings(), waits=False)

    assert outcomes(database) == {(FAST, "sent"): 4, (FAST, "unknown"): 1}
    assert value(database, "SELECT detail FROM attempt WHERE outcome = 'unknown'") == (
        "could not be sent: RuntimeError"
    )


def test_a_delivery_expires_with_its_signal(database: Database, use: Use) -> None:
    alerts_for(database, 1, FAST, expires=NOW + timedelta(hours=3))
    use(lambda _message: None)

    drain(database, settings(), waits=False)

    left = value(database, "SELECT expires_at - created_at FROM delivery")
    assert left == timedelta(hours=3)


def test_a_next_try_that_would_come_too_late_is_not_waited_for(database: Database, use: Use) -> None:
    def answer(_message: OutboundMessage) -> Receipt:
        raise Unavailable("busy", retry_after=timedelta(minutes=10))

    alerts_for(database, 1, FAST, expires=NOW + timedelta(minutes=5))
    use(answer)

    drain(database, settings(), waits=False)

    assert rows(database, "SELECT state, reason FROM delivery") == [
        ("expired", "it would be too old at the next try; the last: busy")
    ]
    assert outcomes(database) == {(FAST, "unavailable"): 1}


def test_alerts_of_one_storm_share_their_group_key(database: Database, use: Use) -> None:
    alerts_for(database, 2, FAST)
    rows(database, "UPDATE signal SET product_id = 7 RETURNING id")
    use(lambda _message: None)

    drain(database, settings(), waits=False)

    assert rows(database, "SELECT group_key FROM alert") == [("cross_sell/product:7",)] * 2
    with database.transaction() as connection:
        steps = explain(connection, str(value(database, "SELECT public_id FROM alert")))
    assert any("group cross_sell/product:7" in step.detail for step in steps)
