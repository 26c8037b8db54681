"""Servers as child processes that end with us and never run as root."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

# Whoever owns nothing: what root becomes before it starts a server.
UNPRIVILEGED = "nobody"
# Where root may not open a parent folder for others (a 0700 home, `mktemp -d`), the server is given the right to
# walk through it instead. Without the secure bit, access(2) would still ask as the unprivileged user.
REACH = (
    "--securebits=+no_setuid_fixup",
    "--inh-caps=-all,+dac_override",
    "--ambient-caps=-all,+dac_override",
)


class StackError(RuntimeError):
    """An embedded server cannot be had here; the message is one line and says what to do."""


def server_account(folder: Path) -> pwd.struct_passwd | None:
    """Return who a server with its data in `folder` runs as when we are root; None: as ourselves."""
    if os.geteuid() != 0:
        return None
    owner = folder.stat().st_uid if folder.exists() else 0
    return pwd.getpwuid(owner) if owner else pwd.getpwnam(UNPRIVILEGED)


def own(folder: Path) -> Path:
    """Make `folder`, closed to all but the account its server runs as. Touches no parent."""
    account = server_account(folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if account is not None:
        os.chown(folder, account.pw_uid, account.pw_gid)
    return folder


def launcher(folder: Path, program: Path, last_signal: signal.Signals) -> list[str]:
    """Return the words before a command that give it the right account and end it when we die.

    `last_signal` is what the kernel sends the server when its parent is gone, even by SIGKILL (Linux only:
    elsewhere the next start finds and stops what was left). The thread that starts a server must live on.
    """
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    account = server_account(folder)
    if setpriv is None:
        if account is not None:
            raise StackError(
                "As root, embedded servers need `setpriv` (util-linux): install it, or set DATABASE_URL."
            )
        return []
    words = [setpriv, f"--pdeathsig={last_signal.name.removeprefix('SIG')}"]
    if account is None:
        return words
    words += [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
    plain = [*words, "--inh-caps=-all"]
    return plain if _reaches(plain, folder, program) else [*words, *REACH]


def _reaches(words: Sequence[str], folder: Path, program: Path) -> bool:
    """Can the unprivileged account walk to its data and run its program?"""
    test = shutil.which("test") or "/usr/bin/test"
    question = [*words, test, "-w", str(folder), "-a", "-x", str(program)]
    return subprocess.run(question, check=False, cwd="/").returncode == 0


class Child:
    """One server process: start it, stop it, kill it, start it again on the same data."""

    def __init__(self, name: str, last_signal: signal.Signals, log: Path) -> None:
        self.name = name
        self.log = log
        self._last_signal = last_signal
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id, None when it does not run."""
        return self._process.pid if self.is_running and self._process is not None else None

    @property
    def is_running(self) -> bool:
        """Has it been started, and not ended?"""
        return self._process is not None and self._process.poll() is None

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start the command in its own session: Ctrl-C on our terminal is ours to handle, not its."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd="/",
                start_new_session=True,
            )

    def stop(self, timeout: float = 10) -> None:
        """Ask it to end in order; kill it when it does not within `timeout` seconds."""
        if self._process is None:
            return
        for number, seconds in ((self._last_signal, timeout), (signal.SIGQUIT, 1), (signal.SIGKILL, 1)):
            if self._process.poll() is not None:
                return
            self._process.send_signal(number)
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                continue

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def complaint(self) -> str:
        """Return the last words of its log."""
        return " / ".join(self.log.read_text(errors="replace").splitlines()[-3:])


def stop_left_over(pid_file: Path, program: str, timeout: float = 15) -> None:
    """Stop the server that an earlier, killed run left on this data. Does nothing when there is none.

    A process id in a file may by now belong to a stranger: it is signalled only when it runs `program`.
    """
    try:
        pid = int(pid_file.read_text().split()[0])
    except (FileNotFoundError, IndexError, ValueError):
        return
    deadline = time.monotonic() + timeout
    while program in _command_of(pid):
        if time.monotonic() > deadline:
            raise StackError(f"Process {pid} ({program}) still uses this data and does not stop.")
        os.kill(pid, signal.SIGINT)
        time.sleep(0.1)


def _command_of(pid: int) -> str:
    """Return the command line of a running process, empty when there is none."""
    listing = subprocess.run(
        ["ps", "-o", "stat=,command=", "-p", str(pid)], check=False, capture_output=True, text=True
    )
    state, _, command = listing.stdout.strip().partition(" ")
    return "" if state.startswith("Z") else command
