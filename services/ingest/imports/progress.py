"""This file shows how far an import is: a bar on a terminal, plain lines elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

import click
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Advance = Callable[[int], None]
SECONDS_BETWEEN_LINES = 5.0


@contextmanager
def progress(what: str, total: int) -> Iterator[Advance]:
    """Show progress while the block runs; call the value with the number of rows done since the last call."""
    if sys.stderr.isatty():
        with _bar() as bar:
            task = bar.add_task(what, total=total)
            yield lambda rows: bar.advance(task, rows)
        return
    yield _lines(what, total)


def _bar() -> Progress:
    from rich.console import Console  # noqa: PLC0415 - only where there is a terminal

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    return Progress(*columns, console=Console(stderr=True))


def _lines(what: str, total: int) -> Advance:
    done, said_at = 0, monotonic()

    def advance(rows: int) -> None:
        nonlocal done, said_at
        done += rows
        if monotonic() - said_at >= SECONDS_BETWEEN_LINES and done < total:
            click.echo(f"{what}: {done:,} of {total:,} rows", err=True)
            said_at = monotonic()

    return advance
