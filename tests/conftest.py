"""Give tests their real servers: one PostgreSQL and one Redis for a whole run, clean for each test.

`database_url` is a migrated, empty database; `database` opens transactions on it; `redis_url` is an empty Redis;
`own_stack` is a pair of servers that a test may kill; `mailbox` is a mail server that keeps what it is sent.
"""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from deploy.devstack import DevStack
from deploy.mailsink import MailSink
from shared.db import DRAIN, Database
from shared.migrations import upgrade
from tests import databases

# Speed, not safety: nobody needs this data after a power cut. A crash of the server alone still loses nothing.
UNSAFE_BUT_FAST = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
}
WITHOUT_SERVERS = ("unit", "contracts")
# A parallel worker takes a whole file, these first: a long one at the end would keep the other workers waiting.
LONGEST = (
    "journeys/test_sample_company.py",
    "stores/test_worker.py",
    "stores/test_fit.py",
    "chaos/test_whole_system.py",
    "chaos/test_chaos.py",
    "stores/test_extracts.py",
    "journeys/test_imports.py",
    "journeys/test_extras.py",
    "stores/test_backtest.py",
    "journeys/test_import_faults.py",
    "unit/test_sample_company.py",
    "contracts/test_replay.py",
    "journeys/test_prove.py",
    "unit/test_observability.py",
)


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the servers of this run are."""

    database_url: str
    redis_url: str | None


class SharedStack:
    """The servers of one test run, in a folder that goes with them."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tipoff-tests-"))
        self.stack = DevStack(self.folder, settings=UNSAFE_BUT_FAST).start()
        self.servers = Servers(self.stack.database_url, self.stack.redis_url)

    def stop(self) -> None:
        """Stop the servers and forget their data."""
        self.stack.stop()
        shutil.rmtree(self.folder)


SHARED_STACK = pytest.StashKey[SharedStack]()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: pytest.Item) -> None:
    """Parallel run: the process that outlives all workers starts the servers, and tells them where."""
    if not needs_servers(node.config):
        return
    if SHARED_STACK not in node.config.stash:
        node.config.stash[SHARED_STACK] = SharedStack()
    servers = node.config.stash[SHARED_STACK].servers
    node.workerinput["servers"] = (servers.database_url, servers.redis_url)  # type: ignore[attr-defined]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers of a parallel run."""
    if SHARED_STACK in config.stash:
        config.stash[SHARED_STACK].stop()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first."""
    places = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def needs_servers(config: pytest.Config) -> bool:
    """Does what was asked for reach beyond the tests that need no servers?"""
    asked = [(config.invocation_params.dir / each.split("::")[0]).resolve() for each in config.args]
    return any(not set(WITHOUT_SERVERS) & set(path.relative_to(config.rootpath).parts) for path in asked)


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> Iterator[Servers]:
    """The servers of this run: a parallel run's own, else started on first use."""
    given = getattr(request.config, "workerinput", {}).get("servers")
    if given is not None:
        yield Servers(*given)
        return
    shared = SharedStack()
    yield shared.servers
    shared.stop()


@pytest.fixture(scope="session")
def worker_number(request: pytest.FixtureRequest) -> int:
    """Which of the parallel workers this is, from 0."""
    return int(getattr(request.config, "workerinput", {}).get("workerid", "gw0").removeprefix("gw"))


@pytest.fixture(scope="session")
def worker_database(servers: Servers, worker_number: int) -> Iterator[databases.TestDatabase]:
    """This worker's database, made once from a migrated template."""
    database = databases.create(servers.database_url, f"tipoff_test_{worker_number}")
    yield database
    database.close()


@pytest.fixture
def database_url(worker_database: databases.TestDatabase) -> str:
    """Address of a migrated database without a row."""
    databases.clean(worker_database)
    return worker_database.url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A migrated database without a row."""
    opened = Database(database_url, DRAIN)
    yield opened
    opened.close()


@pytest.fixture
def redis_url(servers: Servers, worker_number: int) -> str:
    """Address of an empty Redis. FLUSHALL would empty other workers' too: use FLUSHDB, or `own_stack`."""
    if servers.redis_url is None:
        pytest.skip("no Redis on this machine")
    base, _, _ = servers.redis_url.partition("?")
    url = f"{base}?db={worker_number + 1}"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


@pytest.fixture
def own_stack() -> Iterator[DevStack]:
    """A PostgreSQL (durable, migrated) and a Redis of this test alone, to kill and restart."""
    folder = Path(tempfile.mkdtemp(prefix="tipoff-own-"))
    with DevStack(folder, environment={}) as stack:
        upgrade(stack.database_url)
        yield stack
    shutil.rmtree(folder)


@pytest.fixture
def mailbox(tmp_path: Path) -> Iterator[MailSink]:
    """A mail server on a free port: `mailbox.smtp_url` to send to, `mailbox.mails()` to read."""
    with MailSink(tmp_path / "mails") as sink:
        yield sink
