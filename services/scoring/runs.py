"""Runs of the models: which of them an order of a moment may be scored with, and how long their rows are kept."""

from collections.abc import Iterable
from datetime import datetime

from services.scoring.facts import ModelRun

KEPT_DAYS = 5
"""An order is scored up to three days after its time, with the newest run before it: its rows must still be there."""

USABLE = f"""
SELECT run.id, run.model, run.as_of, run.grade FROM model_run AS run
WHERE run.state IN ('current', 'superseded') AND NOT EXISTS (
    SELECT FROM model_run AS newer
    WHERE newer.model = run.model AND newer.state IN ('current', 'superseded')
      AND (newer.as_of, newer.id) > (run.as_of, run.id)
      AND (newer.as_of = run.as_of OR newer.as_of <= (
          SELECT last.as_of FROM model_run AS last WHERE last.model = run.model AND last.state = 'current'
      ) - interval '{KEPT_DAYS} days')
)
"""  # noqa: S608 (constants of this file)
"""SQL: the runs that an order may still need. A run is not needed once its successor is old enough for every order."""


def before(runs: Iterable[tuple[str, ModelRun]], moment: datetime) -> dict[str, ModelRun]:
    """Return of each model the newest run whose facts end before the moment: a later one may know the order."""
    newest: dict[str, ModelRun] = {}
    for model, run in runs:
        held = newest.get(model)
        if run.as_of < moment and (held is None or (held.as_of, held.id) < (run.as_of, run.id)):
            newest[model] = run
    return newest
