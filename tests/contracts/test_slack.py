"""Messages to Slack keep to Block Kit, say what a rep needs, and hold nothing an upstream could act by."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from services.alerts import chat
from services.alerts.channel import AlertView, ChannelConfig, OperatorNotice, OutboundMessage, Rejected
from services.alerts.channels import slack
from shared.outbound import Response
from tests.unit.test_alert_message import LINK, POINT, VIEW

KEY = "a secret key of more than 32 letters"
NOW = datetime(2026, 11, 20, 7, tzinfo=UTC)
DELIVERY, ENDPOINT = UUID(int=1), UUID(int=2)
LIMITS = {"header": 150, "section": 3000, "button": 75, "value": 2000, "context": 3000, "block_id": 255}


def sent(*views: AlertView, buttons_of: UUID | None = None) -> dict[str, Any]:
    """What is posted about these alerts."""
    shown = tuple((each, LINK) for each in views)
    return slack.payload(OutboundMessage(DELIVERY, "", shown, NOW, buttons_of=buttons_of), KEY)


def faults(body: dict[str, Any]) -> list[str]:
    """What in a message Slack would answer invalid_payload to."""
    found = []
    blocks = body["blocks"]
    if not (isinstance(body["text"], str) and body["text"]):
        found.append("no text to fall back on")
    if not 1 <= len(blocks) <= 50:
        found.append(f"{len(blocks)} blocks")
    ids = [each["block_id"] for each in blocks if "block_id" in each]
    if len(set(ids)) < len(ids) or any(len(each) > LIMITS["block_id"] for each in ids):
        found.append("block ids")
    return found + [fault for each in blocks for fault in BLOCKS[each["type"]](each)]


def text_faults(block: dict[str, Any], text: dict[str, Any], kind: str) -> list[str]:
    """What is wrong with the text of a block."""
    allowed = {"type", "text", "emoji"} if kind == "plain_text" else {"type", "text", "verbatim"}
    is_sound = text["type"] == kind and set(text) <= allowed
    return (
        [] if is_sound and 1 <= len(text["text"]) <= LIMITS[block["type"]] else [f"{block['type']}: {text}"]
    )


def button_faults(block: dict[str, Any]) -> list[str]:
    """What is wrong with the buttons of a block."""
    found = [
        f"button: {each}"
        for each in block["elements"]
        if each["text"]["type"] != "plain_text"
        or len(each["text"]["text"]) > LIMITS["button"]
        or len(each.get("value", "")) > LIMITS["value"]
    ]
    return found if 1 <= len(block["elements"]) <= 25 else [*found, "number of buttons"]


BLOCKS: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "header": lambda block: text_faults(block, block["text"], "plain_text"),
    "section": lambda block: text_faults(block, block["text"], "mrkdwn"),
    "context": lambda block: [
        fault for each in block["elements"] for fault in text_faults(block, each, "mrkdwn")
    ],
    "actions": button_faults,
}


def words(body: dict[str, Any]) -> str:
    """Every text a reader sees."""
    return "\n".join(each["text"]["text"] for each in body["blocks"] if each["type"] in ("header", "section"))


LONG = replace(
    VIEW,
    customer_name="<&>" * 400,
    points=tuple(
        replace(POINT, headline="a & b " * 300, evidence=(("x" * 300, "<" * 3000),) * 9) for _ in "123"
    ),
)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(sent(VIEW), id="one alert"),
        pytest.param(sent(VIEW, buttons_of=ENDPOINT), id="one alert with buttons"),
        pytest.param(sent(LONG, buttons_of=ENDPOINT), id="one with long and strange names"),
        pytest.param(sent(*[replace(LONG, public_id=UUID(int=n)) for n in range(40)]), id="forty long ones"),
        pytest.param(
            sent(replace(VIEW, customer_id=None, about_rep_id=3, about_rep_name="Ruth")), id="about a rep"
        ),
    ],
)
def test_it_keeps_to_the_limits(body: dict[str, Any]) -> None:
    assert faults(body) == []
    assert faults(json.loads(json.dumps(body))) == []


def test_a_rep_reads_what_whom_to_call_and_the_money_with_its_period() -> None:
    body = sent(VIEW)

    assert body["text"] == "Acme Tools: Buys drills, never drill bits"
    assert words(body) == (
        "Acme Tools: Buys drills, never drill bits\n"
        "*Ask:* Who supplies your drill bits?\n"
        "*Call:* Acme Tools, Leeds: +44 20 7946 0018\n"
        "• *Buys drills, never drill bits*: £25 margin to win over 90 days\n"
        "   Bought together: 31 of 40 accounts that buy one buy both"
    )


def test_operators_are_told_in_the_same_form() -> None:
    notice = OperatorNotice("2 messages were not sent", "Look:\n\ntipoff deliveries list <id>")

    body = slack.payload(OutboundMessage(DELIVERY, "", (), NOW, notice=notice), KEY)

    assert faults(body) == []
    assert words(body) == "2 messages were not sent\nLook:\n\ntipoff deliveries list &lt;id&gt;"


def test_several_alerts_are_one_message_with_a_link_each() -> None:
    body = sent(*[replace(VIEW, public_id=UUID(int=n), customer_name=f"Shop {n}") for n in range(3)])

    links = [each["url"] for block in body["blocks"] for each in block.get("elements", []) if "url" in each]
    assert body["text"] == "Ruth: 3 to call: Shop 0 first"
    assert links == [LINK] * 3
    assert all(f"*Shop {n}: Buys drills, never drill bits*" in words(body) for n in range(3))


def test_what_does_not_fit_is_said() -> None:
    body = sent(*[replace(VIEW, public_id=UUID(int=n)) for n in range(40)])

    assert "17 more alerts did not fit" in words(body)


def test_without_a_signing_secret_there_is_a_link_and_no_button() -> None:
    (actions,) = [each for each in sent(VIEW)["blocks"] if each["type"] == "actions"]

    assert [(each["action_id"], each.get("value")) for each in actions["elements"]] == [("open", None)]


def test_buttons_carry_what_only_we_can_make_for_this_alert_and_endpoint() -> None:
    (actions,) = [each for each in sent(VIEW, buttons_of=ENDPOINT)["blocks"] if each["type"] == "actions"]
    values = {each["value"] for each in actions["elements"]}

    assert [each["action_id"] for each in actions["elements"]] == ["open", "called", "later", "knew", "wrong"]
    assert {chat.read_button_value(KEY, each) for each in values} == {(VIEW.public_id, ENDPOINT)}
    assert {chat.read_button_value("another key of more than 32 letters", each) for each in values} == {None}


@pytest.mark.parametrize(
    "value",
    ["", "x", "WyJhIl0", chat._serializer(KEY).dumps(["1", 2]), chat._serializer(KEY).dumps(7)],
    ids=["empty", "a letter", "not signed", "of numbers", "a number"],  # what is signed differs each time
)
def test_a_value_that_is_none_of_ours_is_nobodys_button(value: str) -> None:
    assert chat.read_button_value(KEY, value) is None


def test_an_upstream_can_make_no_mention_no_link_and_no_entity() -> None:
    body = sent(replace(VIEW, customer_name="<!channel> & <https://evil.example|Click>\n*bold*"))

    shown = words(body) + body["text"]
    assert "<" not in shown
    assert "&lt;!channel&gt; &amp; &lt;https://evil.example|Click&gt; *bold*" in shown
    assert all(each["text"]["verbatim"] for each in body["blocks"] if each["type"] == "section")


@pytest.mark.parametrize("length", range(1, 40))
def test_a_cut_text_never_ends_inside_an_entity(length: int) -> None:
    cut = slack.escaped("<" * length + " tail", 20)

    assert len(cut) <= 20
    assert cut.replace("&lt;", "").strip("… tail") == ""


@pytest.mark.parametrize(
    "address",
    [
        "https://hooks.slack.com/workflows/T1/A1/2/x",
        "https://hooks.slack.com/",
        "https://hooks.slack.com.evil.example/services/T/B/x",
        "https://slack.com/services/T/B/x",
        "https://evil.example/hooks.slack.com/services/T/B/x",
        "http://hooks.slack.com/services/T/B/x",
        "https://hooks.slack.com/services/T B",
        "https://[/",
    ],
)
def test_an_address_elsewhere_is_refused(address: str) -> None:
    assert slack.check(address, ChannelConfig(KEY, ""))


def test_slacks_own_word_for_an_error_is_kept_and_nothing_else_is() -> None:
    def said(body: bytes) -> str:
        return str(slack.failure_of(Response(404, {}, body), NOW))

    assert said(b"no_service") == "Slack answered 404 no_service: it is gone, and was switched off"
    assert said(b"<html>secret</html>") == "Slack answered 404: it is gone, and was switched off"
    assert isinstance(slack.failure_of(Response(404, {}, b""), NOW), Rejected)
