"""What a measurement says, and how it is written down."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

DOCUMENT = Path(__file__).parents[1] / "docs" / "benchmarks.md"


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure beside its peer. `ratio` is ours to theirs; None where the goal is not a ratio."""

    what: str
    ours: str
    peer: str
    ratio: float | None
    goal: str
    is_met: bool


def table(figures: Sequence[Figure]) -> str:
    """The figures as a Markdown table."""
    rows = ["| what | Tipoff | beside | ratio | goal | met |", "|---|---|---|---|---|---|"]
    for each in figures:
        ratio = f"{each.ratio:.2f}" if each.ratio is not None else ""
        met = "yes" if each.is_met else "**no**"
        rows.append(f"| {each.what} | {each.ours} | {each.peer} | {ratio} | {each.goal} | {met} |")
    return "\n".join(rows)


def write(figures: Sequence[Figure], cores: int, day: date) -> None:
    """Write docs/benchmarks.md anew."""
    DOCUMENT.write_text(
        "# Benchmarks\n\n"
        "Written by `make bench`. Each figure was measured beside its peer in the same run on the same machine, with\n"
        "durable settings (`fsync` and `synchronous_commit` on). Ingest and its peer ran in turns, nine times (the\n"
        "median ratio stands), the stock worker before and after scoring, each import once, and PostgreSQL tidied up\n"
        "between the parts. Trust the ratios, not the absolute figures, and the ratios to a tenth or two: this is one\n"
        "run. What an import spends its time on: decision 8.\n\n"
        f"{day.isoformat()}, {cores} cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}.\n\n{table(figures)}\n"
    )
