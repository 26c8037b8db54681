"""The grade card: of the live models, what was measured beside baselines; of each kind, what was said and seen."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from services.scoring.facts import ModelRun
from services.scoring.store.outcomes import SaidAndSeen

_RUNS = text(
    "SELECT DISTINCT ON (model, state) id, model, state, as_of, finished_at, version, grade FROM model_run"
    " WHERE state IN ('current', 'rejected') ORDER BY model, state, as_of DESC, id DESC"
)
SCOPE = ("passes", "reason", "purchases", "customers", "window")
"""What a grade says beside what was measured."""


@dataclass(frozen=True, slots=True)
class Run:
    """The newest run of a model in one state."""

    model: str
    state: str
    as_of: datetime
    version: str
    grade: Mapping[str, Any]
    unproven: str | None


def newest_runs(connection: Connection, now: datetime) -> dict[str, list[Run]]:
    """Return by model its current run, and a newer one that was rejected."""
    found: dict[str, list[Run]] = {}
    for row in connection.execute(_RUNS):
        unproven = ModelRun(row.id, row.as_of, row.grade).why_unproven(now)
        run = Run(row.model, row.state, row.as_of, row.version, row.grade, unproven)
        held = found.setdefault(row.model, [])
        if run.state == "current" or not held or run.as_of > held[0].as_of:
            held.append(run)
    return found


def lines(model: str, runs: list[Run], *, is_graded: bool, kinds: list[str]) -> Iterator[str]:
    """Say how good a model is, in words."""
    used = f", used by {', '.join(kinds)}" if kinds else ""
    if not runs:
        yield f"{model}: no run yet{used}"
        yield "  hint: `tipoff fit` makes one"
        return
    for run in runs:
        yield f"{model}: {run.state} as of {run.as_of:%Y-%m-%d %H:%M}, version {run.version}{used}"
        yield from (f"  {line}" for line in _verdict(run, is_graded=is_graded))
        yield from (f"  {line}" for line in _measured(run.grade))


def outcome_lines(kind: str, said_and_seen: list[SaidAndSeen]) -> Iterator[str]:
    """Say what chance was said of a kind, if nobody acts, beside how often it then happened."""
    yield f"{kind}: {sum(each.outcomes for each in said_and_seen):,} outcomes"
    for each in said_and_seen:
        what = "notified" if each.is_notified else "held, nobody was told"
        if each.said is None or each.seen is None:
            yield f"  {what}: {each.outcomes:,}, of which nobody knows"
        else:
            yield f"  {what}: said {each.said:.0%} without acting, seen {each.seen:.0%} ({each.known:,} known)"


def _verdict(run: Run, *, is_graded: bool) -> Iterator[str]:
    if run.state == "rejected":
        yield f"rejected: {run.grade.get('reason', 'it did not beat its baseline')}"
    elif not is_graded and "passes" not in run.grade:
        yield "not graded: it states facts, and has no baseline to beat"
    elif run.unproven is not None:
        yield f"unproven, its kinds are not sent: {run.unproven}"
    else:
        yield "proven on days it had not seen"


def _measured(grade: Mapping[str, Any]) -> Iterator[str]:
    if "purchases" in grade:
        window = " to ".join(str(each) for each in grade.get("window") or ())
        yield f"learnt from {grade['purchases']:,} purchases of {grade.get('customers', 0):,} customers, {window}"
    yield from _told({name: value for name, value in grade.items() if name not in SCOPE})


def _told(values: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """Yield figures a line each; what belongs to one name stands together."""
    for name, value in values.items():
        said = f"{indent}{name.replace('_', ' ')}"
        if isinstance(value, Mapping):
            yield f"{said}:"
            yield from _told(value, indent + "  ")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            yield f"{said}:"
            for each in value:
                yield f"{indent}  " + ", ".join(
                    f"{key.replace('_', ' ')} {_number(it)}" for key, it in each.items()
                )
        else:
            yield f"{said}: {_number(value)}"


def _number(value: object) -> str:
    if isinstance(value, list):
        between = "; " if any(isinstance(each, list) for each in value) else ", "
        return between.join(map(_number, value))
    return f"{value:,.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
