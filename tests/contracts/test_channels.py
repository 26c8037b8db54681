"""What every channel promises, held against real servers: it sends, or says whether and when to try again."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socket import create_server
from typing import Any
from uuid import UUID, uuid4

import pytest
from standardwebhooks import Webhook

from services.alerts import channels
from services.alerts.channel import (
    Channel,
    ChannelConfig,
    OutboundMessage,
    Receipt,
    Rejected,
    Unavailable,
)
from services.alerts.channels.webhook import active_secrets, secret_of
from services.alerts.http_post import retry_after
from services.alerts.jobs import installed_channels
from tests import http_receiver, mail_sink
from tests.unit.test_alert_message import LINK, VIEW

KEY = "a secret key of more than 32 letters"
NOW = datetime(2026, 11, 20, 7, tzinfo=UTC)


@dataclass(frozen=True)
class Rig:
    """A channel with a real server at its other end."""

    channel: Channel
    setup: ChannelConfig
    recipient: str
    arrived: Callable[[], list[str]]
    answer: Callable[[str], None]

    def send(self, *ids: UUID) -> list[Receipt]:
        """Send messages over one opened channel."""
        with self.channel.open(self.setup) as send:
            return [send(a_message(each, self.recipient)) for each in ids]


def a_message(delivery_id: UUID, recipient: str, secret_number: int = 1) -> OutboundMessage:
    alert = replace(VIEW, customer_name="Café Müller")
    return OutboundMessage(delivery_id, recipient, ((alert, LINK),), NOW, secret_number)


def email_rig(stack: ExitStack) -> Rig:
    sink = stack.enter_context(mail_sink.running())
    answers = {
        "refuse for now": "451 later",
        "refuse for ever": "550 5.1.1 no such user",
        "break down": "421 going away",
    }
    return Rig(
        channel=installed_channels()["email"],
        setup=ChannelConfig(KEY, "Tipoff <tipoff@example.com>", smtp_url=sink.url),
        recipient="ruth@example.com",
        arrived=lambda: [str(mail["Message-ID"]).split("@")[0].strip("<") for mail in sink.mails],
        answer=lambda what: sink.data_answers.append(answers[what]),
    )


def webhook_rig(stack: ExitStack) -> Rig:
    receiver = stack.enter_context(http_receiver.running())
    answers = {"refuse for now": 503, "refuse for ever": 410, "break down": 500}
    return Rig(
        channel=installed_channels()["webhook"],
        setup=ChannelConfig(KEY, "", loopback_origins=frozenset({receiver.url.removesuffix("/hook")})),
        recipient=receiver.url,
        arrived=lambda: [each.headers["webhook-id"] for each in receiver.requests],
        answer=lambda what: receiver.answers.append((answers[what], {})),
    )


def chat_rig(stack: ExitStack, name: str, answers: dict[str, int]) -> Rig:
    receiver = stack.enter_context(http_receiver.running())
    return Rig(
        channel=installed_channels()[name],
        setup=ChannelConfig(KEY, "", loopback_origins=frozenset({receiver.url.removesuffix("/hook")})),
        recipient=receiver.url,
        arrived=lambda: [id_of(json.loads(each.body)) for each in receiver.requests],
        answer=lambda what: receiver.answers.append((answers[what], {})),
    )


def id_of(body: dict[str, Any]) -> str:
    """The delivery's id in a message to Slack, or in one to Teams."""
    if "blocks" in body:
        return str(body["blocks"][-1]["block_id"])
    return str(body["attachments"][0]["content"]["body"][0]["id"])


RIGS = {
    "email": email_rig,
    "slack": lambda stack: chat_rig(
        stack, "slack", {"refuse for now": 503, "refuse for ever": 400, "break down": 500}
    ),
    "teams": lambda stack: chat_rig(
        stack, "teams", {"refuse for now": 429, "refuse for ever": 413, "break down": 502}
    ),
    "webhook": webhook_rig,
}


@pytest.fixture(params=sorted(RIGS))
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """Each channel in turn."""
    with ExitStack() as stack:
        yield RIGS[request.param](stack)


def test_every_channel_is_held_to_these_promises() -> None:
    files = {path.stem for path in Path(str(channels.__file__)).parent.glob("*.py")} - {"__init__"}

    assert set(installed_channels()) == files == set(RIGS)


def test_a_message_arrives_under_its_own_id(rig: Rig) -> None:
    delivery = uuid4()

    rig.send(delivery)

    assert rig.arrived() == [str(delivery)]


def test_what_was_answered_is_the_receipt(rig: Rig) -> None:
    (receipt,) = rig.send(uuid4())

    assert receipt is not None
    assert 200 <= receipt["status"] < 300


def test_a_second_try_carries_the_same_id(rig: Rig) -> None:
    delivery = uuid4()

    rig.send(delivery)
    rig.send(delivery)

    assert rig.arrived() == [str(delivery)] * 2


@pytest.mark.parametrize("what", ["refuse for now", "break down"])
def test_trouble_that_passes_is_unavailable_and_the_next_message_goes_through(rig: Rig, what: str) -> None:
    rig.answer(what)

    with pytest.raises(Unavailable) as failure:
        rig.send(uuid4())
    delivery = uuid4()
    rig.send(delivery)

    assert not failure.value.is_refusal
    assert rig.arrived()[-1] == str(delivery)


def test_trouble_that_stays_is_rejected(rig: Rig) -> None:
    rig.answer("refuse for ever")

    with pytest.raises(Rejected):
        rig.send(uuid4())


def test_a_message_after_a_rejected_one_still_arrives_over_the_same_opening(rig: Rig) -> None:
    rig.answer("refuse for ever")
    delivery = uuid4()

    with rig.channel.open(rig.setup) as send:
        with pytest.raises(Rejected):
            send(a_message(uuid4(), rig.recipient))
        send(a_message(delivery, rig.recipient))

    assert rig.arrived()[-1] == str(delivery)


def test_nobody_at_home_is_unavailable_and_known_not_to_have_arrived(rig: Rig) -> None:
    with create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    origin = f"http://127.0.0.1:{port}"
    setup = ChannelConfig(
        KEY, "t@example.com", f"smtp://127.0.0.1:{port}?starttls=never", frozenset({origin})
    )
    recipient = rig.recipient if rig.channel.is_for_users else f"{origin}/hook"

    with pytest.raises(Unavailable) as failure, rig.channel.open(setup) as send:
        send(a_message(uuid4(), recipient))

    assert failure.value.is_down
    assert not failure.value.is_unknown


@pytest.mark.parametrize(
    "address", ["", "not an address", "a@example.com, b@example.com", "http://10.0.0.1/"]
)
def test_an_address_that_cannot_be_one_is_named_so(rig: Rig, address: str) -> None:
    assert rig.channel.check(address, rig.setup)


def test_one_batch_of_mails_takes_one_connection() -> None:
    with mail_sink.running() as sink:
        setup = ChannelConfig(KEY, "t@example.com", smtp_url=sink.url)
        with installed_channels()["email"].open(setup) as send:
            for _ in range(5):
                send(a_message(uuid4(), "ruth@example.com"))

        assert (len(sink.mails), sink.connections) == (5, 1)


def test_one_batch_of_webhooks_takes_one_connection_as_long_as_the_receiver_keeps_it() -> None:
    with http_receiver.running() as receiver:
        setup = ChannelConfig(KEY, "", loopback_origins=frozenset({receiver.url.removesuffix("/hook")}))
        with installed_channels()["webhook"].open(setup) as send:
            for status in (204, 500, 204, 204):
                receiver.answers = [(status, {})]
                with suppress(Unavailable):
                    send(a_message(uuid4(), receiver.url))
            receiver.answers = [(204, {"connection": "close"})]
            send(a_message(uuid4(), receiver.url))
            send(a_message(uuid4(), receiver.url))

        assert (len(receiver.requests), receiver.connections) == (6, 2)


def test_a_webhooks_receipt_names_the_request_as_the_receiver_does() -> None:
    with http_receiver.running() as receiver:
        receiver.answers = [(202, {"X-Request-Id": "req-7"})]
        setup = ChannelConfig(KEY, "", loopback_origins=frozenset({receiver.url.removesuffix("/hook")}))
        with installed_channels()["webhook"].open(setup) as send:
            assert send(a_message(uuid4(), receiver.url)) == {"status": 202, "id": "req-7"}


def test_a_relay_without_tls_is_not_used_unless_told_to() -> None:
    with mail_sink.running() as sink:
        setup = ChannelConfig(KEY, "t@example.com", smtp_url=sink.url.partition("?")[0])
        with pytest.raises(Unavailable), installed_channels()["email"].open(setup) as send:
            send(a_message(uuid4(), "ruth@example.com"))

        assert sink.mails == []


def mail_outcome(sink: mail_sink.Sink, recipient: str = "ruth@example.com") -> Rejected | Unavailable:
    """How one mail failed."""
    setup = ChannelConfig(KEY, "t@example.com", smtp_url=sink.url)
    with (
        pytest.raises((Rejected, Unavailable)) as failure,
        installed_channels()["email"].open(setup) as send,
    ):
        send(a_message(uuid4(), recipient))
    assert isinstance(failure.value, Rejected | Unavailable)
    return failure.value


@pytest.mark.parametrize(
    "answer",
    ["550 5.1.1 unknown user", "553 5.1.2 no such domain", "551 5.1.6 moved away", "556 5.1.10 null MX"],
)
def test_an_address_that_does_not_exist_is_rejected_and_suppressed(answer: str) -> None:
    with mail_sink.running() as sink:
        sink.rcpt_answers = [answer]

        failure = mail_outcome(sink)

    assert isinstance(failure, Rejected)
    assert failure.suppresses
    assert answer in str(failure)


@pytest.mark.parametrize(
    "answer",
    [
        "552 5.2.2 mailbox full",
        "550 mailbox unavailable",
        "550 5.7.1 policy",
        "530 5.7.0 authentication required",
        "554 5.1.8 bad sender",
        "554 no",
    ],
)
@pytest.mark.parametrize("at", ["recipient", "text"])
def test_any_other_refusal_of_a_relay_waits_until_it_is_repaired(answer: str, at: str) -> None:
    with mail_sink.running() as sink:
        (sink.rcpt_answers if at == "recipient" else sink.data_answers).append(answer)

        failure = mail_outcome(sink)

    assert isinstance(failure, Unavailable)
    assert failure.is_refusal
    assert not failure.is_unknown
    assert answer in str(failure)


def test_an_address_in_another_script_says_nothing_about_the_relay() -> None:
    with mail_sink.running(takes_other_scripts=False) as sink:
        failure = mail_outcome(sink, "почта@пример.example")

        assert isinstance(failure, Unavailable)
        assert failure.is_refusal
        assert not failure.is_down
        assert not failure.is_unknown


@pytest.mark.parametrize(
    ("address", "to"),
    [("ruth@пример.example", "ruth@xn--e1afmkfd.example"), ("почта@example.com", "почта@example.com")],
)
def test_an_address_in_another_script_is_mailed(address: str, to: str) -> None:
    with mail_sink.running() as sink:
        setup = ChannelConfig(KEY, "t@example.com", smtp_url=sink.url)
        with installed_channels()["email"].open(setup) as send:
            send(a_message(uuid4(), address))

        assert sink.recipients == [to]


def test_a_relay_that_thinks_about_a_mail_for_long_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.alerts.channels.email.COMMAND_SECONDS", 0.5)
    with mail_sink.running() as sink:
        sink.seconds = 1.5
        setup = ChannelConfig(KEY, "t@example.com", smtp_url=sink.url)
        with installed_channels()["email"].open(setup) as send:
            send(a_message(uuid4(), "ruth@example.com"))

        assert len(sink.mails) == 1


def test_a_relay_that_hangs_before_it_has_the_text_has_not_taken_the_mail(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.alerts.channels.email.COMMAND_SECONDS", 0.3)
    with mail_sink.running() as sink:
        sink.rcpt_seconds = 2.0

        failure = mail_outcome(sink)

        assert isinstance(failure, Unavailable)
        assert failure.is_down
        assert not failure.is_unknown
        assert sink.mails == []


ANSWERS = [
    ("webhook", 200, {}, None),
    ("webhook", 204, {}, None),
    ("webhook", 302, {"location": "/elsewhere"}, "refusal"),
    ("webhook", 404, {}, "refusal"),
    ("webhook", 408, {}, "later"),
    ("webhook", 410, {}, "gone"),
    ("webhook", 429, {"retry-after": "120"}, "in 120"),
    ("webhook", 500, {}, "later"),
    ("webhook", 503, {"retry-after": "7"}, "in 7"),
    ("slack", 200, {}, None),
    ("slack", 302, {"location": "/elsewhere"}, "refusal"),
    ("slack", 400, {}, "rejected"),
    ("slack", 401, {}, "refusal"),
    ("slack", 403, {}, "gone"),
    ("slack", 404, {}, "gone"),
    ("slack", 410, {}, "gone"),
    ("slack", 413, {}, "rejected"),
    ("slack", 429, {"retry-after": "30"}, "in 30"),
    ("slack", 500, {}, "later"),
    ("teams", 202, {}, None),
    ("teams", 302, {"location": "/elsewhere"}, "refusal"),
    ("teams", 400, {}, "rejected"),
    ("teams", 401, {}, "refusal"),
    ("teams", 403, {}, "refusal"),
    ("teams", 404, {}, "gone"),
    ("teams", 413, {}, "rejected"),
    ("teams", 429, {"retry-after": "30"}, "in 30"),
    ("teams", 429, {}, "later"),
    ("teams", 502, {}, "later"),
]
"""What each answer means: a redirect is a refusal and is not followed; 429 and 503 may say when."""


@pytest.mark.parametrize(("channel", "status", "headers", "expected"), ANSWERS)
def test_what_an_answer_means(
    channel: str, status: int, headers: dict[str, str], expected: str | None
) -> None:
    with ExitStack() as stack:
        receiver = stack.enter_context(http_receiver.running())
        receiver.answers = [(status, headers)]
        setup = ChannelConfig(KEY, "", loopback_origins=frozenset({receiver.url.removesuffix("/hook")}))
        send = stack.enter_context(installed_channels()[channel].open(setup))

        assert outcome(lambda: send(a_message(uuid4(), receiver.url))) == expected
        assert len(receiver.requests) == 1


def outcome(send: Callable[[], Receipt]) -> str | None:
    """How a send ended, in a word."""
    try:
        send()
    except Rejected as error:
        return "gone" if error.disables else "rejected"
    except Unavailable as error:
        if error.retry_after is not None:
            return f"in {error.retry_after.total_seconds():.0f}"
        return "refusal" if error.is_refusal else "later"
    return None


CALLED = sorted(name for name, each in installed_channels().items() if not each.is_for_users)


@pytest.mark.parametrize("channel", CALLED)
@pytest.mark.parametrize("how", ["drip_seconds", "delay_seconds"])
def test_a_receiver_that_answers_too_late_is_cut_off_and_its_outcome_is_unknown(
    channel: str, how: str
) -> None:
    with ExitStack() as stack:
        receiver = stack.enter_context(http_receiver.running())
        setattr(receiver, how, {"drip_seconds": 0.05, "delay_seconds": 2.0}[how])
        origins = frozenset({receiver.url.removesuffix("/hook")})
        setup = ChannelConfig(KEY, "", loopback_origins=origins, deadline_seconds=1.0)
        send = stack.enter_context(installed_channels()[channel].open(setup))
        began = time.monotonic()

        with pytest.raises(Unavailable) as failure:
            send(a_message(uuid4(), receiver.url))

        assert time.monotonic() - began < 4
        assert failure.value.is_unknown
        assert len(receiver.requests) == 1


def test_a_webhook_is_signed_so_that_the_standards_own_library_believes_it() -> None:
    with ExitStack() as stack:
        receiver = stack.enter_context(http_receiver.running())
        setup = ChannelConfig(KEY, "", loopback_origins=frozenset({receiver.url.removesuffix("/hook")}))
        send = stack.enter_context(installed_channels()["webhook"].open(setup))

        send(replace(a_message(uuid4(), receiver.url, secret_number=2), now=datetime.now(UTC)))

        (request,) = receiver.requests
        for number in (1, 2):
            secret = secret_of(KEY, receiver.url, number)
            event = Webhook(secret).verify(request.body, request.headers)
            assert event["type"] == "alert.raised"
            assert event["data"]["customer"]["name"] == "Café Müller"


def test_secrets_differ_by_endpoint_and_number_and_two_are_active() -> None:
    assert active_secrets(KEY, "https://a.example/", 3) == [
        secret_of(KEY, "https://a.example/", 3),
        secret_of(KEY, "https://a.example/", 2),
    ]
    assert len(active_secrets(KEY, "https://a.example/", 1)) == 1
    assert secret_of(KEY, "https://a.example/", 1) != secret_of(KEY, "https://b.example/", 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ("5", timedelta(seconds=5)),
        ("99999999999999999999", timedelta(days=1)),
        ("soon", None),
        ("-5", None),
        ("Thu, 01 Jan 2026 00:01:00 GMT", timedelta(seconds=60)),
        ("Wed, 31 Dec 2025 00:00:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str | None, expected: timedelta | None) -> None:
    assert retry_after(text, datetime(2026, 1, 1, tzinfo=UTC)) == expected


@pytest.mark.parametrize("channel", CALLED)
def test_an_address_in_our_own_network_is_rejected_before_anything_is_sent(channel: str) -> None:
    with (
        http_receiver.running() as receiver,
        installed_channels()[channel].open(ChannelConfig(KEY, "")) as send,
    ):
        with pytest.raises(Rejected):
            send(a_message(uuid4(), receiver.url))

        assert receiver.requests == []
