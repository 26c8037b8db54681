"""Journey: a rep reads the inbox and acts on it; nothing a scanner or a stranger can fetch changes anything."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

import pytest
from flask.testing import FlaskClient

from services.alerts.app import create_app
from services.alerts.message import token_of
from shared import tokens
from shared.db import Database
from shared.metrics import Metrics
from shared.settings import Settings
from tests import mail_sink
from tests.alert_rows import (
    NOW,
    a_customer,
    a_rep,
    a_signal,
    an_order,
    decide_task,
    drain,
    rows,
    settings,
    value,
)

HERE = {"Host": "127.0.0.1:8003"}


@dataclass(frozen=True)
class Inbox:
    """A served inbox with one alert to call about and one kept back."""

    client: FlaskClient
    database: Database
    alert: UUID
    mail: str

    def page(self, path: str, status: int = 200) -> str:
        """What a browser on this machine gets."""
        answer = self.client.get(path, headers=HERE)
        assert answer.status_code == status, answer.text
        return answer.text

    def act(self, **form: str) -> int:
        """Press a button of the alert's page."""
        token = form_token(self.page(f"/inbox/{self.alert}"))
        answer = self.client.post(f"/inbox/{self.alert}", data={"token": token} | form, headers=HERE)
        return answer.status_code

    def state(self) -> str:
        """What the alert has come to."""
        return str(value(self.database, "SELECT state FROM alert WHERE public_id = :id", id=self.alert))


def form_token(page: str) -> str:
    found = re.search(r'name="token" value="([^"]+)"', page)
    assert found
    return found[1]


def serve(database: Database, told: Settings, bind: str = "127.0.0.1") -> FlaskClient:
    app = create_app(
        told, database, lambda _queue: None, lambda: NOW, Metrics("alerts", "test"), bind=(bind, 8003)
    )
    return app.test_client()


@pytest.fixture
def inbox(database: Database) -> Iterator[Inbox]:
    """Two alerts of Ruth: one sent, one too weak to send."""
    with mail_sink.running() as sink:
        told = settings(smtp_url=sink.url)
        with database.transaction() as connection:
            rep = a_rep(connection)
            for name, worth in (("Acme <Tools>", 25), ("Brightwater", 1)):
                customer = a_customer(connection, rep, name)
                order = an_order(connection, customer, f"INV-{name[:4]}")
                a_signal(connection, customer, order, value=worth)
                decide_task(connection, order)
        drain(database, told)
        (mail,) = sink.mails
        body = mail.get_body(("html",))
        assert body is not None
        alert = value(database, "SELECT public_id FROM alert WHERE verdict = 'notify'")
        yield Inbox(serve(database, told), database, alert, body.get_content())


def test_the_list_shows_who_what_and_how_much(inbox: Inbox) -> None:
    page = inbox.page("/inbox")

    assert "Acme &lt;Tools&gt;" in page
    assert f'href="/inbox/{inbox.alert}"' in page
    assert "£125" in page
    assert "Brightwater" not in page


def test_what_was_not_sent_says_why(inbox: Inbox) -> None:
    page = inbox.page("/inbox?view=not-sent")

    assert "Brightwater" in page
    assert "too little money is in it to call about it alone" in page


def test_the_alert_shows_phone_question_orders_evidence_and_where_it_went(inbox: Inbox) -> None:
    page = inbox.page(f"/inbox/{inbox.alert}")

    for text in (
        'href="tel:+442079460018"',
        "Who supplies your drill bits?",
        "INV-Acme",
        "31 of 40 accounts that buy one buy both",
        "the first time we tell you this about the customer",
        "ruth@example.com",
        "status 250",
        "Try 1",
    ):
        assert text in page


def test_a_message_that_waits_for_the_morning_says_until_when(inbox: Inbox) -> None:
    rows(inbox.database, "DELETE FROM attempt RETURNING 1")
    rows(inbox.database, "UPDATE delivery SET state = 'ready', send_after = '2026-11-30 06:00Z' RETURNING 1")

    page = inbox.page(f"/inbox/{inbox.alert}")

    assert "<b>Waits until Mon 30 Nov, 06:00</b>" in page
    assert "You see this because it is the first time" in page
    assert "was sent" not in page


@pytest.mark.parametrize(
    ("form", "state", "tab"),
    [
        pytest.param({"action": "called"}, "done", "done", id="done"),
        pytest.param({"action": "snooze_tomorrow"}, "snoozed", "snoozed", id="tomorrow"),
        pytest.param({"action": "snooze_week"}, "snoozed", "snoozed", id="next week"),
        pytest.param(
            {"action": "dismiss", "reason": "knew", "words": "told me"}, "dismissed", "done", id="dismissed"
        ),
    ],
)
def test_acting_moves_the_alert_is_recorded_and_can_be_undone(
    inbox: Inbox, form: dict[str, str], state: str, tab: str
) -> None:
    assert inbox.act(**form) == 303
    assert inbox.state() == state
    assert "Acme" in inbox.page(f"/inbox?view={tab}")
    assert "Acme" not in inbox.page("/inbox")
    banner = inbox.page(f"/inbox?undo={inbox.alert}")
    assert "Undo" in banner

    answer = inbox.client.post(
        f"/inbox/{inbox.alert}", data={"token": form_token(banner), "action": "undo"}, headers=HERE
    )

    assert answer.status_code == 303
    assert inbox.state() == "open"
    assert [row.action for row in rows(inbox.database, "SELECT action FROM feedback ORDER BY id")][
        -1
    ] == "undo"


def test_dismissing_without_a_reason_is_refused(inbox: Inbox) -> None:
    assert inbox.act(action="dismiss") == 400
    assert inbox.state() == "open"


def test_pressing_twice_is_recorded_once(inbox: Inbox) -> None:
    inbox.act(action="called")
    inbox.act(action="called")

    assert value(inbox.database, "SELECT count(*) FROM feedback") == 1


@pytest.mark.parametrize(
    ("form", "headers"),
    [
        pytest.param({"token": ""}, {}, id="without a token"),
        pytest.param({"token": "made.up.token"}, {}, id="with a made-up token"),
        pytest.param({}, {"Origin": "https://evil.example"}, id="from another origin"),
        pytest.param({}, {"Origin": "null"}, id="from nowhere"),
        pytest.param({}, {"Sec-Fetch-Site": "cross-site"}, id="from another site"),
    ],
)
def test_a_form_that_is_not_ours_does_nothing(
    inbox: Inbox, form: dict[str, str], headers: dict[str, str]
) -> None:
    token = form_token(inbox.page(f"/inbox/{inbox.alert}"))

    answer = inbox.client.post(
        f"/inbox/{inbox.alert}", data={"token": token, "action": "called"} | form, headers=HERE | headers
    )

    assert answer.status_code == 400
    assert inbox.state() == "open"


def test_a_token_of_one_alert_does_not_act_on_another(inbox: Inbox) -> None:
    other = value(inbox.database, "SELECT public_id FROM alert WHERE verdict = 'inbox_only'")
    token = form_token(inbox.page(f"/inbox/{other}"))

    answer = inbox.client.post(
        f"/inbox/{inbox.alert}", data={"token": token, "action": "called"}, headers=HERE
    )

    assert answer.status_code == 400


def links_of(mail: str) -> list[str]:
    return [link.removeprefix("http://127.0.0.1:8003") for link in re.findall(r'href="(http[^"]+)"', mail)]


def test_every_link_of_the_mail_opens_by_get_and_head_and_changes_nothing(inbox: Inbox) -> None:
    everything = (
        "SELECT state, closed_at, snoozed_until, (SELECT count(*) FROM feedback) FROM alert ORDER BY id"
    )
    before = rows(inbox.database, everything)
    links = links_of(inbox.mail)
    assert links

    for link in links:
        assert inbox.client.get(link, headers=HERE).status_code == 200
        assert inbox.client.head(link, headers=HERE).status_code == 200

    assert rows(inbox.database, everything) == before


def test_the_link_opens_its_alert_alone_and_confirming_acts(inbox: Inbox) -> None:
    (link,) = links_of(inbox.mail)
    page = inbox.page(link)
    assert "Brightwater" not in page
    assert "/inbox" not in page
    assert "ruth@example.com" not in page

    (chosen,) = re.findall(r'name="action" value="(\w+)" checked', page)
    answer = inbox.client.post(link, data={"token": form_token(page), "action": chosen}, headers=HERE)

    assert answer.status_code == 303
    assert inbox.state() == "done"
    assert value(inbox.database, "SELECT by FROM feedback") == "the link of a mail"
    page = inbox.page(link)
    assert "It is done" in page
    (undo,) = re.findall(r'<button name="action" value="(\w+)"', page)
    inbox.client.post(link, data={"token": form_token(page), "action": undo}, headers=HERE)
    assert inbox.state() == "open"


def test_a_link_that_was_not_copied_whole_opens_nothing(inbox: Inbox) -> None:
    inbox.page("/a/" + token_of("another secret key, long enough though", inbox.alert), status=404)


@pytest.mark.parametrize("path", ["/", "/inbox"])
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Host": "evil.example"}, id="a foreign name"),
        pytest.param(HERE | {"X-Forwarded-For": "10.0.0.9"}, id="a forwarded request"),
        pytest.param(HERE | {"Forwarded": "for=10.0.0.9"}, id="a forwarded request, newer way"),
    ],
)
def test_pages_are_for_this_machine_only(inbox: Inbox, path: str, headers: dict[str, str]) -> None:
    answer = inbox.client.get(path, headers=headers)

    assert answer.status_code == 403
    assert "Acme" not in answer.text


def test_pages_refuse_another_bind_address_unless_a_setting_says_so(inbox: Inbox) -> None:
    told = settings()
    opened = told.model_copy(update={"pages_without_sign_in": "for_anyone_who_reaches_this_address"})

    assert serve(inbox.database, told, "0.0.0.0").get("/inbox", headers=HERE).status_code == 403
    client = serve(inbox.database, opened, "0.0.0.0")
    assert client.get("/inbox", headers=HERE).status_code == 200
    assert client.get("/inbox", headers={"Host": "evil.example"}).status_code == 403


def test_pages_run_no_scripts_and_cannot_be_framed(inbox: Inbox) -> None:
    answer = inbox.client.get(f"/inbox/{inbox.alert}", headers=HERE)

    rule = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in rule
    assert "frame-ancestors 'none'" in rule
    assert "<script" not in answer.text
    assert "style=" not in answer.text


@pytest.mark.parametrize(
    "path", ["/inbox?view=nonsense", "/inbox/00000000-0000-0000-0000-000000000000", "/a/nonsense"]
)
def test_what_does_not_exist_is_said_on_a_page(inbox: Inbox, path: str) -> None:
    assert "Not found" in inbox.page(path, status=404)


def test_a_page_that_is_not_there_leads_to_the_inbox_where_the_inbox_is_served(inbox: Inbox) -> None:
    assert 'href="/inbox"' in inbox.page("/a/nonsense", status=404)
    elsewhere = serve(inbox.database, settings(), "0.0.0.0").get("/a/nonsense", headers=HERE)
    assert elsewhere.status_code == 404
    assert 'href="/inbox"' not in elsewhere.text
    assert "newer mail" in elsewhere.text


BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.mark.parametrize(("accept", "form"), [(BROWSER, "text/html"), ({}, "application/problem+json")])
def test_a_browser_reads_a_page_where_a_program_reads_a_problem(
    inbox: Inbox, accept: dict[str, str], form: str
) -> None:
    for path, status in (("/inbox/nope", 404), ("/nope", 404)):
        answer = inbox.client.get(path, headers=HERE | accept)
        assert (answer.status_code, answer.mimetype) == (status, form)
    answer = inbox.client.post("/inbox", headers=HERE | accept)
    assert (answer.status_code, answer.mimetype) == (405, form)
    assert "GET" in answer.headers["Allow"]


def test_the_home_page_leads_to_everything(inbox: Inbox) -> None:
    told = settings(neighbours={"ingest": "http://127.0.0.1:8001", "mails": "http://127.0.0.1:8025"})
    page = serve(inbox.database, told).get("/", headers=HERE).text

    for link in (
        "/inbox",
        "http://127.0.0.1:8025",
        "http://127.0.0.1:8001/docs",
        "http://127.0.0.1:8001/metrics",
    ):
        assert f'href="{link}"' in page
    assert "1 customer to call, 1 not sent" in page


def test_programs_read_alerts_with_a_token(inbox: Inbox) -> None:
    secret = tokens.new_token()
    rows(
        inbox.database,
        "INSERT INTO api_token (digest, name, source, scopes) VALUES (:digest, 'crm', 'crm', '{alerts:read}')"
        " RETURNING name",
        digest=tokens.digest(secret),
    )
    bearer = HERE | {"Authorization": f"Bearer {secret}"}

    listed = inbox.client.get("/v1/alerts", headers=bearer).get_json()["alerts"]
    one = inbox.client.get(f"/v1/alerts/{inbox.alert}", headers=bearer).get_json()

    assert [each["customer"]["name"] for each in listed] == ["Brightwater", "Acme <Tools>"]
    assert one["points"][0]["stake"] == {"amount": "125.00", "currency": "GBP"}
    assert inbox.client.get("/v1/alerts", headers=HERE).status_code == 401
    refused = inbox.client.get("/v1/alerts?limit=abc", headers=bearer)
    assert (refused.status_code, json.loads(refused.data)["errors"][0]["parameter"]) == (422, "limit")


@pytest.mark.parametrize("path", ["/", "/inbox"])
def test_pages_of_a_demonstration_refresh_themselves(database: Database, path: str) -> None:
    refreshing = serve(database, settings(page_refresh=5)).get(path, headers=HERE)
    assert '<meta http-equiv="refresh" content="5">' in refreshing.text
    assert "refresh" not in serve(database, settings()).get(path, headers=HERE).text
