"""Orders of a file, sent as signed webhooks as a shop would: to try an installation on real history."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import requests

from services.ingest.imports.columns import ColumnMap
from services.ingest.imports.file_orders import FileOrder, Window, create_views, file_orders, wanted
from services.ingest.imports.table import FileFault, open_table
from shared.clock import real_now
from shared.signing import signed_order

TIMEOUT_SECONDS = 15

SendFault = requests.RequestException
"""What keeps a message from being answered at all."""

open_session = requests.Session
"""One connection for all messages."""


@dataclass(frozen=True, slots=True)
class OutboundOrder:
    """An order of the file as `POST /v1/orders` takes it, and when it was placed."""

    key: str
    order: dict[str, object]
    ordered_at: datetime


@dataclass(frozen=True, slots=True)
class Answer:
    """What was sent and what came back."""

    key: str
    status: int
    outcome: str
    event_id: str | None
    seconds: float


def orders_of(file: Path, columns: ColumnMap, window: Window) -> list[OutboundOrder]:
    """Read the orders of a file in the order they were placed. They are held in memory: choose the days."""
    with open_table(file) as table:
        create_views(table, columns)
        reader = table.stream(wanted(window))
        found = [_outbound(each, columns) for each in file_orders(reader)]
    return sorted(found, key=lambda order: (order.ordered_at, order.key))


def _outbound(file_order: FileOrder, columns: ColumnMap) -> OutboundOrder:
    """Return the order as it is sent. Raises FileFault, naming the row, for one without a time or with two."""
    where = f"row {file_order.rows[0]}, order {file_order.key}"
    if file_order.contradiction is not None:
        raise FileFault(f"{where}: {file_order.contradiction}")
    order = {name: value for name, value in json.loads(file_order.raw).items() if value is not None}
    order.setdefault("customer", None)
    if columns.currency is not None:
        order.setdefault("currency", columns.currency)
    try:
        ordered_at = datetime.fromisoformat(str(order.get("ordered_at", "")))
    except ValueError:
        raise FileFault(
            f"{where}: ordered_at “{order.get('ordered_at', '')}” is no date as 2026-01-31T09:00:00Z\n"
            "hint: `tipoff import orders FILE --dry-run` names every row that cannot be read"
        ) from None
    if ordered_at.tzinfo is None:
        ordered_at = ordered_at.replace(tzinfo=ZoneInfo(columns.zone or "UTC"))
    order["ordered_at"] = ordered_at.isoformat()
    return OutboundOrder(file_order.key, order, ordered_at)


@dataclass(frozen=True, slots=True)
class Sender:
    """Signs and posts."""

    url: str
    secret: str
    session: requests.Session

    def send(self, order: OutboundOrder) -> Answer:
        """Post one order. Raises requests.RequestException when nobody answers."""
        sent_at = real_now()
        message_id = f"msg_{order.key}_{sent_at.timestamp():.6f}"
        body, headers = signed_order(order.order, message_id, sent_at, self.secret)
        began = time.perf_counter()
        response = self.session.post(
            self.url, data=body, headers=headers, timeout=TIMEOUT_SECONDS, allow_redirects=False
        )
        answered = response.json() if "json" in response.headers.get("Content-Type", "") else {}
        outcome = str(answered.get("detail") or answered.get("status", ""))
        return Answer(
            order.key, response.status_code, outcome, answered.get("id"), time.perf_counter() - began
        )


def send_all(
    sending: list[OutboundOrder],
    sender: Sender,
    *,
    rate: float | None = None,
    times: int = 1,
    pause: Callable[[float], None] = time.sleep,
) -> Iterator[Answer]:
    """Send every order in turn, `times` over, at most `rate` a second."""
    began, number = time.monotonic(), 0
    for _ in range(times):
        for order in sending:
            if rate is not None:
                pause(max(0.0, began + number / rate - time.monotonic()))
            number += 1
            yield sender.send(order)
