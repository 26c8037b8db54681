"""The sample company comes in as a real one does: its history by imports, its last day as signed webhooks."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from deploy.child import StackError
from deploy.sample import generate
from shared.signing import signed_order

Say = Callable[[str], None]

NOUNS = (
    "reps",
    "territories",
    "customers",
    "assignments",
    "products",
    "costs",
    "price-breaks",
    "price-agreements",
    "exchange-rates",
    "targets",
    "contacts",
    "holds",
    "orders",
)
PASSING = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
"""Refusals that end by themselves."""


def load_history(
    folder: Path,
    today: date,
    settings: Mapping[str, str],
    say: Say,
    loaded: Collection[str] = (),
    remember: Say = lambda _step: None,
) -> None:
    """Bring the database to today's tables, then load the company's history and fit.

    `loaded` names the steps an earlier start finished; `remember` is told each step when it is done.
    """
    tipoff(settings, "migrate")
    steps = [step for step in (*NOUNS, "fit") if step not in loaded]
    if not steps:
        say(f"Going on with the company of {today:%d %B %Y}; `make run FRESH=1` begins anew.")
        return
    say("Making up a company of 600 customers and two years of their orders ...")
    generate(folder, today, seed=7)
    for step in steps:
        if step == "fit":
            say("Fitting the models ...")
            say(tipoff(settings, "fit"))
        else:
            say(f"Importing {step} ...")
            tipoff(settings, "import", step, str(folder / f"{step}.csv"))
        remember(step)


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

    def post(self, number: int, order: Mapping[str, Any]) -> str | None:
        """Post one order as a signed webhook and return what the answer says; None: not taken in, try again.

        Raises StackError when it is refused for good, which our own service never does: then another program
        listens at our address.
        """
        message_id = f"msg_{number:04}_{order['id']}"
        body, headers = signed_order(order, message_id, datetime.now(UTC), self.secret)
        try:
            with urlopen(Request(self.url, body, headers), timeout=10) as response:  # noqa: S310 - our own hook
                return f"{response.status} {json.load(response)['status']}"
        except HTTPError as refused:
            if refused.code >= HTTPStatus.INTERNAL_SERVER_ERROR or refused.code in PASSING:
                return None
            raise StackError(
                f"{self.url} refuses our orders ({refused.code}): another program took its port. Run it again."
            ) from refused
        except (OSError, ValueError, KeyError, HTTPException):
            return None
