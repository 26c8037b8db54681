"""A child process answers, tells what went wrong, and ends with its answer or with its parent."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from shared.child import run_in_child

ROOT = Path(__file__).parents[2]


def answer(what: str) -> int:
    """What the child does."""
    if what == "die":
        os._exit(1)
    if what == "stop":
        os.kill(os.getpid(), signal.SIGTERM)
    if what.startswith("stay "):
        Path(what.removeprefix("stay ")).write_text(f"{os.getpid()} ")
        time.sleep(60)
    return os.getpid() if what == "who" else 40 + int(what)


def eventually(condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
    """Wait until something is so."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Does the process run, and is no zombie that nobody has collected yet?"""
    asked = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(asked.stdout.strip()) and not asked.stdout.startswith("Z")


def test_answers_and_tells_what_went_wrong() -> None:
    assert run_in_child(answer, "2") == 42
    with pytest.raises(ValueError, match="invalid literal"):
        run_in_child(answer, "two")


def test_each_answer_has_a_process_that_ends_with_it() -> None:
    first, second = run_in_child(answer, "who"), run_in_child(answer, "who")
    assert len({first, second, os.getpid()}) == 3
    with pytest.raises(ProcessLookupError):
        os.kill(second, 0)


def test_a_stop_is_for_its_parent_to_act_on() -> None:
    with pytest.raises(ValueError, match="stop"):  # it went on after SIGTERM
        run_in_child(answer, "stop")


def test_one_that_dies_fails_and_the_next_does_not() -> None:
    with pytest.raises(BrokenProcessPool):
        run_in_child(answer, "die")
    assert run_in_child(answer, "2") == 42


def test_dies_with_its_parent(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    program = f"from tests.unit.test_child import *; run_in_child(answer, 'stay {note}')"
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    eventually(lambda: note.exists() and note.read_text().endswith(" "), "the child begins")
    pid = int(note.read_text())
    parent.kill()
    parent.wait()
    eventually(lambda: not is_alive(pid), "it ends with its parent")
