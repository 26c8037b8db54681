"""To each endpoint as many messages at once as it bears, and one that is down is asked once a minute."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from services.alerts import dispatch
from services.alerts.channel import Channel, ChannelConfig, OutboundMessage, Receipt, Send, Unavailable
from services.alerts.dispatch import Dispatcher, NotSent, Outcome
from services.alerts.store.deliveries import Held

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ENDPOINT_ID = uuid4()
ENDPOINT = ("webhook", str(ENDPOINT_ID))


def dispatcher_with(answer: Callable[[OutboundMessage], Receipt]) -> Dispatcher:
    """A dispatcher of one channel, which answers as told."""

    @contextmanager
    def opened(_config: ChannelConfig) -> Iterator[Send]:
        yield answer

    channel = Channel("webhook", opened, lambda *_: None, concurrency=3)
    return Dispatcher({"webhook": channel}, ChannelConfig("key", "from"))


def messages(number: int) -> list[tuple[Held, OutboundMessage]]:
    """As many deliveries to one endpoint."""
    held = [Held(uuid4(), (1,), "webhook", "https://a.example", ENDPOINT_ID, NOW) for _ in range(number)]
    return [(each, OutboundMessage(each.id, each.recipient, (), NOW)) for each in held]


def send(dispatcher: Dispatcher, number: int, late: list[Outcome] | None = None) -> list[Outcome]:
    return dispatcher.send(messages(number), ([] if late is None else late).append, lambda: False)


def down(_message: OutboundMessage) -> Receipt:
    raise Unavailable("no connection", is_down=True)


def test_an_endpoint_gets_no_more_at_once_than_its_channel_allows() -> None:
    at_once: list[int] = []
    running: set[object] = set()
    lock = threading.Lock()

    def answer(message: OutboundMessage) -> Receipt:
        with lock:
            running.add(message.delivery_id)
            at_once.append(len(running))
        time.sleep(0.01)
        with lock:
            running.discard(message.delivery_id)
        return None

    outcomes = send(dispatcher_with(answer), 40)

    assert len(outcomes) == 40
    assert max(at_once) == 3


def test_an_endpoint_that_is_down_is_asked_once_and_the_others_wait() -> None:
    dispatcher = dispatcher_with(down)

    outcomes = send(dispatcher, 10)

    assert sum(isinstance(each.result, Unavailable) for each in outcomes) == 1
    assert sum(isinstance(each.result, NotSent) for each in outcomes) == 9
    assert [each.is_down for each in outcomes if isinstance(each.result, Unavailable)] == [True]


def test_one_broken_connection_does_not_hold_up_an_endpoint_that_answers() -> None:
    broken = Unavailable("the connection broke", is_down=True)
    answers = iter([None, broken, *[None] * 8])
    lock = threading.Lock()

    def answer(_message: OutboundMessage) -> Receipt:
        with lock:
            failure = next(answers)
        if failure is not None:
            raise failure
        return None

    dispatcher = dispatcher_with(answer)

    outcomes = send(dispatcher, 10)

    assert sorted(str(each.result) for each in outcomes) == ["None"] * 9 + ["the connection broke"]
    assert dispatcher.room(ENDPOINT) is None


def test_an_endpoint_that_answered_is_down_after_two_failures_in_succession() -> None:
    is_up = True

    def answer(message: OutboundMessage) -> Receipt:
        return None if is_up else down(message)

    dispatcher = dispatcher_with(answer)
    send(dispatcher, 1)
    is_up = False

    outcomes = send(dispatcher, 10)

    assert sum(isinstance(each.result, Unavailable) for each in outcomes) == 2
    assert sum(isinstance(each.result, NotSent) for each in outcomes) == 8
    assert sorted(each.is_down for each in outcomes if isinstance(each.result, Unavailable)) == [False, True]


def test_a_slow_endpoint_is_sent_what_fits_and_its_outcome_comes_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dispatch, "SLOW_SECONDS", 0.05)
    enough = threading.Event()

    def answer(_message: OutboundMessage) -> Receipt:
        enough.wait(5)
        return {"status": 204}

    dispatcher = dispatcher_with(answer)
    late: list[Outcome] = []

    outcomes = send(dispatcher, 4, late)

    assert [each.result for each in outcomes] == [NotSent("its receiver is slow")] * 3
    assert dispatcher.room(ENDPOINT) == 2
    assert late == []
    assert len(dispatcher.on_their_way()) == 1
    enough.set()
    until = time.monotonic() + 5
    while not late and time.monotonic() < until:
        time.sleep(0.01)
    assert [each.result for each in late] == [{"status": 204}]
