"""The embedded servers start wherever a checkout may lie, keep their data, and leave nothing behind."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
import redis

from deploy import embedded_redis
from deploy.child import StackError
from deploy.devstack import DevStack
from tests.databases import conninfo


def processes_on(folder: Path) -> list[str]:
    """Return the command lines of all processes that name the folder."""
    listing = subprocess.run(["ps", "-e", "-o", "stat=,args="], capture_output=True, text=True, check=True)
    return [
        line
        for line in listing.stdout.splitlines()
        if str(folder) in line and line[0] != "Z" and "pytest" not in line
    ]


def modes_above(folder: Path) -> list[tuple[Path, int, int]]:
    """Return permissions and owner of every parent folder."""
    return [(each, stat.S_IMODE(each.stat().st_mode), each.stat().st_uid) for each in folder.parents]


def ask(stack: DevStack, question: str) -> object:
    """Return the first value of a query's first row."""
    with psycopg.connect(conninfo(stack.database_url)) as connection:
        row = connection.execute(question).fetchone()
        assert row is not None
        return row[0]


def test_keeps_its_data_over_a_crash_and_a_stop(tmp_path: Path) -> None:
    with DevStack(tmp_path, environment={}) as stack:
        assert stack.postgres is not None
        with psycopg.connect(conninfo(stack.database_url)) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
        stack.postgres.kill()
        stack.postgres.restart()
        assert ask(stack, "SELECT count(*) FROM kept") == 1
    with DevStack(tmp_path, environment={}) as stack:
        assert ask(stack, "SELECT count(*) FROM kept") == 1
    assert processes_on(tmp_path) == []


def test_starts_in_a_deep_folder_closed_to_others_and_opens_no_parent(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    deep = closed / "/".join(["a-rather-long-folder-name"] * 7) / "data"
    assert len(str(deep)) > 150
    deep.parent.mkdir(parents=True)
    before = modes_above(deep)
    with DevStack(deep, environment={}) as stack:
        assert ask(stack, "SELECT 1") == 1
        sockets = Path(ask(stack, "SHOW unix_socket_directories"))  # type: ignore[arg-type]
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
    assert modes_above(deep) == before
    assert not sockets.exists()


def test_listens_to_nobody_outside_this_machine(tmp_path: Path) -> None:
    with DevStack(tmp_path, environment={}) as stack:
        assert ask(stack, "SHOW listen_addresses") == ""
        if stack.redis_url is not None:
            with redis.Redis.from_url(stack.redis_url) as client:
                assert client.config_get("port") == {"port": "0"}


def test_is_durable_as_in_production(tmp_path: Path) -> None:
    with DevStack(tmp_path, environment={}) as stack:
        assert [
            ask(stack, f"SHOW {name}") for name in ("fsync", "synchronous_commit", "full_page_writes")
        ] == ["on"] * 3


def test_nothing_outlives_a_killed_parent_and_the_next_start_finds_the_data(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "deploy.devstack", str(tmp_path / "data")]
    quiet = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=quiet) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline().startswith("DATABASE_URL=postgresql+psycopg://")
        parent.send_signal(signal.SIGKILL)
    if sys.platform == "linux":
        deadline = time.monotonic() + 10
        while processes_on(tmp_path) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert processes_on(tmp_path) == []
    with DevStack(tmp_path / "data", environment={}) as stack:
        assert ask(stack, "SELECT 1") == 1


def test_ctrl_c_ends_it_in_order(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "deploy.devstack", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        parent.stdout.readline()
        parent.send_signal(signal.SIGINT)
        assert parent.wait(15) == 0
    assert processes_on(tmp_path) == []


def test_two_stacks_never_share_a_folder(tmp_path: Path) -> None:
    with DevStack(tmp_path, environment={}), pytest.raises(StackError, match="Another Tipoff is running"):
        DevStack(tmp_path, environment={}).start()


def test_the_environment_takes_the_place_of_the_embedded_servers(tmp_path: Path) -> None:
    given = {"DATABASE_URL": "postgresql+psycopg://db.example/tipoff", "REDIS_URL": "redis://redis.example/0"}
    with DevStack(tmp_path, environment=given) as stack:
        assert (stack.database_url, stack.redis_url) == (given["DATABASE_URL"], given["REDIS_URL"])
        assert (stack.postgres, stack.redis) == (None, None)


def test_runs_without_redis_where_none_can_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_redis, "server", lambda: None)
    with DevStack(tmp_path, environment={}) as stack:
        assert stack.redis_url is None
        assert ask(stack, "SELECT 1") == 1


def test_says_in_one_line_why_data_of_another_version_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("15\n")
    with pytest.raises(StackError, match="made by PostgreSQL 15"):
        DevStack(tmp_path, environment={}).start()


def test_a_restarted_redis_is_empty_and_at_the_same_address(own_stack: DevStack) -> None:
    if own_stack.redis is None or own_stack.redis_url is None:
        pytest.skip("no Redis on this machine")
    with redis.Redis.from_url(own_stack.redis_url) as client:
        client.set("held", "1")
        own_stack.redis.kill()
        own_stack.redis.restart()
        assert client.get("held") is None
