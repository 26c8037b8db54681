"""Stopped item: the chance that a live customer takes again what they always took of an item."""

from collections.abc import Iterator

from services.scoring.fit.facts import Facts
from services.scoring.fit.model import Derived, Model
from services.scoring.fit.stopped import rows_of


def build(facts: Facts) -> Iterator[Derived]:
    """Yield what each live customer has stopped taking."""
    yield from rows_of(facts, "product_id", "stopped_item")


MODEL = Model("stopped_item", build, keys={"stopped_item": ("customer_id", "product_id")})
