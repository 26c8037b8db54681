"""What a model is: a file in `models/`, found by its `MODEL`, that turns facts into rows of derived tables."""

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import ibis

from services.scoring.fit.facts import Facts, Predictions


class Grade(Protocol):
    """How good a model was on days it had not seen."""

    @property
    def passes(self) -> bool:
        """Does it beat its baseline?"""

    def line(self) -> str:
        """Say it in words."""

    def as_json(self) -> dict[str, Any]:
        """What `model_run.grade` keeps, with `passes` and `reason`."""


@dataclass(frozen=True, slots=True)
class Derived:
    """Rows for a derived table, but for the run that made them. A table may come in several pieces."""

    table: str
    rows: ibis.Table


@dataclass(frozen=True, slots=True)
class Model:
    """A model by name. `build` yields its rows piece by piece, each computed when it is written.

    `keys` names the derived tables and what identifies a row of one run; a table is created from the rows' own
    schema when it is first published. `grade` judges the model on the last days; without it nothing has to be proven.
    A model that learns from past days has `learn` and `predict` apart, `build` being both: what was learnt some days
    ago predicts today. Raise `version` when the same facts would be learnt differently.
    """

    name: str
    build: Callable[[Facts], Iterator[Derived]]
    keys: Mapping[str, tuple[str, ...]]
    grade: Callable[[Facts], Grade] | None = None
    learn: Callable[[Facts], Any] | None = None
    predict: Callable[[Facts, Any], Iterator[Derived]] | None = None
    version: str = "1"


def learnt(facts: Facts, models: Iterable[Model], lessons: MutableMapping[str, Any] | None = None) -> Facts:
    """Build the models on the facts, publish nothing, and return the facts with what they learnt as predictions.

    `lessons` has what models learnt on earlier days, by name; what is missing there is learnt now and put there.
    """
    known = {} if lessons is None else lessons
    made: dict[str, ibis.Table] = {}
    for model in models:
        for piece in _pieces(facts, model, known):
            rows = piece.rows if piece.table not in made else made[piece.table].union(piece.rows)
            made[piece.table] = facts.engine.keep(f"made_{piece.table}_{len(made)}", rows)
    return replace(facts, predictions=Predictions(facts.engine, None, made))


def _pieces(facts: Facts, model: Model, known: MutableMapping[str, Any]) -> Iterator[Derived]:
    if model.learn is None or model.predict is None:
        return model.build(facts)
    if known.get(model.name) is None:
        known[model.name] = model.learn(facts)
    return model.predict(facts, known[model.name])
