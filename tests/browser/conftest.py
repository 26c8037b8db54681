"""Give tests a real browser and a served inbox; without a browser they are skipped and say so."""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from uuid import UUID

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from werkzeug.serving import make_server

from deploy.mailsink import MailSink
from services.alerts.app import create_app
from services.alerts.message import token_of
from shared.db import Database
from shared.metrics import Metrics
from shared.settings import Settings
from tests.alert_rows import (
    NOW,
    a_customer,
    a_rep,
    a_signal,
    an_order,
    decide_task,
    drain,
    settings,
    value,
)

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
AXE = "axe-core@4.10.3"


@dataclass(frozen=True, slots=True)
class Site:
    """The alerts service on a port of its own, and what lies in its inbox."""

    address: str
    database: Database
    settings: Settings
    sink: MailSink

    def alert(self, customer: str = "Acme Tools") -> UUID:
        """The public id of a customer's alert."""
        found = value(
            self.database,
            "SELECT public_id FROM alert JOIN customer ON customer.id = customer_id WHERE name = :name",
            name=customer,
        )
        assert isinstance(found, UUID)
        return found

    def state(self, customer: str = "Acme Tools") -> tuple[str, str | None]:
        """What a customer's alert has come to, and why."""
        where = "FROM alert WHERE public_id = :id"
        alert = self.alert(customer)
        return (
            str(value(self.database, f"SELECT state {where}", id=alert)),
            value(self.database, f"SELECT close_reason {where}", id=alert),
        )

    def linked(self, customer: str = "Acme Tools") -> str:
        """The address a mail's link leads to."""
        key = self.settings.secret_key.get_secret_value()
        return f"{self.address}/a/{token_of(key, self.alert(customer))}"


@pytest.fixture
def site(database: Database, mailbox: MailSink) -> Iterator[Site]:
    """Three customers to call, one of them urgent, and one not sent."""
    told = settings(smtp_url=f"{mailbox.smtp_url}?starttls=never")
    with database.transaction() as connection:
        rep = a_rep(connection)
        for name, worth, urgent in (
            ("Acme Tools", 25, False),
            ("Brightwater & Daughters Agricultural Machinery Ltd", 60, True),
            ("Copperfield", 12, False),
            ("Dunmore", 1, False),
        ):
            customer = a_customer(connection, rep, name)
            order = an_order(connection, customer, f"INV-{name[:4]}")
            a_signal(connection, customer, order, value=worth, urgent=urgent)
            decide_task(connection, order)
    drain(database, told)
    app = create_app(
        told, database, lambda _queue: None, lambda: NOW, Metrics("alerts", "test"), bind=("127.0.0.1", 8003)
    )
    server = make_server("127.0.0.1", 0, app, threaded=True)
    serving = Thread(target=server.serve_forever)
    serving.start()
    yield Site(f"http://127.0.0.1:{server.port}", database, told, mailbox)
    server.shutdown()
    serving.join()
    server.server_close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's Chromium."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"no browser on this machine: none of {', '.join(BROWSERS)}")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def window(browser: Browser) -> Iterator[BrowserContext]:
    """A phone's window. Every error on a page's console fails the test."""
    context = browser.new_context(viewport={"width": 375, "height": 800})
    complaints: list[str] = []
    context.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    yield context
    context.close()
    assert complaints == []


@pytest.fixture
def page(window: BrowserContext) -> Page:
    """A page in that window."""
    opened = window.new_page()
    opened.set_default_timeout(5000)
    return opened


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core, fetched with npm."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm to fetch axe-core with")
    folder: Path = tmp_path_factory.mktemp("axe")
    fetched = subprocess.run(
        [npm, "install", "--no-save", "--prefix", str(folder), AXE],
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    if fetched.returncode:
        pytest.skip(f"axe-core cannot be fetched: {fetched.stderr.strip().splitlines()[-1:]}")
    return (folder / "node_modules/axe-core/axe.min.js").read_text()
