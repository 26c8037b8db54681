"""Stopped category: the chance that a live customer takes again what they always took of a category."""

from collections.abc import Iterator

from services.scoring.fit.chance import Learnt
from services.scoring.fit.facts import Facts
from services.scoring.fit.model import Derived, Model
from services.scoring.fit.stopped import learn_return, rows_of


def build(facts: Facts) -> Iterator[Derived]:
    """Yield what each live customer has stopped taking."""
    yield from predict(facts, learn(facts))


def learn(facts: Facts) -> Learnt | None:
    """Learn from past days what is taken again."""
    return learn_return(facts, "category")


def predict(facts: Facts, learnt: Learnt | None) -> Iterator[Derived]:
    """Yield what is stopped this morning, by what was learnt."""
    yield from rows_of(facts, "category", "stopped_category", learnt)


MODEL = Model(
    "stopped_category",
    build,
    keys={"stopped_category": ("customer_id", "category")},
    learn=learn,
    predict=predict,
)
