"""Run the whole system as an operator would, post orders to it, and check what it made of them.

The oracle shares no code with the system: an order sold below its cost means one alert, said once by mail and once
to the webhook; an order sold at its price means nothing.
"""

import asyncio
import json
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from http.client import HTTPException
from typing import Any, Self
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from deploy.devstack import DevStack
from deploy.supervisor import Part
from shared.signing import new_secret, sign
from tests import http_receiver, mail_sink
from tests.chaos.harness import Process, eventually

CLI = [sys.executable, "-m", "services.cli"]
COST, PRICE, BELOW_COST = "10.00", "20.00", "8.00"
OF_ORDERS = "kind <> 'fit'"
"""Tasks that orders cause. A fit is due or not by the time of day."""

REP = "ruth@distributor.example"


def free_port() -> int:
    """A port nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_bad(number: int) -> bool:
    """Is the order of this number sold below its cost?"""
    return number % 3 == 0


def body_of(number: int) -> bytes:
    """The body of one order's webhook, the same at every call."""
    order = {
        "id": f"SO-{number}",
        "version": 1,
        "ordered_at": datetime.now(UTC).date().isoformat() + "T00:00:00Z",
        "currency": "EUR",
        "customer": {"id": f"C-{number}", "name": f"Customer {number}"},
        "lines": [
            {
                "id": "1",
                "sku": "DRILL-8",
                "title": "Drill bit 8 mm",
                "quantity": "100",
                "unit_price": BELOW_COST if is_bad(number) else PRICE,
                "cost": COST,
            }
        ],
    }
    return json.dumps({"type": "order.created", "timestamp": "2026-01-01T00:00:00Z", "data": order}).encode()


class Installation:
    """Ingest and workers as processes, a mail server and a webhook receiver here. Who dies is started again."""

    def __init__(self, stack: DevStack, workers: Sequence[str] = ("scoring", "alerts")) -> None:
        self.stack = stack
        self._queues = workers
        self._secret = new_secret()
        self._engine = create_engine(
            stack.database_url, poolclass=NullPool, connect_args={"connect_timeout": 2}
        )
        self._exits = ExitStack()
        self._processes: dict[str, tuple[Part, Process]] = {}
        self.accepted: dict[int, str] = {}
        self.answers = Counter[int]()
        self.deaths = Counter[str]()

    def __enter__(self) -> Self:
        self.sink = self._exits.enter_context(mail_sink.running())
        self.receiver = self._exits.enter_context(http_receiver.running())
        self._introduce()
        port = free_port()
        self._url = f"http://127.0.0.1:{port}/hooks/standard"
        parts = [Part("ingest", [*CLI, "serve", "ingest", "--bind", f"127.0.0.1:{port}"])]
        for number, queue in enumerate(self._queues):
            metrics = f"127.0.0.1:{free_port()}"
            parts.append(Part(f"{queue} {number}", [*CLI, "work", queue, "--metrics", metrics]))
        for part in parts:
            self._start(part)
        ready = f"http://127.0.0.1:{port}/readyz"
        eventually(lambda: _answer(Request(ready))[0] == 200, 30, "ingest ready")
        return self

    def __exit__(self, *_: object) -> None:
        for _part, process in self._processes.values():
            process.close()
        self._exits.close()

    def _introduce(self) -> None:
        """A rep who gets what nobody owns, and an endpoint that hears everything."""
        with self._engine.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO rep (external_id, name, email, is_default_owner) VALUES ('r', 'Ruth', :email, true)"
                ),
                {"email": REP},
            )
            connection.execute(
                text("INSERT INTO endpoint (channel, address) VALUES ('webhook', :url)"),
                {"url": self.receiver.url},
            )

    def _start(self, part: Part) -> None:
        environment = {
            "DATABASE_URL": self.stack.database_url,
            "REDIS_URL": self.stack.redis_url or "",
            "TIPOFF_SECRET_KEY": "chaos " * 6,
            "TIPOFF_HOOK_SECRETS": json.dumps({"standard": [self._secret]}),
            "TIPOFF_SENDING": "live",
            "TIPOFF_RECIPIENTS": "*",
            "TIPOFF_GROUP_WAIT": "PT0S",
            "TIPOFF_GROUP_INTERVAL": "PT0S",
            "TIPOFF_SMTP_URL": self.sink.url,
            "TIPOFF_LOOPBACK_ORIGINS": self.receiver.url.removesuffix("/hook"),
        }
        if not environment["REDIS_URL"]:
            del environment["REDIS_URL"]
        self._processes[part.name] = (part, Process(part.command, environment))

    def tend(self) -> bool:
        """Start again what died."""
        for name, (part, process) in list(self._processes.items()):
            if not process.is_running:
                process.close()
                self._start(part)
                self.deaths[name] += 1
        return True

    def process(self, name: str) -> Process:
        """One of the processes, as "scoring 0"."""
        return self._processes[name][1]

    def post(self, numbers: Sequence[int]) -> None:
        """Post orders as signed webhooks, each again until it is accepted, as a client repeats on 503."""
        for number in numbers:
            body = body_of(number)
            until = time.monotonic() + 60
            while number not in self.accepted:
                assert time.monotonic() < until, f"order {number} is never accepted: {self.answers}"
                headers = sign(f"msg_{number}", datetime.now(UTC), body, [self._secret])
                request = Request(self._url, body, {"Content-Type": "application/json", **headers})
                status, answer = _answer(request)
                self.answers[status] += 1
                if status in (200, 202):
                    self.accepted[number] = answer["id"]
                if number not in self.accepted:
                    time.sleep(0.1)

    def has_accepted(self, number: int) -> bool:
        """Are more than so many orders accepted?"""
        return len(self.accepted) > number

    def posting(self, numbers: Sequence[int]) -> threading.Thread:
        """The same in a thread of its own."""
        client = threading.Thread(target=self.post, args=(numbers,))
        client.start()
        return client

    def hold_mail(self) -> threading.Event:
        """Let the mail server take its time over every mail until the event is set."""
        go_on, take = threading.Event(), self.sink.handle_DATA

        async def held(server: Any, session: Any, envelope: Any) -> str:
            while not go_on.is_set():  # noqa: ASYNC110 - an event of threads
                await asyncio.sleep(0.02)
            return await take(server, session, envelope)

        self.sink.handle_DATA = held  # type: ignore[method-assign,assignment]
        return go_on

    def rows(self, question: str) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        with self._engine.begin() as connection:
            return [tuple(row) for row in connection.execute(text(question))]

    def count(self, question: str) -> int:
        """The number a query asks for."""
        return int(self.rows(question)[0][0])

    def while_locked(self, table: str, deed: Callable[[], None]) -> None:
        """Do something while nobody can write to a table."""
        with self._engine.begin() as connection:
            connection.execute(text(f"LOCK TABLE {table} IN EXCLUSIVE MODE"))
            deed()

    def let_leases_run_out(self) -> None:
        """As if half a minute had passed since a worker died."""
        with self._engine.begin() as connection:
            connection.execute(text("UPDATE task SET lease_until = now() WHERE state = 'leased'"))

    def is_settled(self) -> bool:
        """Is every task done or dead?"""
        try:
            return not self.count(
                f"SELECT count(*) FROM task WHERE state IN ('ready', 'leased') AND {OF_ORDERS}"
            )
        except DBAPIError:
            return False

    def settle(self, seconds: float = 60) -> float:
        """Wait until every task is done or dead. Returns how long that took."""
        begun = time.monotonic()
        while not (self.tend() and self.is_settled()):
            if time.monotonic() - begun > seconds:
                left = self.rows(
                    f"SELECT * FROM task WHERE state IN ('ready', 'leased') AND {OF_ORDERS} LIMIT 20"
                )
                pytest.fail(f"not settled in {seconds} s; deaths {dict(self.deaths)}; left: {left}")
            time.sleep(0.05)
        return time.monotonic() - begun

    def judge(self) -> None:
        """Every invariant, over what the database holds and what arrived outside."""
        self._judge_orders()
        self._judge_alerts()
        self._judge_deliveries()
        assert self.rows(f"SELECT kind, key, error FROM task WHERE state <> 'done' AND {OF_ORDERS}") == []
        assert (
            self.count("SELECT count(*) FROM task WHERE (state = 'leased') <> (lease_token IS NOT NULL)") == 0
        )

    def _judge_orders(self) -> None:
        """What was accepted is there once with its exact body, and applied (I1, I2)."""
        events = self.rows("SELECT external_id, id::text, body, state FROM event ORDER BY external_id")
        expected = [(f"SO-{n}", self.accepted[n], body_of(n), "applied") for n in self.accepted]
        assert [(each[0], each[1], bytes(each[2]), each[3]) for each in events] == sorted(expected)
        assert self.count("SELECT count(*) FROM sales_order") == len(self.accepted)
        assert self.count("SELECT count(*) FROM order_line") == len(self.accepted)

    def _judge_alerts(self) -> None:
        """One alert for each order sold below its cost, none for another (I3, I4)."""
        alerts = self.rows(
            "SELECT o.external_id FROM alert a JOIN sales_order o ON o.id = a.order_id ORDER BY 1"
        )
        assert [each[0] for each in alerts] == sorted(f"SO-{n}" for n in self.accepted if is_bad(n))
        assert self.count("SELECT count(*) - count(DISTINCT (customer_id, kind, subject)) FROM episode") == 0

    def _judge_deliveries(self) -> None:
        """Each alert went once by each way, as the receivers say too, under one id (I5 to I9, I11)."""
        bad = sum(map(is_bad, self.accepted))
        ways = self.rows(
            "SELECT delivery.channel, coalesce(address, recipient), delivery.state, count(*) FROM delivery"
            " LEFT JOIN endpoint ON endpoint.id = endpoint_id GROUP BY 1, 2, 3 ORDER BY 1"
        )
        assert ways == (
            [("email", REP, "sent", bad), ("webhook", self.receiver.url, "sent", bad)] if bad else []
        )
        known = {row[0]: row[1] for row in self.rows("SELECT id::text, channel FROM delivery")}
        heard = Counter(request.headers["webhook-id"] for request in self.receiver.requests)
        mailed = Counter(str(mail["Message-ID"]).strip("<>").partition("@")[0] for mail in self.sink.mails)
        assert set(heard) == {each for each, channel in known.items() if channel == "webhook"}
        assert set(mailed) == {each for each, channel in known.items() if channel == "email"}
        attempts = self.rows(
            "SELECT delivery_id::text, array_agg(n ORDER BY n), count(*) FILTER (WHERE outcome = 'sent')"
            " FROM attempt GROUP BY 1"
        )
        assert {each[0] for each in attempts} == set(known)
        for delivery, numbers, sent in attempts:
            assert numbers == list(range(1, len(numbers) + 1))
            assert sent == 1
            assert (heard + mailed)[delivery] <= len(numbers), "sent without an attempt on record"

    def repeats(self) -> int:
        """How many sends were repeated."""
        return (
            len(self.receiver.requests) + len(self.sink.mails) - self.count("SELECT count(*) FROM delivery")
        )


def _answer(request: Request) -> tuple[int, Any]:
    """The status and body of an answer; 0 when there was none."""
    try:
        with urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except HTTPError as refused:
        refused.close()
        return refused.code, None
    except (OSError, HTTPException):  # the service was killed before or within its answer
        return 0, None
