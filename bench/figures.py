"""What a measurement says, and how it is written down."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

DOCUMENT = Path(__file__).parents[1] / "docs" / "benchmarks.md"


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure should be, and whether it was."""

    text: str
    is_met: bool


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure with its goals. `ratio` is ours to the peer's, None where there is no peer."""

    what: str
    ours: str
    goals: tuple[Goal, ...]
    peer: str = ""
    ratio: float | None = None


def table(figures: Sequence[Figure]) -> str:
    """The figures as a Markdown table."""
    rows = ["| what | Tipoff | peer | ratio |", "|---|---|---|---|"]
    for each in figures:
        ratio = f"{each.ratio:.2f}" if each.ratio is not None else ""
        rows.append(f"| {each.what} | {each.ours} | {each.peer} | {ratio} |")
    return "\n".join(rows)


def goals(figures: Sequence[Figure]) -> str:
    """Every goal on a line of its own, and whether it was met."""
    return "\n".join(
        f"- {'met' if goal.is_met else '**missed**'}: {each.what}: {goal.text}"
        for each in figures
        for goal in each.goals
    )


def document(figures: Sequence[Figure], cores: int, began: datetime, load: float) -> str:
    """The text of docs/benchmarks.md. `load`: the machine's load average before the run."""
    return (
        "# Benchmarks\n\n"
        "Written by `make bench`. Each figure was measured beside its peer in the same run on the same machine, with\n"
        "durable settings (`fsync` and `synchronous_commit` on). Every figure is a median: of nine rounds for ingest\n"
        "and its peer, which take turns, of three rounds for the others; a peer is measured before and after each\n"
        "round. The peer of ingest is a Flask route that does one autocommitted INSERT of the body in one round trip\n"
        "to PostgreSQL, under gunicorn with one process and eight threads; a test counts the messages. PostgreSQL is\n"
        "vacuumed between the parts. Trust the ratios, not the absolute figures, and the ratios to a tenth. What an\n"
        "import spends its time on: decision 8.\n\n"
        "Sustained and burst: every order holds a line below its cost and so alerts, and counts when its webhook has\n"
        "arrived; no budget, no time to gather, no holdout. Sustained orders are posted as earlier ones arrive, and\n"
        "the whole system works at once, on small batches; a burst is posted as fast as it is accepted and drains in\n"
        "full batches, so that its p50 and p99 tell how long the backlog was.\n\n"
        f"Measured from {began:%Y-%m-%d %H:%M} UTC, {cores} cores, load average {load:.2f} before the run,\n"
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}.\n\n"
        f"{table(figures)}\n\n## Goals\n\n{goals(figures)}\n"
    )
