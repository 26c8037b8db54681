"""Process supervisor: keeps the processes of one deployment running on one machine, and ends them all."""

import os
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.child import Child, StackError

STOP_SECONDS = 12
RESTARTS = 5


@dataclass(frozen=True, slots=True)
class Part:
    """One process: a name for its log, and its command."""

    name: str
    command: Sequence[str]


class Supervisor:
    """Starts parts together, starts one again that ends by itself, and stops them together."""

    def __init__(
        self, parts: Sequence[Part], settings: Mapping[str, str], logs: Path, say: Callable[[str], None]
    ) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self._environment = {**os.environ, **settings, "PYTHONPATH": str(Path(__file__).parents[1])}
        self._parts = [(part, Child(part.name, signal.SIGTERM, logs / f"{part.name}.log")) for part in parts]
        self._restarts = Counter[str]()
        self._say = say

    def __enter__(self) -> Self:
        for part, child in self._parts:
            self._start(part, child)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ask all to stop at once, then wait for each."""
        stops = [threading.Thread(target=child.stop, args=(STOP_SECONDS,)) for _, child in self._parts]
        for each in stops:
            each.start()
        for each in stops:
            each.join()

    def restart_ended(self) -> None:
        """Start each part again that has ended. Raises StackError when one keeps ending."""
        for part, child in self._parts:
            if child.is_running:
                continue
            if self._restarts[part.name] >= RESTARTS:
                raise StackError(f"{part.name} keeps ending: {child.complaint()}")
            self._restarts[part.name] += 1
            self._say(f"{part.name} ended and is started again; its log: {child.log}")
            self._start(part, child)

    def _start(self, part: Part, child: Child) -> None:
        setpriv = shutil.which("setpriv")
        ends_with_us = [setpriv, "--pdeathsig=TERM"] if setpriv else []
        child.start([*ends_with_us, *part.command], self._environment)
