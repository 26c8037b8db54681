"""Child processes: what they do takes no turn of our threads.

A child ends when this process does, however that ends, and completes what it does when a stop is asked for.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, ClassVar, Generic, TypeVar

NICE = 10
"""What somebody waits for goes first where there are fewer processors than processes."""

Answer = TypeVar("Answer")


class Child(Generic[Answer]):
    """Runs the function that `make(*made_with)` returns, each call in a process that begins and ends with it.

    For what takes long and much memory: others go first, and the memory ends with the process.

    `make` is a function of a module; what goes to the child and comes back is pickled, errors as well. A child that
    dies raises BrokenProcessPool.
    """

    _run: ClassVar[Callable[..., Any]]
    """In the child: what it was made to run."""

    def __init__(self, make: Callable[..., Callable[..., Answer]], *made_with: object) -> None:
        self._made_with = (make, made_with)

    def run(self, *arguments: object) -> Answer:
        """Have a child do it, and wait for it."""
        with self._open(NICE) as pool:
            answer: Answer = pool.submit(self._call, *arguments).result()
        return answer

    def _open(self, nice: int) -> ProcessPoolExecutor:
        # Spawned: a fork would take over connections, and locks that other threads hold.
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(1, context, self._begin, (nice, *self._made_with))

    @classmethod
    def _begin(
        cls, nice: int, make: Callable[..., Callable[..., Any]], made_with: tuple[object, ...]
    ) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        os.nice(nice)
        threading.Thread(target=_die_with_parent, name="parent", daemon=True).start()
        cls._run = make(*made_with)

    @classmethod
    def _call(cls, *arguments: object) -> Any:  # noqa: ANN401 - whatever the function returns
        return cls._run(*arguments)


class KeptChild(Child[Answer]):
    """The same in one process that is kept, and begun anew after it died; one that could not begin is not tried again.

    Calls are made by one thread at a time.
    """

    def __init__(self, make: Callable[..., Callable[..., Answer]], *made_with: object) -> None:
        super().__init__(make, *made_with)
        self._pool: ProcessPoolExecutor | None = None
        self._begun: Future[int] = Future()

    def is_ready(self) -> bool:
        """Has it begun? Where it has not, it begins now, which takes seconds that nobody need wait."""
        if self._pool is None:
            self._pool = self._open(nice=0)
            self._begun = self._pool.submit(os.getpid)
        return self._begun.done() and self._begun.exception() is None

    def start(self, *arguments: object) -> Future[Answer]:
        """Have it do something, once it is ready, while this process does something else."""
        if self._pool is None:
            raise BrokenProcessPool("the child has not begun")
        try:
            return self._pool.submit(self._call, *arguments)
        except BrokenProcessPool:
            self._pool = None
            raise


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
