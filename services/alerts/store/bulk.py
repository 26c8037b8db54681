"""This file hands many rows to one statement: a batch costs a handful of round trips, however many signals it has."""

from collections.abc import Mapping, Sequence
from typing import Any


def given(types: Mapping[str, str]) -> str:
    """Return a table expression of the rows in `arrays_of`; `types` names each column's type in PostgreSQL."""
    arrays = ", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in types.items())
    return f"unnest({arrays}) AS given ({', '.join(types)})"


def arrays_of(types: Mapping[str, str], rows: Sequence[object]) -> dict[str, list[Any]]:
    """Return the parameters of `given`: an attribute of every row as one array."""
    return {name: [getattr(row, name) for row in rows] for name in types}
