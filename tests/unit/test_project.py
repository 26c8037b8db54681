"""The project's own files keep their promises: locks name no place, README commands exist, decisions are whole."""

import re
import tomllib
from pathlib import Path

import pytest

from tests.conftest import LONGEST

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))


def name_of(requirement: str) -> str:
    """Return the package a requirement names, as locks spell it."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found is not None
    return re.sub(r"[._-]+", "-", found.group()).lower()


def locked(lock: Path) -> set[str]:
    return {name_of(line) for line in lock.read_text().splitlines() if line[:1].isalnum()}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_names_no_registry_and_no_folder(lock: Path) -> None:
    assert not re.search(r"https?:|file:|--index|--find-links|/", lock.read_text())


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_everything_locked_is_pinned_with_a_hash(lock: Path) -> None:
    entries = re.split(r"\n(?=[A-Za-z0-9])", lock.read_text().strip())
    assert [entry for entry in entries if "==" not in entry or "--hash=sha256:" not in entry] == []


def test_the_locks_hold_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    core = {name_of(each) for each in project["project"]["dependencies"]}
    extras = {
        extra: {name_of(each) for each in asked}
        for extra, asked in project["project"]["optional-dependencies"].items()
    }
    groups = project["dependency-groups"]
    development = {name_of(each) for each in [*groups["dev"], *groups["demo"]] if isinstance(each, str)}
    worker = (extras["worker"] | extras["fit"]) - {"tipoff"}
    assert core | extras["web"] <= locked(ROOT / "requirements" / "web.txt")
    assert core | worker <= locked(ROOT / "requirements" / "worker.txt")
    assert core | development | extras["web"] | worker <= locked(ROOT / "requirements" / "dev.txt")


def test_the_web_image_carries_no_library_for_imports_and_fits() -> None:
    assert not {"pyarrow", "duckdb", "ibis-framework"} & locked(ROOT / "requirements" / "web.txt")


def test_every_make_command_a_page_names_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    named = {
        (page.name, command)
        for page in pages
        for command in re.findall(r"(?:^|`)make ([a-z]+)", page.read_text(), re.MULTILINE)
    }
    assert {each for each in named if each[1] not in targets} == set()


def test_ci_runs_the_readmes_test_command_after_the_rules() -> None:
    commands = [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line.startswith("make ")]
    assert commands == ["make check", "make test"]
    assert "make test" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_a_decision_has_its_five_headings(page: Path) -> None:
    headings = ["Context", "Decision", "Consequences", "The check that enforces it", "Status"]
    assert re.findall(r"^## (.*)$", page.read_text(), re.MULTILINE) == headings
    assert page.read_text().startswith(f"# {int(page.stem[:4])}. ")


def test_the_longest_tests_are_files_that_exist() -> None:
    assert [name for name in LONGEST if not (ROOT / "tests" / name).is_file()] == []
