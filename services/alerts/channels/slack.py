"""Alerts in Slack: an incoming webhook that takes Block Kit, see docs/chat.md.

Slack knows no id by which it would drop a repeat: a message whose answer was lost may stand in the channel twice.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from services.alerts import chat, http_post, message
from services.alerts.channel import (
    AlertView,
    Channel,
    ChannelConfig,
    OutboundMessage,
    Point,
    Receipt,
    Rejected,
    Send,
    Unavailable,
)
from shared import outbound

HOSTS = ("hooks.slack.com",)
INCOMING_WEBHOOK = re.compile(r"https://hooks\.slack\.com(?::443)?/services/[!-~]+")

LONGEST_HEADER = 150
LONGEST_SECTION = 3000
MOST_BLOCKS = 50
"""Limits of Block Kit."""

BLOCKS_AROUND = 3
"""Header, what was left out, and the line at the end."""

BUTTONS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "called": ("I called", {"action": "called"}),
    "later": ("Tomorrow", {"action": "snooze_tomorrow"}),
    "knew": ("Knew already", {"action": "dismiss", "reason": "knew"}),
    "wrong": ("Wrong", {"action": "dismiss", "reason": "wrong_figures"}),
}
"""The buttons under an alert by their ids, each with its label and the form of the inbox it stands for."""

GONE = {403: "does not take our messages any more", 404: "is gone", 410: "is archived"}
ABOUT_THE_MESSAGE = frozenset({400, 413})
_ERROR = re.compile(rb"[a-z_]{1,60}")
"""How Slack words an error; anything else a receiver answered is not repeated."""


@contextmanager
def open_channel(config: ChannelConfig) -> Iterator[Send]:
    """Send over one vetted connection, as long as Slack keeps it open."""
    with outbound.Session(config.loopback_origins) as session:
        yield lambda outgoing: _send(outgoing, config, session)


def check(address: str, config: ChannelConfig) -> str | None:
    """Why an address is no incoming webhook of Slack, or None."""
    if fault := http_post.check_host(address, HOSTS, config):
        return fault
    if http_post.is_at(address, HOSTS) and not INCOMING_WEBHOOK.fullmatch(address):
        return "an incoming webhook of Slack begins with https://hooks.slack.com/services/"
    return http_post.check(address, config)


def _send(outgoing: OutboundMessage, config: ChannelConfig, session: outbound.Session) -> Receipt:
    if fault := http_post.check_host(outgoing.recipient, HOSTS, config):
        raise Rejected(f"the address is not one we call: {fault}")
    body = json.dumps(payload(outgoing, config.secret_key), separators=(",", ":"), ensure_ascii=False)
    answer = http_post.post(session, outgoing.recipient, body.encode(), {}, config)
    if failure := failure_of(answer, outgoing.now):
        raise failure
    return {"status": answer.status}


def failure_of(answer: outbound.Response, now: datetime) -> Rejected | Unavailable | None:
    """What an answer means; None when Slack took the message."""
    if 200 <= answer.status < 300:
        return None
    word = answer.body.strip()
    said = f" {word.decode()}" if _ERROR.fullmatch(word) else ""
    answered = f"Slack answered {answer.status}{said}"
    if answer.status in GONE:
        return Rejected(f"{answered}: it {GONE[answer.status]}, and was switched off", disables=True)
    if answer.status in ABOUT_THE_MESSAGE:
        return Rejected(f"{answered}: the message is not one it takes")
    return http_post.later(answer, now) or Unavailable(answered, is_refusal=True)


def payload(outgoing: OutboundMessage, secret_key: str) -> dict[str, Any]:
    """Return the message: each alert with a link, and with buttons where the endpoint has a signing secret."""
    if outgoing.notice is not None:
        title, parts = outgoing.notice.subject, [[_section(*_lines(outgoing.notice.text))]]
        closing = "Written by Tipoff for its operators."
    else:
        title, closing = chat.title_of(outgoing.alerts), chat.reason(outgoing.alerts)
        is_alone = len(outgoing.alerts) == 1
        parts = [
            _alert(view, link, _value(view, outgoing, secret_key), is_alone=is_alone)
            for view, link in outgoing.alerts
        ]
    header = {"type": "plain_text", "text": escaped(title, LONGEST_HEADER), "emoji": False}
    blocks: list[dict[str, Any]] = [{"type": "header", "text": header}]
    for shown, part in enumerate(parts):
        if len(blocks) + len(part) > MOST_BLOCKS - BLOCKS_AROUND:
            blocks.append(_section(f"{len(parts) - shown} more alerts did not fit: they are in the inbox."))
            break
        blocks += part
    last = {"type": "mrkdwn", "text": escaped(closing), "verbatim": True}
    # Receivers can tell a repeat by it: the same on every try.
    blocks.append({"type": "context", "block_id": str(outgoing.delivery_id), "elements": [last]})
    return {"text": escaped(title), "blocks": blocks, "unfurl_links": False, "unfurl_media": False}


def _lines(text: str) -> list[str]:
    return [escaped(chat.plain(line)) for line in text.splitlines()]


def _value(view: AlertView, outgoing: OutboundMessage, secret_key: str) -> str | None:
    """What the buttons under an alert carry; None where it has none."""
    if outgoing.buttons_of is None:
        return None
    return chat.button_value(secret_key, view.public_id, outgoing.buttons_of)


def _alert(view: AlertView, link: str, value: str | None, *, is_alone: bool) -> list[dict[str, Any]]:
    """One alert: what to ask, what was seen, whom to call, what to press. Alone, the header above names it."""
    lines = [] if is_alone else [f"*{escaped(chat.title(view))}*"]
    lines.append(f"*Ask:* {escaped(chat.plain(view.question))}")
    if call := chat.whom_to_call(view):
        lines.append(f"*Call:* {escaped(call)}")
    points = view.points if is_alone else view.points[:1]
    for point in points:
        lines += _point(point, view.currency, is_named=is_alone)
    open_it = {
        "type": "button",
        "action_id": "open",
        "text": {"type": "plain_text", "text": "Open"},
        "url": link,
        "style": "primary",
    }
    elements = [open_it | ({} if value is None else {"value": value})]
    if value is not None:
        elements += [
            {
                "type": "button",
                "action_id": name,
                "text": {"type": "plain_text", "text": label},
                "value": value,
            }
            for name, (label, _) in BUTTONS.items()
        ]
    actions = {"type": "actions", "block_id": f"alert:{view.public_id}", "elements": elements}
    return [_section(*lines), actions]


def _point(point: Point, currency: str, *, is_named: bool) -> list[str]:
    """A point: what, the margin with its period, and what was seen."""
    money = message.margin_with_period(point, currency)
    first = f"• *{escaped(chat.plain(point.headline))}*: {escaped(money)}" if is_named else escaped(money)
    return [first, *(f"   {escaped(chat.plain(f'{what}: {seen}'))}" for what, seen in point.evidence)]


def _section(*lines: str) -> dict[str, Any]:
    """Lines of escaped text in one block; what does not fit is left out, and it says so.

    `verbatim`: Slack makes no link and no mention of anything an upstream wrote.
    """
    more = "… more stands on the alert's page"
    kept: list[str] = []
    room = LONGEST_SECTION - len(more)
    for line in lines:
        if len(line) + 1 > room:
            kept.append(more)
            break
        kept.append(line)
        room -= len(line) + 1
    return {"type": "section", "text": {"type": "mrkdwn", "text": "\n".join(kept), "verbatim": True}}


def escaped(text: str, longest: int = LONGEST_SECTION) -> str:
    """Return a text that Slack shows as it is, cut so that the escaped one is at most so long."""
    room = longest
    while len(found := _escape(message.shortened(text, room))) > longest:
        room = room * longest // len(found)
    return found


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


CHANNEL = Channel(
    "slack",
    open=open_channel,
    check=check,
    claims=lambda address: http_post.is_at(address, HOSTS),
    has_buttons=True,
    concurrency=1,
)
