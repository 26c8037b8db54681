"""Child processes for what takes long: it takes no turn of our threads, and its memory ends with it."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

NICE = 10
"""What somebody waits for goes first where there are fewer processors than processes."""

Answer = TypeVar("Answer")


def run_in_child(function: Callable[..., Answer], *arguments: object) -> Answer:
    """Have a process do it that begins and ends with it, and wait. One that dies raises BrokenProcessPool.

    `function` belongs to a module; what goes to the child and comes back is pickled, errors as well. The child ends
    when this process does, however that ends, and completes what it does when a stop is asked for.
    """
    # Spawned: a fork would take over connections, and locks that other threads hold.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _begin) as pool:
        return pool.submit(function, *arguments).result()


def _begin() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.nice(NICE)
    threading.Thread(target=_die_with_parent, name="parent", daemon=True).start()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
