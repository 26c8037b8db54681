"""Child processes for what takes long: it takes no turn of our threads, and its memory ends with it.

A child ends when this process does, however that ends, and completes what it does when a stop is asked for.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any, ClassVar, Generic, TypeVar

NICE = 10
"""What somebody waits for goes first where there are fewer processors than processes."""

Answer = TypeVar("Answer")


class Child(Generic[Answer]):
    """Runs the function that `make(*made_with)` returns, each call in a process that begins and ends with it.

    `make` is a function of a module; what goes to the child and comes back is pickled, errors as well. A child that
    dies raises BrokenProcessPool.
    """

    _run: ClassVar[Callable[..., Any]]
    """In the child: what it was made to run."""

    def __init__(self, make: Callable[..., Callable[..., Answer]], *made_with: object) -> None:
        self._made_with = (make, made_with)

    def run(self, *arguments: object) -> Answer:
        """Have a child do it, and wait for it."""
        # Spawned: a fork would take over connections, and locks that other threads hold.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, context, self._begin, self._made_with) as pool:
            answer: Answer = pool.submit(self._call, *arguments).result()
        return answer

    @classmethod
    def _begin(cls, make: Callable[..., Callable[..., Any]], made_with: tuple[object, ...]) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        os.nice(NICE)
        threading.Thread(target=_die_with_parent, name="parent", daemon=True).start()
        cls._run = make(*made_with)

    @classmethod
    def _call(cls, *arguments: object) -> Any:  # noqa: ANN401 - whatever the function returns
        return cls._run(*arguments)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
