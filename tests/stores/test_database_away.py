"""What the services answer while PostgreSQL is read-only or has crashed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from deploy.devstack import DevStack
from shared import migrations
from shared.db import REQUEST, Database
from shared.migrations import upgrade
from shared.worker import Worker
from tests.ingest_service import an_order, ingest_on


def crash(stack: DevStack) -> None:
    """Kill PostgreSQL and whoever serves its connections, as a kernel out of memory would."""
    pid_file = next(stack.folder.rglob("postmaster.pid"))
    postmaster = int(pid_file.read_text().splitlines()[0])
    backends = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    for pid in (postmaster, *map(int, backends)):
        os.kill(pid, signal.SIGKILL)
    time.sleep(0.5)


@pytest.mark.parametrize("ways", [("hook", "api"), ("api", "hook")], ids=" then ".join)
def test_a_crash_seen_over_a_unix_socket_asks_to_come_again(
    own_stack: DevStack, ways: tuple[str, str]
) -> None:
    upgrade(own_stack.database_url)
    database = Database(own_stack.database_url, REQUEST)
    ingest = ingest_on(database, own_stack.database_url)
    writer = ingest.token("orders:write")
    send = {
        "hook": lambda: ingest.hook(an_order()),
        "api": lambda: ingest.client.post("/v1/orders", json=an_order(), headers=writer),
    }
    for way in ways:
        assert send[way]().status_code < 300
    crash(own_stack)
    for way in ways:
        answer = send[way]()
        assert (answer.status_code, answer.headers.get("Retry-After")) == (503, "5"), answer.text
    database.close()


def test_a_read_only_database_asks_to_come_again(database_url: str) -> None:
    database = Database(database_url, REQUEST)
    ingest = ingest_on(database, database_url)
    writer = ingest.token("orders:write")
    with database.autocommit() as connection:
        name = connection.execute(text("SELECT current_database()")).scalar_one()
        connection.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
    database.close()
    read_only = Database(database_url, REQUEST)
    try:
        ingest = ingest_on(read_only, database_url)
        for answer in (
            ingest.hook(an_order()),
            ingest.client.post("/v1/orders", json=an_order(), headers=writer),
        ):
            assert (answer.status_code, answer.headers.get("Retry-After")) == (503, "5"), answer.text
        lines = ingest.client.post(
            "/v1/orders",
            data=json.dumps(an_order(id="bulk")).encode(),
            headers=writer | {"Content-Type": "application/x-ndjson"},
        )
        assert (lines.status_code, json.loads(lines.text)["status"]) == (200, 503)
    finally:
        with read_only.autocommit() as connection:
            connection.execute(text("SET transaction_read_only = off"))
            connection.execute(text("SET default_transaction_read_only = off"))
            connection.execute(text(f'ALTER DATABASE "{name}" RESET default_transaction_read_only'))
        read_only.close()


def test_a_worker_says_once_and_in_a_line_that_the_database_is_away(caplog: pytest.LogCaptureFixture) -> None:
    nowhere = Database("postgresql+psycopg://tipoff@127.0.0.1:1/tipoff", REQUEST)
    worker = Worker("scoring", nowhere, [], None, lambda _: None, [lambda _: None])
    for _ in range(3):
        worker._put_periodic()
    [line] = [record for record in caplog.records if record.name.startswith("shared")]
    assert (line.levelname, line.exc_info) == ("WARNING", None)
    assert "the database does not answer" in line.getMessage()


def test_a_database_ahead_is_ready_by_one_and_plainly_refused_by_more(database_url: str) -> None:
    database = Database(database_url, REQUEST)
    ingest = ingest_on(database, database_url)
    settings = {"DATABASE_URL": database_url, "TIPOFF_SECRET_KEY": "k" * 32}
    known = int(migrations.head())

    def tipoff(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "services.cli", *arguments],
            env=os.environ | settings,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def stand_at(revision: int) -> None:
        with database.transaction() as connection:
            connection.execute(text(f"UPDATE alembic_version SET version_num = '{revision:04}'"))

    try:
        stand_at(known + 1)
        assert ingest.client.get("/readyz").status_code == 200
        assert tipoff("migrate").stdout == f"the database stands at revision {known + 1:04}\n"
        stand_at(known + 2)
        answer = ingest.client.get("/readyz")
        assert answer.status_code == 503
        assert "the database is newer than this program" in answer.get_json()["checks"]["database"]["reason"]
        worker = tipoff("work", "scoring", "--metrics", "127.0.0.1:0")
        assert worker.returncode == 1
        assert "cannot start: the database is newer than this program" in worker.stderr
        migrate = tipoff("migrate")
        assert migrate.returncode == 1
        assert migrate.stderr.startswith("Error: the database is newer than this program")
    finally:
        stand_at(known)
        database.close()


def test_an_error_of_a_statement_does_not_tell_its_values(database: Database) -> None:
    with pytest.raises(DBAPIError) as caught, database.transaction() as connection:
        connection.execute(text("INSERT INTO nowhere VALUES (:name)"), {"name": "Brightwater Ltd"})
    assert "nowhere" in str(caught.value)
    assert "Brightwater" not in str(caught.value)
