"""A mail sent by SMTP can be read on a page, and nothing in it runs."""

import smtplib
import subprocess
import sys
import threading
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from deploy.mailsink import MailSink


@pytest.fixture
def sink(mailbox: MailSink) -> MailSink:
    return mailbox


def a_mail(subject: str = "Ace Tools: gloves 26 days late, ~EUR 1,900/yr") -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = "Tipoff <tipoff@sample.example>"
    mail["To"] = "Zoë <zoe@sample.example>"
    mail["Subject"] = subject
    mail["Message-ID"] = "<d-1@sample.example>"
    mail.set_content("Call them. Größe: 12 €\n")
    mail.add_alternative(
        '<p>Call <a href="http://127.0.0.1/a/1">them</a><script>alert(1)</script></p>', subtype="html"
    )
    return mail


def send(sink: MailSink, *mails: EmailMessage) -> None:
    address = urlsplit(sink.smtp_url)
    with smtplib.SMTP(str(address.hostname), address.port or 0, timeout=5) as client:
        for mail in mails:
            client.send_message(mail)


def page(sink: MailSink, path: str = "", **headers: str) -> requests.Response:
    return requests.get(sink.url + path, headers=headers, timeout=5)


def test_keeps_a_mail_as_it_was_sent_and_who_it_was_delivered_to(sink: MailSink) -> None:
    send(sink, a_mail())
    (kept,) = sink.mails()
    assert kept.recipients == ("zoe@sample.example",)
    assert kept.message["Message-ID"] == "<d-1@sample.example>"
    assert kept.plain == "Call them. Größe: 12 €\n"
    assert kept.html is not None
    assert "alert(1)" in kept.html


def test_lists_mails_newest_first(sink: MailSink) -> None:
    send(sink, a_mail("the first"), a_mail("the second"))
    listing = page(sink).text
    assert listing.index("the second") < listing.index("the first")
    assert [mail.subject for mail in sink.mails()] == ["the first", "the second"]


def test_shows_a_mail_without_letting_anything_in_it_run(sink: MailSink) -> None:
    send(sink, a_mail("<script>alert(2)</script>"))
    (kept,) = sink.mails()
    shown = page(sink, f"mails/{kept.name}")
    assert "<script" not in shown.text
    assert "Größe: 12 €" in shown.text
    assert "script-src" not in shown.headers["Content-Security-Policy"]
    assert shown.headers["Content-Security-Policy"].startswith("default-src 'none'")
    inside = page(sink, f"mails/{kept.name}/html").headers["Content-Security-Policy"]
    assert inside.startswith("sandbox ")
    assert "default-src 'none'" in inside
    assert "allow-scripts" not in inside + shown.text
    assert "allow-same-origin" not in inside + shown.text


def test_gives_the_mail_as_it_arrived(sink: MailSink) -> None:
    send(sink, a_mail())
    (kept,) = sink.mails()
    raw = page(sink, f"mails/{kept.name}/raw")
    assert raw.content == kept.raw
    assert raw.headers["Content-Type"].startswith("text/plain")
    assert raw.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path", ["mails/..%2f..%2fsecret", "mails/20260101T000000.000000Z-00000000", "nothing"]
)
def test_finds_nothing_outside_its_folder(sink: MailSink, path: str) -> None:
    (sink.mailbox.folder.parent.parent / "secret.eml").write_text("secret")
    assert page(sink, path).status_code == 404


def test_refuses_a_page_opened_under_a_foreign_name(sink: MailSink) -> None:
    assert page(sink, Host="evil.example").status_code == 400
    assert page(sink, Host="localhost:8025").status_code == 200


def test_tells_when_no_mail_has_arrived_yet(sink: MailSink) -> None:
    assert "No mail has arrived yet" in page(sink).text


@pytest.mark.parametrize("server", ["smtp_url", "url"])
def test_a_taken_port_is_an_error_and_leaves_nothing_running(
    sink: MailSink, tmp_path: Path, server: str
) -> None:
    taken = urlsplit(getattr(sink, server)).port or 0
    smtp_port, http_port = (taken, 0) if server == "smtp_url" else (0, taken)
    before = threading.active_count()
    with pytest.raises(OSError, match="in use"):
        MailSink(tmp_path / "other", smtp_port, http_port).start()
    assert threading.active_count() == before


def test_runs_as_a_process_and_ends_at_sigterm(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "deploy.mailsink",
        "--smtp-port",
        "0",
        "--http-port",
        "0",
        "--folder",
        str(tmp_path),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "are kept in" in process.stdout.readline()
        process.terminate()
        assert process.wait(10) == 0
