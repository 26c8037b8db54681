"""Each extra, installed alone from the wheel, starts what it promises; what it lacks is said in one line.

Nothing is downloaded: an installation is made of links to what the development environment has, exactly the packages
that the wheel's metadata asks for with that extra.
"""

import os
import subprocess
import sys
import time
import zipfile
from importlib.metadata import PathDistribution, distribution
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bench.system import free_port
from services.cli import COMMANDS

ROOT = Path(__file__).parents[2]
START = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from services.cli import main; main(prog_name='tipoff')"
)


class Installation:
    """A folder of packages that a Python without any other runs `tipoff` from."""

    def __init__(self, folder: Path, wheel: Path, *extras: str) -> None:
        folder.mkdir()
        with zipfile.ZipFile(wheel) as packed:
            packed.extractall(folder)
        (found,) = folder.glob("tipoff-*.dist-info")
        self.names: set[str] = set()
        self._packages = folder
        self._add(PathDistribution(found).requires or [], set(extras))

    def _add(self, requirements: list[str], extras: set[str]) -> None:
        for requirement in map(Requirement, requirements):
            if requirement.marker and not any(
                requirement.marker.evaluate({"extra": extra}) for extra in extras | {""}
            ):
                continue
            name = canonicalize_name(requirement.name)
            if name == "tipoff":
                (own,) = self._packages.glob("tipoff-*.dist-info")
                self._add(PathDistribution(own).requires or [], set(requirement.extras))
            elif name not in self.names or requirement.extras:
                self.names.add(name)
                installed = distribution(requirement.name)
                for top in {file.parts[0] for file in installed.files or ()} - {"..", "__pycache__"}:
                    link = self._packages / top
                    if not link.exists():
                        link.symlink_to(Path(str(installed.locate_file(top))))
                self._add(installed.requires or [], set(requirement.extras))

    def command(self, *arguments: str) -> list[str]:
        """The command line of `tipoff`, seeing no package but these."""
        return [sys.executable, "-I", "-S", "-c", START, str(self._packages), *arguments]

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            self.command(*arguments),
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, **environment},
            cwd=self._packages.parent,
        )

    def answers(self, path: str, *arguments: str, **environment: str) -> bool:
        """Whether a process that listens at the last argument answers 200 there before it ends."""
        process = subprocess.Popen(self.command(*arguments), env={**os.environ, **environment})
        deadline = time.monotonic() + 40
        try:
            while process.poll() is None and time.monotonic() < deadline:
                try:
                    with urlopen(f"http://{arguments[-1]}{path}", timeout=2) as response:
                        return bool(response.status == 200)
                except (URLError, OSError):
                    time.sleep(0.1)
            return False
        finally:
            process.terminate()
            process.wait(20)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, check=True, cwd=ROOT, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture
def environment(database_url: str) -> dict[str, str]:
    """The least an installation must be told."""
    return {"DATABASE_URL": database_url, "TIPOFF_SECRET_KEY": "k" * 32}


@pytest.mark.parametrize("service", ["ingest", "scoring", "alerts"])
def test_web_serves(wheel: Path, tmp_path: Path, environment: dict[str, str], service: str) -> None:
    installation = Installation(tmp_path / "packages", wheel, "web")
    address = f"127.0.0.1:{free_port()}"
    assert installation.answers("/readyz", "serve", service, "--bind", address, **environment)


def test_all_is_both_and_nothing_else(wheel: Path, tmp_path: Path) -> None:
    web, worker, both = (
        Installation(tmp_path / extra, wheel, extra).names for extra in ("web", "worker", "all")
    )
    assert both == web | worker
    assert web - worker
    assert worker - web


def test_worker_works_imports_and_fits(wheel: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    installation = Installation(tmp_path / "packages", wheel, "worker")
    for queue in ("scoring", "alerts"):
        address = f"127.0.0.1:{free_port()}"
        assert installation.answers("/metrics", "work", queue, "--metrics", address, **environment)
    reps = tmp_path / "reps.csv"
    reps.write_text("id,name,email,time_zone\nR1,Ruth,ruth@shop.example,UTC\n")
    imported = installation.run("import", "reps", str(reps), **environment)
    assert imported.returncode == 0, imported.stderr
    fitted = installation.run("fit", **environment)
    assert "not installed" not in fitted.stderr
    assert "Traceback" not in fitted.stderr
    sent = installation.run("send", "orders", "--help", **environment)
    assert sent.returncode == 0, sent.stderr


def test_help_lists_every_command_whatever_is_missing(wheel: Path, tmp_path: Path) -> None:
    told = Installation(tmp_path / "packages", wheel, "web").run("--help")
    assert told.returncode == 0, told.stderr
    assert "Needs tipoff[worker]." in told.stdout
    assert set(COMMANDS) <= set(told.stdout.split())


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        pytest.param(["serve", "ingest"], "web", id="a service"),
        pytest.param(["import", "reps", "FILE"], "worker", id="an import"),
        pytest.param(
            ["send", "orders", "FILE", "--url", "http://127.0.0.1:9", "--secret", "whsec_AAAA"],
            "worker",
            id="sending",
        ),
        pytest.param(["fit"], "worker", id="a fit"),
    ],
)
def test_says_in_one_line_which_extra_is_missing_for(
    wheel: Path, tmp_path: Path, environment: dict[str, str], command: list[str], extra: str
) -> None:
    file = tmp_path / "file.csv"
    file.write_text("id\n1\n")
    bare = Installation(tmp_path / "packages", wheel)
    told = bare.run(*(str(file) if word == "FILE" else word for word in command), **environment)
    assert told.returncode == 1
    assert "which is not installed" in told.stderr
    assert told.stderr.splitlines()[-1] == f"hint: pip install 'tipoff[{extra}]'"
