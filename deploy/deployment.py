"""A demonstration's deployment: what it remembers, its ports, and the settings of its processes."""

import fcntl
import json
import os
import secrets
import shlex
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.child import StackError
from deploy.devstack import DevStack
from shared.signing import new_secret

WORKER_PORTS = {"scoring": 9101, "alerts": 9102}
FIRST_PORTS = {
    "alerts": 8003,
    "ingest": 8001,
    "scoring": 8002,
    "mails": 8025,
    "smtp": 1025,
    **{f"{queue} worker": port for queue, port in WORKER_PORTS.items()},
}
PORTS_TRIED = 500
PAGE_REFRESH_SECONDS = 5


@dataclass(slots=True)
class Deployment:
    """What one start remembers for the next, in a small file beside its data.

    It is written after each step, so that a start that fails goes on where it stopped.
    """

    today: str
    secret_key: str
    hook_secret: str
    loaded: list[str] = field(default_factory=list)
    """Imports that are done, and "fit"."""
    posted: int = 0
    """Orders of the last day that our own service took in."""
    has_alerted: bool = False

    @classmethod
    def open(cls, folder: Path) -> "Deployment":
        """Read what the last start remembered, or begin."""
        notes = folder / "demo.json"
        if notes.exists():
            known = json.loads(notes.read_text())
            return cls(**{name: value for name, value in known.items() if name in cls.__slots__})
        begun = cls(datetime.now(UTC).date().isoformat(), secrets.token_urlsafe(32), new_secret())
        begun.save(folder)
        return begun

    def save(self, folder: Path) -> None:
        """Remember this; a start that is killed meanwhile leaves the old notes whole."""
        new = folder / "demo.json.new"
        new.touch(mode=0o600)
        new.write_text(json.dumps(asdict(self)))
        new.replace(folder / "demo.json")


class ReservedPorts:
    """Ports of this machine, from now until the end of the block ours alone.

    A locked file for each keeps other demonstrations away as long as this one runs. A listening socket keeps every
    other program away until `hand_over()`, called just before our own processes listen.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.numbers: dict[str, int] = {}
        self._locks: list[int] = []
        self._sockets: list[socket.socket] = []
        for name, first in FIRST_PORTS.items():
            self.numbers[name] = next(filter(self._take, range(first, first + PORTS_TRIED)), 0)
            if not self.numbers[name]:
                self.close()
                raise StackError(f"No port from {first} to {first + PORTS_TRIED - 1} is free for {name}.")
            if self.numbers[name] != first:
                say(f"port {first} is taken: {name} uses {self.numbers[name]}")

    def hand_over(self) -> None:
        """Stop listening, so that our own processes can; the locks stay."""
        while self._sockets:
            self._sockets.pop().close()

    def close(self) -> None:
        """Give the ports back."""
        self.hand_over()
        while self._locks:
            os.close(self._locks.pop())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take(self, port: int) -> bool:
        """Whether nobody had this port; then it is ours."""
        file = Path(tempfile.gettempdir()) / f"tipoff-port-{port}.lock"
        try:
            lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        except PermissionError:  # another user's
            return False
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            listening.bind(("127.0.0.1", port))
            listening.listen()
        except OSError:
            listening.close()
            os.close(lock)
            return False
        self._locks.append(lock)
        self._sockets.append(listening)
        return True


def environment(deployment: Deployment, stack: DevStack, ports: Mapping[str, int]) -> dict[str, str]:
    """The settings of the demonstration: live, but its mail goes to its own sink."""
    address = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    neighbours = {name: url for name, url in address.items() if name not in ("alerts", "smtp")}
    settings = {
        "DATABASE_URL": stack.database_url,
        "TIPOFF_SECRET_KEY": deployment.secret_key,
        "TIPOFF_HOOK_SECRETS": json.dumps({"standard": [deployment.hook_secret]}),
        "TIPOFF_BASE_CURRENCY": "EUR",
        "TIPOFF_SENDING": "live",
        "TIPOFF_RECIPIENTS": "*",
        "TIPOFF_SMTP_URL": f"smtp://127.0.0.1:{ports['smtp']}?starttls=never",
        "TIPOFF_MAIL_FROM": "Tipoff <tipoff@sample.example>",
        "TIPOFF_PUBLIC_URL": address["alerts"],
        "TIPOFF_PAGE_REFRESH": str(PAGE_REFRESH_SECONDS),
        "TIPOFF_GROUP_WAIT": "PT0S",
        "TIPOFF_GROUP_INTERVAL": "PT1M",
        "TIPOFF_NEIGHBOURS": json.dumps(neighbours),
        "TIPOFF_EXTRACTS": str(stack.folder / "extracts"),
    }
    if stack.redis_url:
        settings["REDIS_URL"] = stack.redis_url
    return settings


def write_environment(settings: Mapping[str, str], file: Path) -> None:
    """Write what a shell needs to use `tipoff` on this installation; for its owner's eyes."""
    file.touch(mode=0o600)
    path = f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH"
    file.write_text(
        "\n".join([path, *(f"export {name}={shlex.quote(value)}" for name, value in settings.items()), ""])
    )


def others_of(file: Path) -> dict[str, str]:
    """The variables of this process that do not come from `file`, which `write_environment` wrote.

    A shell that read that file to reach our servers must not make us take them for somebody else's.
    """
    own = set(file.read_text().splitlines()) if file.exists() else set()
    return {
        name: value for name, value in os.environ.items() if f"export {name}={shlex.quote(value)}" not in own
    }
