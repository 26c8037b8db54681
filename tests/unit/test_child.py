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

from shared.child import Child, KeptChild

ROOT = Path(__file__).parents[2]


def made(base: int) -> Callable[[str], int]:
    """Return what the child runs."""

    def run(what: str) -> int:
        if what == "die":
            os._exit(1)
        if what == "stop":
            os.kill(os.getpid(), signal.SIGTERM)
        if what.startswith("stay "):
            Path(what.removeprefix("stay ")).write_text(f"{os.getpid()} ")
            time.sleep(60)
        return os.getpid() if what == "who" else base + int(what)

    return run


def never_made() -> Callable[[str], int]:
    """Fail in the child, before it runs anything."""
    raise ValueError("nothing to begin with")


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
    child = Child(made, 40)
    assert child.run("2") == 42
    with pytest.raises(ValueError, match="invalid literal"):
        child.run("two")


def test_each_answer_has_a_process_that_ends_with_it() -> None:
    child = Child(made, 0)
    first, second = child.run("who"), child.run("who")
    assert len({first, second, os.getpid()}) == 3
    with pytest.raises(ProcessLookupError):
        os.kill(second, 0)


def test_a_stop_is_for_its_parent_to_act_on() -> None:
    with pytest.raises(ValueError, match="stop"):  # it went on after SIGTERM
        Child(made, 0).run("stop")


def test_one_that_dies_fails_and_the_next_does_not() -> None:
    child = Child(made, 40)
    with pytest.raises(BrokenProcessPool):
        child.run("die")
    assert child.run("2") == 42


def test_one_that_is_kept_answers_each_call_and_begins_anew_after_it_died() -> None:
    child = KeptChild(made, 0)
    assert not child.is_ready()
    eventually(child.is_ready, "the child begins")
    first, second = child.start("who").result(), child.start("who").result()
    assert first == second != os.getpid()
    with pytest.raises(BrokenProcessPool):
        child.start("die").result()
    with pytest.raises(BrokenProcessPool):
        child.start("who")
    eventually(child.is_ready, "another begins")
    assert child.start("who").result() not in (first, os.getpid())


def test_one_that_cannot_begin_is_never_ready() -> None:
    child = KeptChild(never_made)
    child.is_ready()
    eventually(child._begun.done, "it gave up")
    assert not child.is_ready()


@pytest.mark.parametrize("kind", ["Child", "KeptChild"])
def test_dies_with_its_parent(tmp_path: Path, kind: str) -> None:
    note = tmp_path / "pid"
    call = "child.run" if kind == "Child" else "eventually(child.is_ready, 'it begins'); child.start"
    program = (
        f"from tests.unit.test_child import *; child = {kind}(made, 0); {call}('stay {note}'); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    eventually(lambda: note.exists() and note.read_text().endswith(" "), "the child begins")
    pid = int(note.read_text())
    parent.kill()
    parent.wait()
    eventually(lambda: not is_alive(pid), "it ends with its parent")
