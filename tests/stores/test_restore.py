"""A dump is put back into a server that has lost its data, and never over orders without being told to."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from deploy.embedded_postgres import binaries
from tests.conftest import Servers

SCRIPT = Path(__file__).parents[2] / "deploy" / "restore.sh"
# Of this process alone: two of these tests may run at once.
NAME = f"tipoff_restore_{os.getpid()}"


class Server:
    """The programs of PostgreSQL, and the script, on the tests' server."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url.replace("postgresql+psycopg", "postgresql"))
        self.database = parts.path.removeprefix("/")
        self._environment = {
            **os.environ,
            "PATH": f"{binaries()}:{os.environ['PATH']}",
            "PGHOST": parse_qs(parts.query)["host"][0],
            "PGUSER": parts.username or "tipoff",
            "COMPOSE": "",
            "TIPOFF_DATABASE": NAME,
        }

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run to the end."""
        return subprocess.run(
            command, check=False, capture_output=True, text=True, env=self._environment, timeout=60
        )

    def sql(self, statement: str) -> str:
        """Ask the database that the script restores."""
        return self.run("psql", "-qtAX", "-d", NAME, "-c", statement).stdout.strip()


@pytest.fixture
def server(servers: Servers, database_url: str) -> Iterator[Server]:
    """A server whose database was lost and made again, with tables and nothing in them."""
    made = Server(database_url)
    made.run("dropdb", "--if-exists", "--force", NAME)
    made.run("createdb", "--template", "template0", NAME)
    made.run("psql", "-d", NAME, "-c", "CREATE TABLE event (id integer)")
    yield made
    made.run("dropdb", "--if-exists", "--force", NAME)


def a_dump(server: Server, file: Path) -> Path:
    """A dump of the tests' database with one event in it."""
    insert = "INSERT INTO event (source, {column}, state) VALUES ('standard', 'webhook', 'quarantined')"
    columns = server.run(
        "psql", "-qtAX", "-d", server.database, "-c",
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'event'"
        " AND column_name IN ('door', 'entry_point')",
    )  # fmt: skip
    made = server.run("psql", "-d", server.database, "-c", insert.format(column=columns.stdout.strip()))
    assert made.returncode == 0, made.stderr
    dumped = server.run("pg_dump", "--format=custom", "--file", file, server.database)
    assert dumped.returncode == 0, dumped.stderr
    return file


def test_a_dump_takes_the_place_of_an_empty_database(server: Server, tmp_path: Path) -> None:
    dump = a_dump(server, tmp_path / "tipoff.dump")
    restored = server.run(SCRIPT, dump)
    assert restored.returncode == 0, restored.stderr
    assert server.sql("SELECT source FROM event") == "standard"
    assert (
        server.sql("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()")
        == "tipoff"
    )
    assert server.sql("SELECT name, value FROM control") == "sending_paused|true"
    assert "Sending is paused: 0 messages waited" in restored.stdout
    again = server.run(SCRIPT, dump)
    assert again.returncode == 1
    assert "holds orders" in again.stderr
    assert server.run(SCRIPT, "--replace", dump).returncode == 0


def test_a_dump_that_is_broken_changes_nothing(server: Server, tmp_path: Path) -> None:
    broken = tmp_path / "tipoff.dump"
    broken.write_bytes(a_dump(server, tmp_path / "whole.dump").read_bytes()[:20_000])
    server.sql("CREATE TABLE kept (id integer)")
    assert server.run(SCRIPT, broken).returncode == 1
    assert server.sql("SELECT to_regclass('kept')") == "kept"
