"""Buttons of Slack messages coming back: verified, done as in the inbox, and told in the channel who did it."""

import hmac
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from threading import Thread
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

from apiflask import APIFlask
from flask import request

from services.alerts import chat, http_post, message
from services.alerts.channel import ChannelConfig, Rejected, Sending, Unavailable
from services.alerts.channels.slack import BUTTONS, HOSTS, escaped
from services.alerts.dismissals import EFFECTS
from services.alerts.store import endpoints
from services.alerts.store.inbox import AlertAction, Found
from services.alerts.web.actions import Acting, NoSuchAlert, take_action
from shared import outbound
from shared.clock import Clock, real_now
from shared.db import Database
from shared.faults import load_json
from shared.problems import Problem
from shared.sealing import Unsealable, sealer_of

log = logging.getLogger(__name__)

LARGEST = 256 * 1024
TOLERANCE_SECONDS = 300
LONGEST_USER = 40
DONE = {"done": "called", "dismissed": "not useful", "snoozed": "put off"}
_TIMESTAMP = re.compile(r"[0-9]{1,12}")


@dataclass(frozen=True, slots=True)
class Press:
    """One button that was pressed: which, by whom, and where an answer in the channel goes."""

    action_id: str
    alert_id: UUID
    endpoint_id: UUID
    user: str
    answer_to: str


class NotBelieved(Exception):
    """A request that is not from Slack, or not about a message of ours. The sender is not told why."""


def verify(headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> None:
    """Check Slack's signature, made within five minutes of `now`; header names are lower case. Raises NotBelieved."""
    sent_at = headers.get("x-slack-request-timestamp", "")
    if not _TIMESTAMP.fullmatch(sent_at) or abs(now.timestamp() - int(sent_at)) > TOLERANCE_SECONDS:
        raise NotBelieved("its timestamp is none of the last five minutes")
    digest = hmac.new(secret.encode(), f"v0:{sent_at}:".encode() + body, sha256).hexdigest()
    offered = headers.get("x-slack-signature", "").encode("utf-8", "replace")
    if not hmac.compare_digest(f"v0={digest}".encode(), offered):
        raise NotBelieved("no signature matches")


def read(body: bytes, secret_keys: tuple[str, ...]) -> Press:
    """Return which of our buttons was pressed. Nothing of it is believed yet but the value, which we signed.

    Raises NotBelieved.
    """
    try:
        (raw,) = parse_qs(body.decode(), strict_parsing=True, max_num_fields=10)["payload"]
        told: Any = load_json(raw.encode())
        (action,) = told["actions"]
        action_id, value, user = str(action["action_id"]), str(action["value"]), told["user"]
        name = str(user.get("username") or user.get("name") or user["id"])
        answer_to = str(told.get("response_url", ""))
    except (KeyError, ValueError, TypeError, AttributeError) as fault:
        raise NotBelieved("it is no button of ours") from fault
    opened = next((each for key in secret_keys if (each := chat.read_button_value(key, value))), None)
    if opened is None:
        raise NotBelieved("its value is none of ours")
    return Press(action_id, *opened, user=chat.plain(name, LONGEST_USER), answer_to=answer_to)


class SlackButtons:
    """What the buttons of one installation do."""

    def __init__(self, database: Database, sending: Sending, clock: Clock) -> None:
        self._database = database
        self._sending = sending
        self._clock = clock

    def pressed(self) -> tuple[str, int]:
        """Do what a button asks for, and answer before Slack's three seconds are over."""
        request.max_content_length = LARGEST
        body = request.get_data()
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            answer_to, told = self._take(headers, body)
        except (NotBelieved, Unsealable) as fault:
            log.warning("a button of Slack was refused: %s", fault)
            raise Problem(401, "This is no button of ours, pressed in Slack.") from fault
        if told:
            # Slack waits three seconds for the answer to the press; who answers in the channel takes its own time.
            Thread(target=tell, args=(answer_to, told, self._sending.config), daemon=True).start()
        return "", 200

    def _take(self, headers: Mapping[str, str], body: bytes) -> tuple[str, str | None]:
        """Return where to tell what was done, and what; None where nothing is to be told."""
        keys = self._sending.config.secret_keys
        press = read(body, keys)
        sealer = sealer_of(*keys)
        now = self._clock()
        with self._database.transaction() as connection:
            endpoint = endpoints.find(connection, str(press.endpoint_id), sealer)
            if endpoint is None or endpoint.channel != "slack" or endpoint.state != "on":
                raise NotBelieved("its endpoint is off")
            secret = endpoints.signing_secret_of(endpoint, sealer)
            if secret is None:
                raise NotBelieved("its endpoint has no signing secret")
            verify(headers, body, secret, real_now())
            if press.action_id not in BUTTONS:  # the link that opens the alert calls back too
                return press.answer_to, None
            _, form = BUTTONS[press.action_id]
            try:
                found, done = take_action(
                    connection, press.alert_id, form, Acting(f"Slack, {press.user}", now), self._sending
                )
            except NoSuchAlert:
                return press.answer_to, "This alert was withdrawn: the order has changed."
        return press.answer_to, _told(press, found, done, now)


def _told(press: Press, found: Found, done: AlertAction, now: datetime) -> str:
    """What the channel reads: who did what, and what follows."""
    told = f"{found.customer}: {DONE[done.state]}, says {press.user}."
    if done.until is not None:
        told += f" It comes back {message.moment(done.until, found.time_zone)}."
    if done.dismissal is not None:
        told += f" {EFFECTS[done.dismissal].told(now)}"
    return told


def tell(answer_to: str, told: str, config: ChannelConfig) -> None:
    """Say in the channel what was done. Where that fails, the inbox still shows it."""
    if http_post.check_host(answer_to, HOSTS, config):
        return
    text = {"response_type": "in_channel", "replace_original": False, "text": escaped(told)}
    try:
        with outbound.Session(config.loopback_origins) as session:
            http_post.post(session, answer_to, json.dumps(text).encode(), {}, config)
    except (Rejected, Unavailable) as fault:
        log.warning("what a button did could not be told in Slack: %s", fault)


def add_slack(app: APIFlask, buttons: SlackButtons) -> None:
    """Give a service the address Slack sends pressed buttons to."""

    def pressed() -> tuple[str, int]:
        return buttons.pressed()

    app.add_url_rule("/slack/actions", "slack.actions", app.doc(hide=True)(pressed), methods=["POST"])
