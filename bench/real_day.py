"""One real day from end to end: `python -m bench.real_day`.

Fifteen months of a real wholesaler's orders are imported, the models fitted, and the orders of 28 February 2011
posted as signed webhooks with the business clock on that day. Printed: times, peak memory, what became of every
order and signal, and every message as its reader got it. Needs the UCI Online Retail II lines beside the project
(TIPOFF_REFERENCE, default ../shared).
"""

import csv
import email
import os
import subprocess
import sys
import time
from email import policy
from pathlib import Path

import duckdb
import psycopg

from bench.history import REFERENCE
from bench.load_client import Receiver
from bench.system import ROOT, System, free_port, service, system, wait_for, worker
from deploy.supervisor import Part

DAY, NEXT_DAY = "2011-02-28", "2011-03-01"
REPS = 3


def main() -> int:
    """Run the day and print it."""
    if not REFERENCE.exists():
        sys.exit(f"the real orders are not there: {REFERENCE}")
    with Receiver() as receiver, system(with_company=False) as running:
        running.settings |= {
            "TIPOFF_BASE_CURRENCY": "GBP",
            "TIPOFF_TIME_ZONE": "Europe/London",
            "TIPOFF_BUSINESS_TIME": f"{DAY}T18:00:00+00:00",
            "TIPOFF_GROUP_WAIT": "PT30S",
            "TIPOFF_BUDGET_PER_REP": "5",
            "TIPOFF_HOLDOUT_PERCENT": "10",
            "TIPOFF_LOOPBACK_ORIGINS": receiver.origin,
        }
        del running.settings["TIPOFF_CALL_COST"], running.settings["TIPOFF_CORRECTION_COST"]
        _people(running)
        _timed(
            running,
            "import",
            "orders",
            str(REFERENCE),
            "--columns",
            "online_retail",
            "--until",
            DAY,
            "--rejects",
            str(running.folder / "rejects.csv"),
        )
        _timed(running, "import", "assignments", str(running.folder / "assignments.csv"))
        _timed(running, "fit")
        running.tipoff("endpoints", "add", receiver.url)
        mails = _play(running)
        _account(running)
        _messages(mails)
        print(f"webhooks received: {len(receiver.arrived)} for orders {sorted(receiver.arrived)}")
    return 0


def _people(running: System) -> None:
    """Three reps and a desk that gets what nobody owns: the data names none."""
    reps = [
        [f"R{n}", f"Rep {n}", f"rep{n}@wholesaler.example", "Europe/London", "false"]
        for n in range(1, REPS + 1)
    ]
    reps.append(["DESK", "Sales desk", "desk@wholesaler.example", "Europe/London", "true"])
    _write(running.folder / "reps.csv", ["id", "name", "email", "time_zone", "default_owner"], reps)
    with duckdb.connect() as connection:
        customers = connection.execute(
            f"SELECT DISTINCT customer_id FROM '{REFERENCE}' WHERE customer_id IS NOT NULL"
            f" AND invoice_ts < '{DAY}' ORDER BY 1"
        ).fetchall()
    owned = [[str(row[0]), f"R{int(row[0]) % REPS + 1}", "2009-12-01"] for row in customers]
    _write(running.folder / "assignments.csv", ["customer_id", "rep_id", "valid_from"], owned)
    running.tipoff("import", "reps", str(running.folder / "reps.csv"))


def _write(file: Path, header: list[str], rows: list[list[str]]) -> None:
    with file.open("w", newline="") as out:
        csv.writer(out).writerows([header, *rows])


def _timed(running: System, *arguments: str) -> None:
    """Run a command, pass on what it prints, and add its wall time and peak memory."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "services.cli", *arguments]
    process = subprocess.Popen(command, env={**os.environ, **running.settings}, cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    took = time.perf_counter() - began
    print(
        f"--- tipoff {arguments[0]}: {took:.1f} s, peak {usage.ru_maxrss / 1024:.0f} MB, exit {status}\n",
        flush=True,
    )


def _play(running: System) -> Path:
    """Post the day's orders over HTTP and wait until every task is done."""
    ingest, smtp, pages = free_port(), free_port(), free_port()
    mails = running.folder / "mails"
    sink = ["--smtp-port", str(smtp), "--http-port", str(pages), "--folder", str(mails)]
    settings = {"TIPOFF_SMTP_URL": f"smtp://127.0.0.1:{smtp}?starttls=never"}
    parts = (service("ingest", ingest), worker("scoring"), worker("alerts"))
    sink_part = Part("mails", [sys.executable, "-m", "deploy.mailsink", *sink])
    with running.running(sink_part, *parts, settings=settings):
        wait_for(f"http://127.0.0.1:{ingest}/healthz")
        running.wait_for_tasks("refresh")
        hook = f"http://127.0.0.1:{ingest}/hooks/standard"
        _timed(
            running, "send", "orders", str(REFERENCE), "--columns", "online_retail", "--url", hook,
            "--secret", running.secret, "--since", DAY, "--until", NEXT_DAY,
        )  # fmt: skip
        began = time.perf_counter()
        running.wait_for_tasks("score")
        print(f"--- scored {time.perf_counter() - began:.1f} s after the last was posted")
        running.wait_for_tasks("decide")
        running.wait_for_tasks("deliver")
        print(f"--- decided and delivered {time.perf_counter() - began:.1f} s after the last was posted\n")
    return mails


ACCOUNT = {
    "orders of the day": "SELECT o.kind, coalesce(s.reason, 'looked at') AS fate, count(*) FROM sales_order o"
    " LEFT JOIN skip_reason s ON s.order_id = o.id WHERE NOT o.is_history GROUP BY 1, 2 ORDER BY 1, 2",
    "signals found": "SELECT kind, count(*), sum(value) FROM signal GROUP BY 1 ORDER BY 1",
    "what became of every signal": "SELECT s.kind, coalesce(d.verdict, 'UNDECIDED'), coalesce(d.reason, '-'), count(*)"
    " FROM signal s LEFT JOIN decision d ON d.signal_id = s.id GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
    "messages by rep": 'SELECT u.name, a.verdict, a.reason, count(*) FROM alert a JOIN "user" u'
    " ON u.id = a.recipient_id"
    " GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
    "deliveries": "SELECT channel, state, count(*) FROM delivery GROUP BY 1, 2 ORDER BY 1, 2",
    "dead tasks": "SELECT kind, key, error FROM task WHERE state = 'dead'",
}


def _account(running: System) -> None:
    """Every order and every signal of the day is in one of these rows."""
    with psycopg.connect(running.libpq_url) as connection:
        for title, query in ACCOUNT.items():
            print(title)
            for row in connection.execute(query):
                print("   ", " | ".join(str(value) for value in row))
        print()


def _messages(mails: Path) -> None:
    """Every mail as its reader got it."""
    for number, file in enumerate(sorted(mails.glob("*.eml")), 1):
        message = email.message_from_bytes(file.read_bytes(), policy=policy.default)
        body = message.get_body(("plain",))
        text = body.get_content() if body is not None else ""
        print(f"=== {number}. To: {message['To']}\nSubject: {message['Subject']}\n\n{text}")


if __name__ == "__main__":
    sys.exit(main())
