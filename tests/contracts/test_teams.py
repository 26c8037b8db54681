"""Messages to Teams are Adaptive Cards of version 1.4 that fit, and hold nothing an upstream could act by."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from services.alerts.channel import AlertView, ChannelConfig, OperatorNotice, OutboundMessage
from services.alerts.channels import teams
from tests.unit.test_alert_message import LINK, POINT, VIEW

NOW = datetime(2026, 11, 20, 7, tzinfo=UTC)
DELIVERY = UUID(int=1)

ELEMENTS: dict[str, dict[str, type | tuple[str, ...]]] = {
    "AdaptiveCard": {"$schema": str, "version": str, "msteams": dict, "body": list},
    "RichTextBlock": {"id": str, "inlines": list, "spacing": ("None", "Small", "Default", "Medium", "Large")},
    "TextRun": {
        "text": str,
        "weight": ("Lighter", "Default", "Bolder"),
        "size": ("Default", "Small", "Medium", "Large", "ExtraLarge"),
        "isSubtle": bool,
    },
    "ActionSet": {"actions": list},
    "Action.OpenUrl": {"title": str, "url": str},
}
"""What of the schema of Adaptive Cards 1.4 our cards use."""

CHILDREN = {
    "AdaptiveCard": ("body", {"RichTextBlock", "ActionSet"}),
    "RichTextBlock": ("inlines", {"TextRun"}),
    "ActionSet": ("actions", {"Action.OpenUrl"}),
}


def faults(element: dict[str, Any]) -> list[str]:
    """What the schema refuses of a card."""
    kind = element.get("type", "")
    if kind not in ELEMENTS:
        return [f"no element {kind}"]
    found = []
    for name, value in element.items():
        known = ELEMENTS[kind].get(name)
        if name == "type":
            continue
        if known is None:
            found.append(f"{kind} has no {name}")
        elif isinstance(known, tuple) and value not in known:
            found.append(f"{kind}.{name} is {value}")
        elif isinstance(known, type) and not (isinstance(value, known) and value):
            found.append(f"{kind}.{name} is {value!r}")
    name, kinds = CHILDREN.get(kind, ("", set()))
    for child in element.get(name, []):
        found += faults(child) if child.get("type") in kinds else [f"{child.get('type')} in {kind}"]
    return found


def sent(*views: AlertView) -> bytes:
    """What is posted about these alerts."""
    return teams.payload(OutboundMessage(DELIVERY, "", tuple((each, LINK) for each in views), NOW))


def card(body: bytes) -> dict[str, Any]:
    envelope = json.loads(body)
    (attachment,) = envelope["attachments"]
    assert envelope["type"] == "message"
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert attachment["contentUrl"] is None
    content: dict[str, Any] = attachment["content"]
    assert content["version"] == "1.4"
    return content


def lines(body: bytes) -> list[str]:
    """Every line a reader sees."""
    return [each["inlines"][0]["text"] for each in card(body)["body"] if each["type"] == "RichTextBlock"]


LONG = replace(
    VIEW,
    customer_name="Ü" * 900,
    points=tuple(
        replace(POINT, headline="ä b " * 300, evidence=(("x" * 300, "ö " * 3000),) * 9) for _ in range(3)
    ),
)
MANY = [replace(VIEW, public_id=UUID(int=n), customer_name=f"Shop {n}") for n in range(60)]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(sent(VIEW), id="one alert"),
        pytest.param(sent(LONG), id="one long alert"),
        pytest.param(sent(*MANY), id="sixty alerts"),
        pytest.param(sent(*[LONG] * 60), id="sixty long alerts"),
        pytest.param(sent(replace(VIEW, customer_id=None, about_rep_name="Ruth")), id="about a rep"),
    ],
)
def test_it_is_a_card_of_the_schema_and_fits(body: bytes) -> None:
    assert len(body) <= 28 * 1024
    assert faults(card(body)) == []


def test_a_rep_reads_what_whom_to_call_and_the_money_with_its_period() -> None:
    assert lines(sent(VIEW)) == [
        "Acme Tools: Buys drills, never drill bits",
        "Ask: Who supplies your drill bits?",
        "Call: Acme Tools, Leeds: +44 20 7946 0018",
        "Buys drills, never drill bits",
        "£25 margin to win over 90 days",
        "Bought together: 31 of 40 accounts that buy one buy both",
        "Written by Tipoff for Ruth, because it is the first time we tell you this about the customer.",
    ]
    (opens,) = [each["actions"] for each in card(sent(VIEW))["body"] if each["type"] == "ActionSet"]
    assert opens == [{"type": "Action.OpenUrl", "title": "Open", "url": LINK}]


def test_operators_are_told_in_the_same_form() -> None:
    notice = OperatorNotice("2 messages were not sent", "Look:\n\n" + "tipoff deliveries list\n" * 900)

    body = teams.payload(OutboundMessage(DELIVERY, "", (), NOW, notice=notice))

    assert faults(card(body)) == []
    assert len(body) < 28_000
    assert lines(body)[:3] == ["2 messages were not sent", "Look:", "tipoff deliveries list"]


def test_what_does_not_fit_is_said_facts_first() -> None:
    some, more = sent(*MANY[:45]), sent(*MANY)

    assert "What was seen did not fit: it stands on the page of each alert." in lines(some)
    assert not [each for each in lines(some) if "more alerts" in each]
    assert [each for each in lines(more) if each.endswith("more alerts did not fit: they are in the inbox.")]


def test_no_text_of_an_upstream_is_read_as_markdown() -> None:
    body = sent(replace(VIEW, customer_name="[Click](https://evil.example) **now**"))

    assert {each["type"] for each in card(body)["body"]} == {"RichTextBlock", "ActionSet"}
    assert lines(body)[0].startswith("[Click](https://evil.example) **now**: ")


@pytest.mark.parametrize(
    "address",
    [
        "https://contoso.webhook.office.com/webhookb2/x",
        "https://outlook.office.com/webhook/x",
        "https://outlook.office365.com/webhook/x",
    ],
)
def test_a_retired_connector_is_refused_with_the_reason(address: str) -> None:
    fault = teams.check(address, ChannelConfig("k" * 32, ""))

    assert fault is not None
    assert "retired" in fault


@pytest.mark.parametrize(
    "address",
    [
        "https://logic.azure.com.evil.example/workflows/x",
        "https://evil-logic.azure.com/workflows/x",
        "https://logic.azure.com/workflows/x",
        "http://prod-1.westeurope.logic.azure.com/workflows/x",
        "https://example.com/?x=.logic.azure.com",
    ],
)
def test_an_address_elsewhere_is_refused(address: str) -> None:
    assert teams.check(address, ChannelConfig("k" * 32, ""))
