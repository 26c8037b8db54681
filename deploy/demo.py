"""This file is `make run`: everything on embedded real servers, a sample company, and its last day as it happens.

The company enters through the same doors as a real one: its history by `tipoff import`, its last day as signed
webhooks over HTTP. Ctrl-C stops everything; the next run starts where this one left off.
"""

import argparse
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from deploy.child import StackError
from deploy.company import Hook, load_history, post_last_day
from deploy.devstack import NO_REDIS, DevStack
from deploy.fleet import Fleet, Part
from deploy.place import WORKER_PORTS, Place, environment, free_ports, others_of, write_environment

READY_SECONDS = 60


def say(line: str) -> None:
    """One line to whoever typed `make run`."""
    print(line, flush=True)


def parts(place: Place, ports: dict[str, int]) -> list[Part]:
    """Every process of the system, as an operator would start it."""
    cli = [sys.executable, "-m", "services.cli"]
    sink = ["--smtp-port", str(ports["smtp"]), "--http-port", str(ports["mails"])]
    return [
        Part(
            "mails", [sys.executable, "-m", "deploy.mailsink", *sink, "--folder", str(place.folder / "mails")]
        ),
        *(
            Part(name, [*cli, "serve", name, "--bind", f"127.0.0.1:{ports[name]}"])
            for name in ("ingest", "scoring", "alerts")
        ),
        *(
            Part(
                f"{queue}-worker", [*cli, "work", queue, "--metrics", f"127.0.0.1:{ports[f'{queue} worker']}"]
            )
            for queue in WORKER_PORTS
        ),
    ]


def wait_until(what: str, is_true: Callable[[], bool], stopping: threading.Event, seconds: float) -> bool:
    """Poll until it holds. False when asked to stop. Raises StackError when it takes too long."""
    deadline = time.monotonic() + seconds
    while not stopping.is_set():
        if is_true():
            return True
        if time.monotonic() > deadline:
            raise StackError(f"{what} took longer than {seconds:.0f} s: see the logs in the data folder.")
        stopping.wait(0.25)
    return False


def answers(url: str) -> bool:
    """Does it answer 200?"""
    try:
        with urlopen(url, timeout=2) as response:  # noqa: S310 - our own loopback addresses
            return bool(response.status == 200)
    except (URLError, OSError):
        return False


def has_text(url: str, text: str) -> bool:
    """Does that page hold that text?"""
    try:
        with urlopen(url, timeout=2) as response:  # noqa: S310 - our own loopback addresses
            return text in response.read().decode()
    except (URLError, OSError):
        return False


def run(folder: Path, stopping: threading.Event) -> None:
    """Start everything, say when it is ready, and stay until asked to stop."""
    place = Place.open(folder)
    with ExitStack() as ending:
        stack = ending.enter_context(
            DevStack(folder / "servers", environment=others_of(folder / "tipoff.env"))
        )
        if not stack.redis_url:
            say(NO_REDIS)
        ports = free_ports(say)
        settings = environment(place, stack, ports)
        write_environment(settings, folder / "tipoff.env")
        home = f"http://127.0.0.1:{ports['alerts']}"
        load_history(
            place.folder / "sample", date.fromisoformat(place.today), settings, say, skip=place.is_loaded
        )
        place.is_loaded = True
        place.save()
        fleet = ending.enter_context(Fleet(parts(place, ports), settings, folder / "logs", say))
        services = [f"http://127.0.0.1:{ports[name]}/readyz" for name in ("ingest", "scoring", "alerts")]
        if not wait_until("starting", lambda: all(map(answers, services)), stopping, READY_SECONDS):
            return

        def remember(posted: int) -> None:
            place.posted = posted
            place.save()

        hook = Hook(f"http://127.0.0.1:{ports['ingest']}/hooks/standard", place.hook_secret)
        day = folder / "sample" / "last_day.ndjson"
        poster = threading.Thread(
            target=post_last_day, args=(day, hook, place.posted, remember, stopping, say)
        )
        poster.start()
        ending.callback(poster.join)
        ending.callback(stopping.set)
        has_alert = lambda: (  # noqa: E731 - one question in two parts
            has_text(f"{home}/inbox", 'href="/inbox/') and any((folder / "mails").glob("*.eml"))
        )
        if wait_until("the first alert", has_alert, stopping, READY_SECONDS):
            say(f"Tipoff is ready: {home}/")
            say(f"For the command line, in another shell: . {folder / 'tipoff.env'} && tipoff --help")
            fleet.watch(stopping)


def main() -> int:
    """Run until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.demo", description="Run Tipoff on a sample company."
    )
    parser.add_argument("--folder", type=Path, default=Path(".data"), help="where everything is kept (.data)")
    parser.add_argument("--fresh", action="store_true", help="forget the last run first")
    arguments = parser.parse_args()
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    folder = arguments.folder.resolve()
    try:
        if arguments.fresh:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        run(folder, stopping)
    except StackError as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
