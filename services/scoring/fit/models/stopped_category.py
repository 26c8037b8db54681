"""Stopped category: the chance that a live customer takes again what they always took of a category."""

from collections.abc import Iterator

from services.scoring.fit.facts import Facts
from services.scoring.fit.model import Derived, Model
from services.scoring.fit.stopped import rows_of


def build(facts: Facts) -> Iterator[Derived]:
    """Yield what each live customer has stopped taking."""
    yield from rows_of(facts, "category", "stopped_category")


MODEL = Model("stopped_category", build, keys={"stopped_category": ("customer_id", "category")})
