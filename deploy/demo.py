"""`make run`: everything on embedded real servers, a sample company, and its last day as it happens.

The company comes in as a real one does: its history by `tipoff import`, its last day as signed webhooks over HTTP.
Ctrl-C stops everything; the next run starts where this one stopped, also when this one failed.
"""

import argparse
import json
import shutil
import signal
import sys
import threading
import time
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from deploy.child import StackError
from deploy.company import Hook, load_history
from deploy.deployment import (
    WORKER_PORTS,
    Deployment,
    ReservedPorts,
    environment,
    others_of,
    write_environment,
)
from deploy.devstack import NO_REDIS, DevStack
from deploy.supervisor import Part, Supervisor

READY_SECONDS = 60
PACE_SECONDS = 0.5
"""Between two orders of the last day, so that one can watch them arrive."""


def say(line: str) -> None:
    """One line to whoever typed `make run`."""
    print(line, flush=True)


def parts(folder: Path, ports: dict[str, int]) -> list[Part]:
    """Every process of the system, as an operator would start it."""
    cli = [sys.executable, "-m", "services.cli"]
    sink = ["--smtp-port", str(ports["smtp"]), "--http-port", str(ports["mails"])]
    return [
        Part("mails", [sys.executable, "-m", "deploy.mailsink", *sink, "--folder", str(folder / "mails")]),
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


def page(url: str) -> str | None:
    """What stands at that address; None where nothing answers 200."""
    try:
        with urlopen(url, timeout=2) as response:  # noqa: S310 - our own loopback addresses
            return str(response.read().decode()) if response.status == 200 else None
    except (URLError, OSError):
        return None


def run(folder: Path, stopping: threading.Event) -> None:
    """Start everything, say when it is ready, and stay until asked to stop."""
    with ExitStack() as ending:
        ports = ending.enter_context(ReservedPorts(say))
        stack = ending.enter_context(
            DevStack(folder / "servers", environment=others_of(folder / "tipoff.env"))
        )
        deployment = Deployment.open(folder)  # after the stack, which locks the folder
        if not stack.redis_url:
            say(NO_REDIS)
        settings = environment(deployment, stack, ports.numbers)
        write_environment(settings, folder / "tipoff.env")

        def remember(step: str) -> None:
            deployment.loaded.append(step)
            deployment.save(folder)

        today = date.fromisoformat(deployment.today)
        load_history(folder / "sample", today, settings, say, deployment.loaded, remember)
        ports.hand_over()
        supervisor = ending.enter_context(
            Supervisor(parts(folder, ports.numbers), settings, folder / "logs", say)
        )
        if _are_ready(supervisor, ports.numbers, stopping):
            _play(folder, deployment, supervisor, ports.numbers, stopping)


def _are_ready(supervisor: Supervisor, ports: dict[str, int], stopping: threading.Event) -> bool:
    """Wait for the three services; False when asked to stop meanwhile."""
    deadline = time.monotonic() + READY_SECONDS
    services = [f"http://127.0.0.1:{ports[name]}/readyz" for name in ("ingest", "scoring", "alerts")]
    while not all(map(page, services)):
        if time.monotonic() > deadline:
            raise StackError(f"Starting took longer than {READY_SECONDS} s: see the logs in the data folder.")
        if stopping.wait(0.25):
            return False
        supervisor.restart_ended()
    return True


def _play(
    folder: Path,
    deployment: Deployment,
    supervisor: Supervisor,
    ports: dict[str, int],
    stopping: threading.Event,
) -> None:
    """Post the rest of the last day at a visible pace, say when alerts are there, and keep every part running."""
    home = f"http://127.0.0.1:{ports['alerts']}"
    hook = Hook(f"http://127.0.0.1:{ports['ingest']}/hooks/standard", deployment.hook_secret)
    orders = [json.loads(line) for line in (folder / "sample" / "last_day.ndjson").read_text().splitlines()]
    is_said = False
    deadline = time.monotonic() + READY_SECONDS
    while not stopping.is_set():
        supervisor.restart_ended()
        if deployment.posted < len(orders):
            order = orders[deployment.posted]
            customer = (order.get("customer") or {}).get("name") or "a guest"
            answer = hook.post(deployment.posted + 1, order)
            say(f"  order {order['id']} of {customer}: {answer or 'not taken in, tried again'}")
            if answer:
                deployment.posted += 1
                deployment.save(folder)
                if deployment.posted == len(orders):
                    say(f"All {len(orders)} orders of the day are posted.")
        if not deployment.has_alerted and _has_alert(folder, home):
            deployment.has_alerted = True
            deployment.save(folder)
        if not is_said and deployment.has_alerted:
            is_said = True
            say(f"Tipoff is ready: {home}/")
            if coming := len(orders) - deployment.posted:
                say(
                    f"{coming} of the day's {len(orders)} orders are still coming, {1 / PACE_SECONDS:.0f} a second;"
                    " the page refreshes itself."
                )
            say(f"For the command line, in another shell: . {folder / 'tipoff.env'} && tipoff --help")
        if not is_said and time.monotonic() > deadline:
            raise StackError(
                f"The first alert took longer than {READY_SECONDS} s: see the logs in the data folder."
            )
        stopping.wait(PACE_SECONDS)


def _has_alert(folder: Path, home: str) -> bool:
    """Whether the inbox shows an alert and a mail has arrived."""
    return 'href="/inbox/' in (page(f"{home}/inbox") or "") and any((folder / "mails").glob("*.eml"))


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
