"""The page of `make quality`: what each part measured, kept until it is measured again, and their page."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bench.figures import Figure
from bench.system import ROOT

DOCUMENT = ROOT / "docs" / "signal-quality.md"
KEPT = ROOT / ".data" / "signal-quality"


@dataclass(frozen=True, slots=True)
class Check:
    """A goal, the figure measured beside it, and whether it was met."""

    goal: str
    measured: str
    is_met: bool


@dataclass(slots=True)
class Section:
    """What a part of the page says."""

    lines: list[str] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)

    def add(self, *lines: str) -> None:
        """Add lines."""
        self.lines += lines

    def check(self, goal: str, measured: str, *, is_met: bool) -> None:
        """Add a goal and what was measured."""
        self.checks.append(Check(goal, measured, is_met))

    def figures(self, found: Sequence[Figure]) -> None:
        """Add figures with their goals, and a table of them."""
        self.add("| what | measured |", "|---|---|", *(f"| {each.what} | {each.ours} |" for each in found))
        for each in found:
            for goal in each.goals:
                self.check(f"{each.what}: {goal.text}", each.ours, is_met=goal.is_met)


@dataclass(frozen=True, slots=True)
class Measured:
    """A section as it was measured: when, in how many seconds, and how busy the machine was before."""

    section: Section
    at: str
    seconds: float
    load: float


def keep(part: str, measured: Measured) -> None:
    """Keep what a part measured, for pages written later."""
    KEPT.mkdir(parents=True, exist_ok=True)
    (KEPT / f"{part}.json").write_text(json.dumps(asdict(measured), indent=1), "utf-8")


def kept(parts: Sequence[str]) -> dict[str, Measured]:
    """Return what was measured last of each part."""
    return {part: _read(KEPT / f"{part}.json") for part in parts if (KEPT / f"{part}.json").exists()}


def _read(file: Path) -> Measured:
    told = json.loads(file.read_text("utf-8"))
    section = told.pop("section")
    checks = [Check(**each) for each in section["checks"]]
    return Measured(section=Section(section["lines"], checks), **told)


def now() -> str:
    """Return the moment as the page writes it."""
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"


def text(titles: Mapping[str, str], measured: Mapping[str, Measured]) -> str:
    """Return the whole page: goals first, then each part."""
    return "\n".join(_lines(titles, measured)) + "\n"


def _lines(titles: Mapping[str, str], measured: Mapping[str, Measured]) -> Iterator[str]:
    yield from (
        "# How good the signals are",
        "",
        "`make quality` wrote this page; `.venv/bin/python -m bench.quality PART` measures one part again (`drift`,",
        "`chances` ...) and keeps the others. It needs the reference data beside the project (`TIPOFF_REFERENCE`).",
        "",
        "The orders are those of a real gift wholesaler (UCI Online Retail II, December 2009 to February 2011),",
        "imported as a company would. The system is put back to past days: it knows what was known on that morning",
        "and no more. What it said is then held against what the file says happened afterwards.",
        "",
        "## Goals",
        "",
        "| | goal | measured |",
        "|---|---|---|",
    )
    for part in titles:
        for each in measured[part].section.checks if part in measured else ():
            yield f"| {'met' if each.is_met else '**missed**'} | {each.goal} | {each.measured} |"
    missing = [part for part in titles if part not in measured]
    if missing:
        yield from ("", f"Not measured yet: {', '.join(missing)}.")
    yield ""
    for part, one in measured.items():
        took = f"{one.seconds / 60:.1f} minutes" if one.seconds >= 60 else f"{one.seconds:.0f} s"
        yield from (f"## {titles[part]}", "", *one.section.lines, "")
        yield from (f"*`python -m bench.quality {part}`, {one.at}: {took}, load average {one.load:.1f}.*", "")
