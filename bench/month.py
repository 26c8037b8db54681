"""A real month from end to end: `python -m bench.month` writes docs/the-month.md.

Ten months of a real wholesaler's orders are imported, then October 2010 is posted as signed webhooks, each order at
its own time by a business clock that runs: the nights fit and evaluate, the mornings send, three reps get five messages
a day. What then happened is read from the source file, which reaches 90 days further. Needs the UCI Online Retail II
lines beside the project (TIPOFF_REFERENCE, default ../shared).

Every business day is a night (the scoring worker, until its work is done) and a day (everything): the processes are
started anew with the clock at either, so that what is said does not depend on how fast the machine is.
"""

import csv
import email
import json
import re
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from email import policy
from email.message import EmailMessage
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import psycopg

from bench.history import REFERENCE
from bench.month_page import Message, Point, Replay, page
from bench.system import ROOT, System, free_port, service, system, wait_for, worker
from deploy.supervisor import Part
from services.ingest.imports.columns import read_map
from services.ingest.imports.file_orders import Window
from services.ingest.imports.send import OutboundOrder, Sender, open_session, orders_of

FIRST, UNTIL = date(2010, 10, 1), date(2010, 11, 1)
REPS = 3
BUDGET = 5
ZONE = ZoneInfo("Europe/London")
COLUMNS = "online_retail"
NIGHT, DAY, MORNING, EVENING, LATE = (3, 5), (3, 15), (7, 0), (20, 0), (23, 30)
START_SECONDS = 6.0
"""At least so long the processes have to start, and alerts to decide, before it is seven and mails are sent."""

SLACK = 2.5
"""They have so many times what starting took the day before: the clock goes as fast as the machine can follow."""

LAST_SECONDS = 900.0
"""A night or a day that takes longer has failed."""

DOCUMENT = ROOT / "docs" / "the-month.md"
REPLAY = ROOT / ".data" / "month.json"
"""What was said, to write the page again without the month: `python -m bench.month --page`."""


def main() -> int:
    """Play the month and write the page. `--days N`: only its first days, printed and not written."""
    if not REFERENCE.exists():
        sys.exit(f"the real orders are not there: {REFERENCE}")
    days = int(sys.argv[sys.argv.index("--days") + 1]) if "--days" in sys.argv else None
    if "--page" not in sys.argv:
        REPLAY.parent.mkdir(exist_ok=True)
        for replay in _play(FIRST + timedelta(days=days) if days else UNTIL):
            REPLAY.write_text(json.dumps(asdict(replay), indent=1, default=str))
    text = page(Replay.read(json.loads(REPLAY.read_text())), REFERENCE)
    print(text)
    if days is None:
        DOCUMENT.write_text(text)
    return 0


def _play(until: date) -> Iterator[Replay]:
    """Play every day; yield after each what there is to tell."""
    began = time.monotonic()
    with system(with_company=False) as running:
        smtp, mails = free_port(), running.folder / "mails"
        running.settings |= {
            "TIPOFF_BASE_CURRENCY": "GBP",
            "TIPOFF_TIME_ZONE": str(ZONE),
            "TIPOFF_GROUP_WAIT": "PT1S",
            "TIPOFF_BUDGET_PER_REP": str(BUDGET),
            "TIPOFF_BUSINESS_TIME": _at(FIRST, (0, 0)).isoformat(),
            "TIPOFF_SMTP_URL": f"smtp://127.0.0.1:{smtp}?starttls=never",
        }
        del running.settings["TIPOFF_CALL_COST"], running.settings["TIPOFF_CORRECTION_COST"]
        _import(running)
        orders = orders_of(REFERENCE, read_map(COLUMNS), Window(FIRST, until))
        sink = ["--smtp-port", str(smtp), "--http-port", str(free_port()), "--folder", str(mails)]
        with running.running(Part("mails", [sys.executable, "-m", "deploy.mailsink", *sink])):
            took = START_SECONDS
            for day in (FIRST + timedelta(days=number) for number in range((until - FIRST).days)):
                began_at = time.monotonic()
                _night(running, day)
                night = time.monotonic() - began_at
                _wait_for_waiting_mails(running, _at(day, MORNING))
                todays = [each for each in orders if each.ordered_at.astimezone(ZONE).date() == day]
                took = _day(running, day, todays, max(START_SECONDS, SLACK * took))
                print(
                    f"{day:%a %d %b}: night {night:.0f} s, all {time.monotonic() - began_at:.0f} s",
                    flush=True,
                )
                yield Replay(
                    first=FIRST,
                    until=day + timedelta(days=1),
                    minutes=(time.monotonic() - began) / 60,
                    account=_account(running),
                    messages=tuple(_messages(running, mails)),
                )


def _import(running: System) -> None:
    """The history, and three reps who own every third customer each: the data names none."""
    rejects = str(running.folder / "rejects.csv")
    history = [str(REFERENCE), "--columns", COLUMNS, "--until", str(FIRST), "--rejects", rejects]
    print(running.tipoff("import", "orders", *history))
    reps = [
        [f"R{n}", f"Rep {n}", f"rep{n}@wholesaler.example", str(ZONE), str(n == 1).lower()]
        for n in range(1, REPS + 1)
    ]
    _import_rows(running, "reps", ["id", "name", "email", "time_zone", "default_owner"], reps)
    with duckdb.connect() as connection:
        customers = connection.execute(
            f"SELECT DISTINCT CAST(customer_id AS BIGINT) FROM '{REFERENCE}' WHERE customer_id IS NOT NULL"
            f" AND invoice_ts < '{FIRST}' ORDER BY 1"
        ).fetchall()
    owned = [[str(number), f"R{number % REPS + 1}", "2009-12-01"] for (number,) in customers]
    _import_rows(running, "assignments", ["customer_id", "rep_id", "valid_from"], owned)


def _import_rows(running: System, entity: str, header: list[str], rows: list[list[str]]) -> None:
    file = running.folder / f"{entity}.csv"
    with file.open("w", newline="") as out:
        csv.writer(out).writerows([header, *rows])
    running.tipoff("import", entity, str(file))


def _at(day: date, time_of_day: tuple[int, int]) -> datetime:
    hour, minute = time_of_day
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=ZONE)


def _clock(start: datetime, begun: datetime, rate: float = 1.0) -> dict[str, str]:
    """The settings of a business clock that shows `start` when it is really `begun`."""
    return {
        "TIPOFF_BUSINESS_TIME": start.isoformat(),
        "TIPOFF_BUSINESS_BEGUN": begun.isoformat(),
        "TIPOFF_BUSINESS_RATE": str(rate),
    }


def _night(running: System, day: date) -> None:
    """Fit and evaluate, the clock going no faster than ours."""
    with running.running(worker("scoring"), settings=_clock(_at(day, NIGHT), datetime.now(UTC))):
        _wait(
            running,
            f"SELECT EXISTS (SELECT FROM task WHERE kind = 'evaluate' AND key LIKE '{day}%') AND NOT EXISTS ("
            " SELECT FROM task WHERE state IN ('ready', 'leased') AND queue = 'scoring')",
        )


def _wait_for_waiting_mails(running: System, morning: datetime) -> None:
    """Wait, while the clock stands still, until what an earlier day put off to this morning is due."""
    due = (
        "SELECT coalesce(extract(epoch FROM max(run_at) - now()), 0) FROM task JOIN delivery"
        " ON task.key = CAST(delivery.id AS text) WHERE task.kind = 'deliver' AND task.state = 'ready'"
        " AND send_after <= %s"
    )
    with psycopg.connect(running.libpq_url) as connection:
        ((seconds,),) = connection.execute(due, (morning,)).fetchall()
    time.sleep(max(0.0, float(seconds)))


def _day(running: System, day: date, orders: Sequence[OutboundOrder], until_morning: float) -> float:
    """Decide and send what the night found, take in the orders at their times, and wait until all is done.

    What is not done when it is late has the evening once more: the next night is not to begin. Returns how many seconds
    the processes took to start.
    """
    port, begun = free_port(), datetime.now(UTC)
    workers = (worker("scoring"), worker("alerts"))
    rate = (_at(day, MORNING) - _at(day, DAY)).total_seconds() / until_morning
    clock = _clock(_at(day, DAY), begun, rate)

    def seconds_until(moment: datetime) -> float:
        return max(0.0, (begun + (moment - _at(day, DAY)) / rate - datetime.now(UTC)).total_seconds())

    with running.running(service("ingest", port), *workers, settings=clock), open_session() as session:
        wait_for(f"http://127.0.0.1:{port}/healthz", seconds=120)
        took = (datetime.now(UTC) - begun).total_seconds()
        sender = Sender(f"http://127.0.0.1:{port}/hooks/standard", running.secret, session)
        for order in orders:
            time.sleep(seconds_until(order.ordered_at))
            answer = sender.send(order)
            if answer.status not in (200, 202):
                print(f"{order.key}: {answer.status} {answer.outcome}")
        time.sleep(seconds_until(_at(day, MORNING)))
        is_done = _is_soon(running, DONE, seconds_until(_at(day, LATE)))
    evening = (_at(day, LATE) - _at(day, EVENING)).total_seconds() / rate
    until = time.monotonic() + LAST_SECONDS
    while not is_done:
        if time.monotonic() > until:
            raise RuntimeError(f"{day} does not end")
        with running.running(*workers, settings=_clock(_at(day, EVENING), datetime.now(UTC), rate)):
            is_done = _is_soon(running, DONE, evening)
    return took


DONE = (
    "SELECT NOT EXISTS (SELECT FROM task WHERE state IN ('ready', 'leased')"
    " AND run_at < now() + interval '3 seconds')"
)
"""Nothing waits but messages for a later morning."""


def _wait(running: System, query: str) -> None:
    """Wait until a query says so."""
    if not _is_soon(running, query, LAST_SECONDS):
        raise RuntimeError(f"not done: {query}")


def _is_soon(running: System, query: str, seconds: float) -> bool:
    """Wait for so long until a query says so; return whether it did."""
    until = time.monotonic() + seconds
    with psycopg.connect(running.libpq_url, autocommit=True) as connection:
        while connection.execute(query).fetchone() != (True,):
            if time.monotonic() > until:
                return False
            time.sleep(0.2)
    return True


ACCOUNT = {
    "orders": "SELECT coalesce(s.reason, 'judged') AS fate, count(*) FROM sales_order o"
    " LEFT JOIN skip_reason s ON s.order_id = o.id WHERE NOT o.is_history GROUP BY 1 ORDER BY 2 DESC",
    "signals": "SELECT s.kind || ', ' || coalesce(d.verdict, 'undecided') || ', ' || coalesce(d.reason, '-'),"
    " count(*) FROM signal s LEFT JOIN decision d ON d.signal_id = s.id GROUP BY 1 ORDER BY 1",
    "deliveries": "SELECT channel || ', ' || state, count(*) FROM delivery GROUP BY 1 ORDER BY 1",
    "long past at the first night": "SELECT kind, sum(old) FROM first_evaluation GROUP BY 1 ORDER BY 1",
    "dead tasks": "SELECT kind || ', ' || coalesce(error, ''), count(*) FROM task WHERE state = 'dead' GROUP BY 1",
}


def _account(running: System) -> dict[str, dict[str, int]]:
    """What became of every order, signal and delivery."""
    with psycopg.connect(running.libpq_url) as connection:
        return {
            title: {str(name): int(count) for name, count in connection.execute(query)}
            for title, query in ACCOUNT.items()
        }


LIST = re.compile(r"\d+ to (fix|call)")
ENTRY = re.compile(r"^(?=\d+\. \S)", re.MULTILINE)

_SENT = """
SELECT delivery.id AS delivery, alert.id AS alert, delivery.recipient,
       coalesce(delivery.send_after, alert.notified_at) AS sent_at,
       (SELECT min(external_id) FROM customer_ref WHERE customer_id = alert.customer_id) AS customer,
       decision.rank, signal.kind, signal.headline, signal.value, signal.stake, signal.probability, signal.basis,
       signal.horizon_days, signal.detail, alert.order_id IS NOT NULL AS is_about_order,
       ARRAY(SELECT upper(min(external_id)) FROM product_ref
             WHERE product_id = signal.product_id OR signal.detail -> 'products' @> to_jsonb(product_id)
             GROUP BY product_id) AS items
FROM delivery JOIN delivery_item ON delivery_item.delivery_id = delivery.id
JOIN alert ON alert.id = delivery_item.alert_id JOIN decision ON decision.alert_id = alert.id
JOIN signal ON signal.id = decision.signal_id
WHERE delivery.state = 'sent' AND decision.rank IS NOT NULL
ORDER BY sent_at, delivery.id, alert.id, decision.rank
"""


def _messages(running: System, mails: Path) -> list[Message]:
    """Every alert as its reader got it, with the points it made: by a mail of its own, or in the list of a morning."""
    by_delivery: dict[str, EmailMessage] = {}
    for file in sorted(mails.glob("*.eml")):
        mail = email.message_from_bytes(file.read_bytes(), policy=policy.default)
        by_delivery[str(mail["Message-ID"]).strip("<>").partition("@")[0]] = mail
    found: dict[tuple[str, int], Message] = {}
    with psycopg.connect(running.libpq_url, row_factory=psycopg.rows.dict_row) as connection:
        for row in connection.execute(_SENT):
            delivery = str(row["delivery"])
            key = delivery, row["alert"]
            point = Point(
                kind=row["kind"], headline=row["headline"], gain=float(row["value"]), stake=float(row["stake"]),
                p0=row["probability"], basis=row["basis"], horizon_days=row["horizon_days"],
                items=tuple(row["items"]), detail=row["detail"],
            )  # fmt: skip
            if key in found:
                found[key].points.append(point)
                continue
            subject, text = _about(by_delivery[delivery], point.headline)
            found[key] = Message(
                day=row["sent_at"].astimezone(ZONE).date(), rep=row["recipient"], customer=row["customer"],
                subject=subject, text=text, points=[point],
            )  # fmt: skip
    if strays := by_delivery.keys() - {delivery for delivery, _ in found}:
        print("mails of no delivery:", *(str(by_delivery[each]["Subject"]) for each in strays), sep="\n   ")
    return list(found.values())


def _about(mail: EmailMessage, headline: str) -> tuple[str, str]:
    """The subject and the text of one alert: of a mail of its own, or its headline and entry in a list."""
    body = mail.get_body(("plain",))
    text = str(body.get_content()) if body is not None else ""
    if not LIST.match(str(mail["Subject"])):
        return str(mail["Subject"]), text
    return headline, next((each for each in ENTRY.split(text) if headline in each), text)


if __name__ == "__main__":
    sys.exit(main())
