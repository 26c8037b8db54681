"""This file brings the sample company in, through the doors a real one uses: imports and signed webhooks."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from deploy.child import StackError
from deploy.sample import generate
from shared.signing import sign

Say = Callable[[str], None]

NOUNS = (
    "reps",
    "territories",
    "customers",
    "assignments",
    "products",
    "costs",
    "price-breaks",
    "exchange-rates",
    "targets",
    "orders",
)
PACE_SECONDS = 0.5


def load_history(folder: Path, today: date, settings: Mapping[str, str], say: Say, *, skip: bool) -> None:
    """Bring the database to today's tables and, the first time, the company's history and its first fit."""
    tipoff(settings, "migrate")
    if skip:
        say(f"Going on with the company of {today:%d %B %Y}; `make run FRESH=1` begins anew.")
        return
    say("Making up a company of 600 customers and two years of their orders ...")
    generate(folder, today, seed=7)
    for noun in NOUNS:
        say(f"Importing {noun} ...")
        tipoff(settings, "import", noun, str(folder / f"{noun}.csv"))
    say("Fitting the models ...")
    say(tipoff(settings, "fit"))


def tipoff(settings: Mapping[str, str], *arguments: str) -> str:
    """Run a command as an operator would and return what it printed. Raises StackError with its complaint."""
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", *arguments],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **settings},
        cwd=Path(__file__).parents[1],
    )
    if done.returncode:
        raise StackError(f"tipoff {' '.join(arguments)} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout.strip()


@dataclass(frozen=True, slots=True)
class Hook:
    """Where orders are posted, and the secret they are signed with."""

    url: str
    secret: str


def post_last_day(
    day: Path, hook: Hook, start: int, remember: Callable[[int], None], stopping: threading.Event, say: Say
) -> None:
    """Post the last day's orders as signed webhooks at a visible pace, from where the last run stopped."""
    orders = day.read_text().splitlines()
    for number, line in enumerate(orders[start:], start + 1):
        if stopping.is_set():
            return
        order = json.loads(line)
        answer = _post(hook, f"msg_{number:04}_{order['id']}", order)
        customer = (order.get("customer") or {}).get("name") or "a guest"
        say(f"  order {order['id']} of {customer}: {answer}")
        remember(number)
        stopping.wait(PACE_SECONDS)
    if start < len(orders):
        say(f"All {len(orders)} orders of the day are posted.")


def _post(hook: Hook, message_id: str, order: Mapping[str, object]) -> str:
    now = datetime.now(UTC)
    body = json.dumps({"type": "order.created", "timestamp": now.isoformat(), "data": order}).encode()
    headers = {"Content-Type": "application/json", **sign(message_id, now, body, [hook.secret])}
    try:
        with urlopen(Request(hook.url, body, headers), timeout=10) as response:  # noqa: S310 - our own hook
            return f"{response.status} {json.load(response)['status']}"
    except HTTPError as refused:
        return f"{refused.code} {refused.read().decode(errors='replace')}"
    except URLError as gone:
        return f"not answered: {gone.reason}"
