"""What a model is: a file in `models/`, found by its `MODEL`, that turns facts into rows of derived tables."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import ibis

from services.scoring.fit.facts import Facts


@dataclass(frozen=True, slots=True)
class Derived:
    """Rows for a derived table, but for the run that made them. A table may come in several pieces."""

    table: str
    rows: ibis.Table


@dataclass(frozen=True, slots=True)
class Model:
    """A model by name. `build` yields its rows piece by piece, each computed when it is written."""

    name: str
    build: Callable[[Facts], Iterator[Derived]]
