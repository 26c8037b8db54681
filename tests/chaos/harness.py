"""Run workers as processes of their own, give them facts, and check what became of each."""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from shared import tasks
from shared.notify import connect, wake_up
from tests.chaos import program

ROOT = Path(__file__).parents[2]


def eventually(condition: Callable[[], bool], seconds: float, what: str = "") -> None:
    """Wait until something is so; fail when it is not in time."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"not within {seconds} s: {what or condition}"
        time.sleep(0.02)


class Process:
    """A process of ours, its output in a file: to stop, to kill, to read."""

    def __init__(self, command: Sequence[str], environment: dict[str, str] | None = None) -> None:
        with tempfile.NamedTemporaryFile(prefix="tipoff-chaos-", suffix=".log", delete=False) as log:
            self._log = Path(log.name)
            self._process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=ROOT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Has it not ended?"""
        return self._process.poll() is None

    def log(self) -> str:
        """What it wrote to standard error so far."""
        return self._log.read_text(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, as when the machine's memory runs out."""
        self._process.kill()
        self._process.wait()

    def stop(self, timeout: float = 15) -> float:
        """SIGTERM, and wait. Returns how many seconds it took."""
        begun = time.monotonic()
        self.signal(signal.SIGTERM)
        self._process.wait(timeout)
        return time.monotonic() - begun

    def ended(self, timeout: float = 15) -> int:
        """Wait until it ends by itself. Returns its status."""
        return self._process.wait(timeout)

    def output(self) -> str:
        """What it printed; only after it ended."""
        assert self._process.stdout is not None
        return self._process.stdout.read()

    def close(self) -> None:
        """Kill what still runs and forget the log."""
        if self.is_running:
            self.kill()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.unlink()


class Worker(Process):
    """A worker process of the chaos program."""

    def __init__(
        self, database_url: str, redis_url: str | None, *, lease: float = 1.0, batch: int = 10
    ) -> None:
        arguments = [database_url, redis_url or "", str(lease), str(batch)]
        super().__init__([sys.executable, "-m", "tests.chaos.program", *arguments])

    def counted(self) -> dict[str, int]:
        """What it had counted when it stopped."""
        counted: dict[str, int] = json.loads(self.output())
        return counted


class Facts:
    """Facts put together with their tasks, and the judgement over their effects. Its connections outlive crashes."""

    def __init__(self, database_url: str, redis_url: str | None = None) -> None:
        self._engine = create_engine(database_url, poolclass=NullPool, connect_args={"connect_timeout": 2})
        self._redis = connect(redis_url) if redis_url else None
        self.acknowledged: set[int] = set()
        self._next = 1
        with self._engine.begin() as connection:
            for table in program.TABLES:
                connection.execute(text(table))

    def put(self, count: int = 1, deed: str = "double", *, is_rung: bool = True) -> list[int]:
        """Store facts and their tasks in one transaction; notify. Returns their ids."""
        ids = list(range(self._next, self._next + count))
        self._next += count
        with self._engine.begin() as connection:
            rows = [{"id": each, "value": each * 7, "deed": deed} for each in ids]
            connection.execute(
                text("INSERT INTO fact (id, value, deed) VALUES (:id, :value, :deed) ON CONFLICT DO NOTHING"),
                rows,
            )
            tasks.put(connection, program.QUEUE, program.KIND, [str(each) for each in ids])
        self.acknowledged.update(ids)
        if self._redis is not None and is_rung:
            wake_up(self._redis, program.QUEUE)
        return ids

    def put_stubbornly(self, count: int, deed: str) -> None:
        """Put facts one by one, each again until the database says it is there, as a client repeats on 503."""
        for _ in range(count):
            wanted = self._next
            while wanted not in self.acknowledged:
                self._next = wanted
                try:
                    self.put(1, deed)
                except DBAPIError:
                    time.sleep(0.05)

    def put_until(self, until: float, deed: str) -> None:
        """Put facts stubbornly for some time, some thirty a second."""
        while time.monotonic() < until:
            self.put_stubbornly(1, deed)
            time.sleep(0.02)

    def wait_for_someone_in_the_middle(self, pids: Sequence[int]) -> int:
        """Wait until one of these workers has begun a batch and not ended it. Returns its process id."""
        question = (
            "SELECT a.pid FROM attempt_log a JOIN task t ON t.key = a.fact_id::text WHERE t.state = 'leased'"
            f" AND a.pid IN ({', '.join(map(str, pids))}) ORDER BY a.at DESC LIMIT 1"
        )
        found: list[int] = []

        def is_found() -> bool:
            found.extend(pid for pid in [self.value(question)] if pid is not None)
            return bool(found)

        eventually(is_found, 10, "a worker in the middle of a batch")
        return found[-1]

    def has_acknowledged(self, number: int) -> bool:
        """Are more than so many facts stored?"""
        return len(self.acknowledged) > number

    def states(self) -> Counter[str]:
        """How many tasks are in which state."""
        with self._engine.begin() as connection:
            rows = connection.execute(
                text("SELECT state, count(*)::int AS number FROM task WHERE kind = 'double' GROUP BY state")
            )
            return Counter({row.state: row.number for row in rows})

    def is_settled(self) -> bool:
        """Is every task done or dead?"""
        try:
            return not set(self.states()) - {"done", "dead"}
        except DBAPIError:
            return False

    def settle(self, seconds: float = 60) -> float:
        """Wait until every task is done or dead. Returns how long that took."""
        begun = time.monotonic()
        eventually(self.is_settled, seconds, "every task done or dead")
        return time.monotonic() - begun

    def value(self, question: str) -> Any:
        """The first value of a query's first row."""
        with self._engine.begin() as connection:
            return connection.scalar(text(question))

    def judge(self, dead: Sequence[int] = ()) -> None:
        """Every acknowledged fact has its effect exactly once, as a second reckoning says, and nothing else has."""
        with self._engine.begin() as connection:
            effects = connection.execute(text("SELECT fact_id, value FROM effect ORDER BY fact_id")).all()
            known = set(connection.scalars(text("SELECT id FROM fact")))
            gone = connection.scalars(
                text("SELECT key::bigint FROM task WHERE state = 'dead' ORDER BY 1")
            ).all()
            held = connection.scalar(
                text("SELECT count(*) FROM task WHERE state = 'leased' OR lease_token IS NOT NULL")
            )
        lost = self.acknowledged - known
        assert not lost, f"lost facts: {lost}"
        assert list(gone) == list(dead)
        expected = [(each, each * 14) for each in sorted(known - set(dead))]
        assert [tuple(row) for row in effects] == expected
        assert held == 0

    def most_attempts(self) -> int:
        """How often the task tried most often was tried."""
        return int(
            self.value(
                "SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM attempt_log GROUP BY fact_id) x"
            )
        )


class Crew:
    """Some workers; who dies is replaced when the crew is tended, as a supervisor would."""

    def __init__(self, count: int, database_url: str, redis_url: str | None, **given: Any) -> None:
        self._start: Callable[[], Worker] = lambda: Worker(database_url, redis_url, **given)
        self._count = count
        self._workers: list[Worker] = []
        self.deaths = 0

    def __enter__(self) -> Self:
        self._workers = [self._start() for _ in range(self._count)]
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.close()

    def tend(self) -> bool:
        """Replace the dead."""
        for place, worker in enumerate(self._workers):
            if not worker.is_running:
                worker.close()
                self._workers[place] = self._start()
                self.deaths += 1
        return True

    def pids(self) -> list[int]:
        """Who lives."""
        return [worker.pid for worker in self._workers if worker.is_running]

    def any(self, chance: random.Random) -> Worker:
        """One of them."""
        return chance.choice(self._workers)

    def kill(self, pid: int) -> None:
        """SIGKILL one."""
        (worker,) = (each for each in self._workers if each.pid == pid)
        worker.kill()


@contextmanager
def workers(count: int, database_url: str, redis_url: str | None, **given: Any) -> Iterator[list[Worker]]:
    """Some workers, ended at the end whatever happens."""
    with ExitStack() as stack:
        started = [Worker(database_url, redis_url, **given) for _ in range(count)]
        for each in started:
            stack.callback(each.close)
        yield started
