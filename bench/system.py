"""An installation to measure: durable embedded servers, the sample company's history, its fit, and its processes."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import psycopg

from deploy.company import load_history, tipoff
from deploy.devstack import DevStack
from deploy.supervisor import Part, Supervisor
from shared.signing import new_secret
from shared.worker import PERIODIC_SECONDS

ROOT = Path(__file__).parents[1]
THREADS = 8


class System:
    """Where the servers are, and the settings of every process."""

    def __init__(self, stack: DevStack, folder: Path) -> None:
        self.stack = stack
        self.folder = folder
        self.secret = new_secret()
        self.settings = {
            "DATABASE_URL": stack.database_url,
            "TIPOFF_SECRET_KEY": "bench-" * 8,
            "TIPOFF_HOOK_SECRETS": json.dumps({"standard": [self.secret]}),
            "TIPOFF_SENDING": "live",
            "TIPOFF_RECIPIENTS": "*",
            "TIPOFF_GROUP_WAIT": "PT0S",
            "TIPOFF_GROUP_INTERVAL": "PT0S",
            "TIPOFF_BUDGET_PER_REP": "1000000",
            "TIPOFF_CALL_COST": "0",
            "TIPOFF_CORRECTION_COST": "0",
            "TIPOFF_HOLDOUT_PERCENT": "0",
            **({"REDIS_URL": stack.redis_url} if stack.redis_url else {}),
        }

    @property
    def libpq_url(self) -> str:
        """The address as psql and psycopg want it."""
        return self.stack.database_url.replace("postgresql+psycopg://", "postgresql://")

    def tipoff(self, *arguments: str) -> str:
        """Run a command as an operator would."""
        return tipoff(self.settings, *arguments)

    def wait_for_tasks(self, *kinds: str, seconds: float = 180) -> None:
        """Return when no task (of these kinds) waits or is being done. Raises RuntimeError when it takes longer."""
        until = time.monotonic() + seconds
        query = (
            "SELECT EXISTS (SELECT FROM task WHERE state IN ('ready', 'leased')"
            " AND (kind = ANY(%s) OR %s) AND run_at < now() + interval '1 minute')"
        )
        with psycopg.connect(self.libpq_url, autocommit=True) as connection:
            while connection.execute(query, (list(kinds), not kinds)).fetchone() == (True,):
                if time.monotonic() > until:
                    raise RuntimeError(f"tasks are not done: {' '.join(kinds) or 'all'}")
                time.sleep(0.2)

    def vacuum(self) -> None:
        """Vacuum and checkpoint now: otherwise PostgreSQL does so by itself while the next part is measured."""
        with psycopg.connect(self.libpq_url, autocommit=True) as connection:
            connection.execute("VACUUM (ANALYZE)")
            connection.execute("CHECKPOINT")

    @contextmanager
    def running(self, *parts: Part, settings: Mapping[str, str] | None = None) -> Iterator[None]:
        """Keep these processes running for the length of the block."""
        merged = {**self.settings, **(settings or {})}
        with Supervisor(parts, merged, self.folder / "logs", print):
            yield


@contextmanager
def system(*, with_company: bool) -> Iterator[System]:
    """A fresh installation in a folder that goes with it."""
    folder = Path(tempfile.mkdtemp(prefix="tipoff-bench-"))
    try:
        with DevStack(folder / "servers", environment={}) as stack:
            made = System(stack, folder)
            if with_company:
                load_history(folder / "sample", datetime.now(UTC).date(), made.settings, print)
                with made.running(worker("scoring")):
                    for _ in range(4):  # the night's fits, then its day kinds, then outcomes and the hour
                        time.sleep(PERIODIC_SECONDS + 1)
                        made.wait_for_tasks("refresh", "fit", "evaluate", "observe", "evaluate_changed")
            else:
                made.tipoff("migrate")
            yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def service(name: str, port: int) -> Part:
    """One web service on a port."""
    command = [sys.executable, "-m", "services.cli", "serve", name]
    return Part(name, [*command, "--bind", f"127.0.0.1:{port}", "--threads", str(THREADS)])


def worker(queue: str) -> Part:
    """One worker of a queue."""
    command = [sys.executable, "-m", "services.cli", "work", queue]
    return Part(f"{queue}-worker", [*command, "--metrics", f"127.0.0.1:{free_port()}"])


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str, seconds: float = 30) -> None:
    """Return when somebody answers there, whatever the answer."""
    until = time.monotonic() + seconds
    while True:
        try:
            with urlopen(url, timeout=1):
                return
        except HTTPError:
            return
        except (URLError, OSError):
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def run(command: Sequence[str], **environment: str) -> str:
    """Run a peer's program to its end and return what it printed."""
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, cwd=ROOT, env={**os.environ, **environment}
    )
    return done.stdout
