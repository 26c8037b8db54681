"""This file knows where a demonstration lives: what it remembers, its ports, and the settings of its processes."""

import json
import os
import secrets
import shlex
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from deploy.devstack import DevStack
from shared.signing import new_secret

FIRST_PORTS = {"alerts": 8003, "ingest": 8001, "scoring": 8002, "mails": 8025, "smtp": 1025}
WORKER_PORTS = {"scoring": 9101, "alerts": 9102}
VALUE_FLOOR = "8"
"""What a rep's ten minutes on the phone cost: an alert expected to earn less stays in the inbox."""


@dataclass(slots=True)
class Place:
    """What a run remembers for the next, in one small file beside its data."""

    folder: Path
    today: str
    secret_key: str
    hook_secret: str
    is_loaded: bool = False
    posted: int = 0

    @classmethod
    def open(cls, folder: Path) -> "Place":
        """Read what the last run remembered, or begin."""
        notes = folder / "demo.json"
        if notes.exists():
            return cls(folder, **json.loads(notes.read_text()))
        return cls(folder, datetime.now(UTC).date().isoformat(), secrets.token_urlsafe(32), new_secret())

    def save(self) -> None:
        """Remember this."""
        known = {
            name: getattr(self, name)
            for name in ("today", "secret_key", "hook_secret", "is_loaded", "posted")
        }
        notes = self.folder / "demo.json"
        notes.touch(mode=0o600)
        notes.write_text(json.dumps(known))


def free_ports(say: Callable[[str], None]) -> dict[str, int]:
    """The usual ports, each stepped over to the next free one when taken."""
    ports: dict[str, int] = {}
    for name, first in {
        **FIRST_PORTS,
        **{f"{queue} worker": port for queue, port in WORKER_PORTS.items()},
    }.items():
        ports[name] = next(
            port for port in range(first, first + 500) if port not in ports.values() and _is_free(port)
        )
        if ports[name] != first:
            say(f"port {first} is taken: {name} uses {ports[name]}")
    return ports


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def environment(place: Place, stack: DevStack, ports: dict[str, int]) -> dict[str, str]:
    """The settings of the demonstration: live, but its mail goes to its own sink."""
    settings = {
        "DATABASE_URL": stack.database_url,
        "TIPOFF_SECRET_KEY": place.secret_key,
        "TIPOFF_HOOK_SECRETS": json.dumps({"standard": [place.hook_secret]}),
        "TIPOFF_BASE_CURRENCY": "EUR",
        "TIPOFF_SENDING": "live",
        "TIPOFF_RECIPIENTS": "*",
        "TIPOFF_SMTP_URL": f"smtp://127.0.0.1:{ports['smtp']}?starttls=never",
        "TIPOFF_MAIL_FROM": "Tipoff <tipoff@sample.example>",
        "TIPOFF_PUBLIC_URL": f"http://127.0.0.1:{ports['alerts']}",
        "TIPOFF_SETTLE": "PT0S",
        "TIPOFF_VALUE_FLOOR": VALUE_FLOOR,
        "TIPOFF_NEIGHBOURS": json.dumps(
            {
                "ingest": f"http://127.0.0.1:{ports['ingest']}",
                "scoring": f"http://127.0.0.1:{ports['scoring']}",
                "mails": f"http://127.0.0.1:{ports['mails']}",
                **{
                    f"{queue} worker": f"http://127.0.0.1:{ports[f'{queue} worker']}"
                    for queue in WORKER_PORTS
                },
            }
        ),
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
    """The variables of this process that do not come from this very file: servers somebody else runs may be named,
    ours are ours to start, also from a shell that reaches them.
    """
    own = set(file.read_text().splitlines()) if file.exists() else set()
    return {
        name: value for name, value in os.environ.items() if f"export {name}={shlex.quote(value)}" not in own
    }
