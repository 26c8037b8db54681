"""A scoring worker does what takes long in a child process."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from shared import tasks
from shared.db import Database
from tests.chaos.harness import eventually
from tests.scoring_orders import NOW

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
EARLY = NOW.replace(hour=1)
"""Before anything is done of what is done every night."""


@pytest.fixture
def worker(database_url: str, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A worker without Redis, whose log is beside it."""
    settings = {
        "DATABASE_URL": database_url,
        "TIPOFF_SECRET_KEY": "k" * 32,
        "TIPOFF_BUSINESS_TIME": EARLY.isoformat(),
    }
    command = [sys.executable, "-m", "services.cli", "work", "scoring", "--metrics", "127.0.0.1:0"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, env=os.environ | settings, stderr=log)
    yield process
    process.terminate()
    assert process.wait(20) == 0


def children(process: subprocess.Popen[bytes]) -> list[int]:
    """The processes that do the night's work for it."""
    found = []
    for each in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = each.read_text().rsplit(")", 1)[1].split()[1]
            command = (each.parent / "cmdline").read_text()
        except OSError:  # it ended
            continue
        if parent == str(process.pid) and "spawn_main" in command:
            found.append(int(each.parent.name))
    return found


def wait_until_done(database: Database) -> None:
    def is_done() -> bool:
        with database.transaction() as connection:
            return not connection.scalar(text("SELECT EXISTS (SELECT FROM task WHERE state <> 'done')"))

    eventually(is_done, 60, "every task done")


def test_what_takes_long_is_done_in_a_process_that_ends_with_it(
    database: Database, worker: subprocess.Popen[bytes]
) -> None:
    with database.transaction() as connection:
        tasks.put(connection, "scoring", "refresh", ["asked"])
        tasks.put(connection, "scoring", "fit", ["asked:neighbours"])
    wait_until_done(database)
    eventually(lambda: not children(worker), 20, "nothing left of it")
