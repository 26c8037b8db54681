"""Alerts in Microsoft Teams: a Workflows webhook that takes an Adaptive Card, see docs/chat.md.

The workflow answers before it posts, so what it accepted may still not appear: the receipt says "queued".
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from services.alerts import chat, http_post, message
from services.alerts.channel import (
    AlertView,
    Channel,
    ChannelConfig,
    OutboundMessage,
    Receipt,
    Rejected,
    Send,
    Unavailable,
)
from shared import outbound

HOSTS = (".logic.azure.com", ".powerplatform.com", ".powerautomate.com")
RETIRED = (".webhook.office.com", "outlook.office.com", "outlook.office365.com")
RETIRED_FAULT = (
    "connectors of Office 365 are retired, and Microsoft posts nothing they are sent: make a workflow in Teams"
    ' ("Post to a channel when a webhook request is received") and add its address'
)

LARGEST = 28_000
"""Bytes: Teams posts no card over 28 KB."""

MOST_ALERTS = 60
"""More never fit, even without facts."""

MOST_LINES = 20
"""Of a notice to operators, so that it fits."""

CARD_TYPE = "application/vnd.microsoft.card.adaptive"
GONE = frozenset({404, 410})
ABOUT_THE_MESSAGE = {400: "the card is not one it takes", 413: "the card is too large"}


@contextmanager
def open_channel(config: ChannelConfig) -> Iterator[Send]:
    """Send over one vetted connection, as long as the workflow keeps it open."""
    with outbound.Session(config.loopback_origins) as session:
        yield lambda outgoing: _send(outgoing, config, session)


def check(address: str, config: ChannelConfig) -> str | None:
    """Why an address is no workflow's, or None."""
    if _is_retired(address):
        return RETIRED_FAULT
    return http_post.check_host(address, HOSTS, config) or http_post.check(address, config)


def _is_retired(address: str) -> bool:
    """Whether it is the address of a connector, which are retired."""
    return http_post.is_at(address, RETIRED[:1]) or (
        http_post.is_at(address, RETIRED[1:]) and urlsplit(address).path.startswith("/webhook")
    )


def _send(outgoing: OutboundMessage, config: ChannelConfig, session: outbound.Session) -> Receipt:
    if fault := http_post.check_host(outgoing.recipient, HOSTS, config):
        raise Rejected(f"the address is not one we call: {fault}")
    answer = http_post.post(session, outgoing.recipient, payload(outgoing), {}, config)
    if failure := failure_of(answer, outgoing.now):
        raise failure
    return {"status": answer.status, "posted": "queued"}


def failure_of(answer: outbound.Response, now: datetime) -> Rejected | Unavailable | None:
    """What an answer means; None when the workflow took the message."""
    if 200 <= answer.status < 300:
        return None
    answered = f"Teams answered {answer.status}"
    if answer.status in GONE:
        return Rejected(f"{answered}: the workflow is gone, and was switched off here", disables=True)
    if meaning := ABOUT_THE_MESSAGE.get(answer.status):
        return Rejected(f"{answered}: {meaning}")
    return http_post.later(answer, now) or Unavailable(answered, is_refusal=True)


def payload(outgoing: OutboundMessage) -> bytes:
    """Return the body: as much as fits of the facts first, then of the alerts; what is left out is said."""
    alerts = outgoing.alerts
    most = min(len(alerts), MOST_ALERTS)
    body = _body(outgoing, most, has_facts=True)
    for shown in range(most, 0, -1):
        if len(body) <= LARGEST:
            break
        body = _body(outgoing, shown, has_facts=False)
    return body


def _body(outgoing: OutboundMessage, shown: int, *, has_facts: bool) -> bytes:
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": _card_body(outgoing, shown, has_facts=has_facts),
    }
    attachment = {"contentType": CARD_TYPE, "contentUrl": None, "content": card}
    envelope = {"type": "message", "attachments": [attachment]}
    return json.dumps(envelope, separators=(",", ":"), ensure_ascii=False).encode()


def _card_body(outgoing: OutboundMessage, shown: int, *, has_facts: bool) -> list[dict[str, Any]]:
    if outgoing.notice is not None:
        lines = [chat.plain(line) for line in outgoing.notice.text.splitlines()]
        parts = [_text(each) for each in lines[:MOST_LINES] if each]
        return [_title(outgoing, outgoing.notice.subject), *parts]
    parts = [_title(outgoing, chat.title_of(outgoing.alerts))]
    is_alone = len(outgoing.alerts) == 1
    for view, link in outgoing.alerts[:shown]:
        parts += _alert(view, link, is_alone=is_alone, has_facts=has_facts)
    if left_out := len(outgoing.alerts) - shown:
        parts.append(_text(f"{left_out} more alerts did not fit: they are in the inbox.", spacing="Large"))
    if not has_facts:
        parts.append(_text("What was seen did not fit: it stands on the page of each alert.", is_subtle=True))
    return [*parts, _text(chat.reason(outgoing.alerts), is_subtle=True)]


def _title(outgoing: OutboundMessage, title: str) -> dict[str, Any]:
    """The first line. A workflow can tell a repeat by its id: the same on every try."""
    line = _text(chat.plain(title), weight="Bolder", size="Medium")
    return line | {"id": str(outgoing.delivery_id)}


def _alert(view: AlertView, link: str, *, is_alone: bool, has_facts: bool) -> list[dict[str, Any]]:
    """One alert: what to ask, whom to call, what was seen, and what opens it. Alone, the title names it."""
    parts = [] if is_alone else [_text(chat.title(view), weight="Bolder", spacing="Large")]
    parts.append(_text(f"Ask: {chat.plain(view.question)}"))
    if call := chat.whom_to_call(view):
        parts.append(_text(f"Call: {call}"))
    for point in view.points if is_alone else view.points[:1]:
        if is_alone:
            parts.append(_text(chat.plain(point.headline), weight="Bolder"))
        parts.append(_text(message.margin_with_period(point, view.currency)))
        if has_facts:
            facts = (chat.plain(f"{what}: {seen}") for what, seen in point.evidence)
            parts += [_text(each, is_subtle=True, spacing="None") for each in facts]
    open_it = {"type": "Action.OpenUrl", "title": "Open", "url": link}
    return [*parts, {"type": "ActionSet", "actions": [open_it]}]


def _text(text: str, *, is_subtle: bool = False, spacing: str | None = None, **look: str) -> dict[str, Any]:
    """A line as a text run: unlike a TextBlock it holds no Markdown, so no upstream can put a link into it."""
    run = {"type": "TextRun", "text": text, **look} | ({"isSubtle": True} if is_subtle else {})
    return {"type": "RichTextBlock", "inlines": [run]} | ({"spacing": spacing} if spacing else {})


def claims(address: str) -> bool:
    """Whether an address is a workflow's, or a retired connector's."""
    return http_post.is_at(address, HOSTS) or _is_retired(address)


CHANNEL = Channel("teams", open=open_channel, check=check, claims=claims, concurrency=2)
