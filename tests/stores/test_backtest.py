"""A day through the night's evaluation and through a backtest finds the very same signals."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from services.cli import main
from services.scoring import backtest, signals
from services.scoring.engine import open_engine
from services.scoring.facts import OrderFacts
from services.scoring.fit.facts import read_facts
from services.scoring.fit.run import connected, fit
from shared import tasks
from shared.db import Database
from shared.domain.signal import DaySignalKind, SignalKind
from shared.plugins import discover
from tests.fit_company import AS_OF, Company, days_ago
from tests.scoring_orders import Worker, rows, settings

KINDS: list[DaySignalKind[OrderFacts]] = [
    kind for kind in discover(signals, "KIND", SignalKind).values() if isinstance(kind, DaySignalKind)
]


@pytest.fixture
def company(database: Database) -> Company:
    """Sixty customers: some have stopped, some stopped drills or paused them; trade goes on after the day."""
    with database.engine.connect() as connection:
        made = Company(connection)
        made.history(_trade(), cost=3.0)
        connection.commit()
        return made


def _trade() -> Iterator[tuple[str, datetime, list[tuple[str, float, float]]]]:
    for number in range(60):
        stopped = {0: 45, 1: 60, 2: 170 + number, 3: 150 + 2 * number}.get(number % 8, -60)
        for days in range(520 + number, stopped, -(14 + number % 9)):
            goods = [("BIT", 40.0, 50.0), ("SAW", 10.0, 200.0 + number % 5)]
            if not _without_drills(number, days):
                goods.append(("DRILL", 2.0, 800.0))
            yield f"C{number}", days_ago(days), goods


def _without_drills(number: int, days: int) -> bool:
    match number % 10:
        case 0:
            return days < 270
        case 5:
            return days < 120
        case 1 | 6:
            return 230 < days < 390
        case _:
            return False


@pytest.mark.timeout(300)  # every model and every day kind, twice
def test_live_and_backtest_find_the_same(company: Company, database: Database, database_url: str) -> None:
    address = database.engine.url.render_as_string(hide_password=False)
    fit(address, AS_OF)
    with database.transaction() as connection:
        day = AS_OF.date().isoformat()
        tasks.put(connection, "scoring", "evaluate", [f"{day}:{kind.name}" for kind in KINDS])
    Worker(database, now=AS_OF, database_url=address).work("evaluate")
    live = rows(
        database,
        "SELECT kind, customer_id, subject, cause, probability, stake, value, headline, question, evidence, detail"
        " FROM signal ORDER BY kind, customer_id, subject, cause",
    )
    with open_engine(threads=1, memory="400MB") as engine, connected(address) as adbc:
        end = AS_OF + timedelta(days=60)
        whole = read_facts(engine, adbc, end, since=AS_OF - timedelta(days=7))
        [judged] = backtest.walk(whole, KINDS, [AS_OF])
    found = [each.signal for each in judged if each.signal is not None]
    assert "going_quiet" in {each.kind for each in found}
    assert sorted(map(told, found)) == sorted(map(stored, live))


def told(signal: Any) -> str:
    evidence = [{"label": each.label, "text": each.text} for each in signal.evidence]
    return as_text(
        signal.kind, signal.customer_id, signal.subject, signal.cause, signal.probability, signal.stake, signal.value,
        signal.headline, signal.question, evidence, signal.detail,
    )  # fmt: skip


def stored(row: Any) -> str:
    return as_text(*row)


def as_text(*values: Any) -> str:
    return json.dumps(
        [float(v) if hasattr(v, "as_tuple") else v for v in values], sort_keys=True, default=str
    )


def tipoff(database: Database, *arguments: str, now: datetime = AS_OF) -> Result:
    """Run a command on the database, at a moment."""
    address = database.engine.url.render_as_string(hide_password=False)
    context = SimpleNamespace(database=database, settings=settings(database_url=address), clock=lambda: now)
    return CliRunner().invoke(main, arguments, obj=context)


def test_the_command_writes_figures_and_a_report(
    company: Company, database: Database, tmp_path: Path
) -> None:
    day = f"{AS_OF:%Y-%m-%d}"
    figures, report = tmp_path / "figures.json", tmp_path / "report.html"
    asked = [
        "--from",
        day,
        "--to",
        day,
        "--kinds",
        "going_quiet",
        "--json",
        str(figures),
        "--html",
        str(report),
    ]
    done = tipoff(database, "backtest", *asked, now=AS_OF + timedelta(days=50))
    assert done.exit_code == 0, done.output
    [kind] = json.loads(figures.read_text())["kinds"]
    assert (kind["kind"], kind["alerts"] > 0, kind["open"]) == ("going_quiet", True, kind["alerts"])
    assert "Going quiet" in report.read_text()
    assert "going_quiet" in done.output.split("going_quiet, 20")[0], "no name of the table is cut"
    assert rows(database, "SELECT (SELECT count(*) FROM signal), (SELECT count(*) FROM model_run)") == [
        (0, 0)
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["--kinds", "nonsense"], "no kind is called nonsense", id="an unknown kind"),
        pytest.param(["--to", "2020-01-01"], "there is no day to walk", id="an end before the start"),
    ],
)
def test_the_command_says_what_is_wrong(database: Database, arguments: list[str], said: str) -> None:
    done = tipoff(database, "backtest", "--from", "2026-01-05", "--to", "2026-01-12", *arguments)
    assert done.exit_code == 1
    assert said in done.output
    assert "hint: " in done.output


def test_the_grade_card_names_every_model(company: Company, database: Database) -> None:
    address = database.engine.url.render_as_string(hide_password=False)
    fit(address, AS_OF, names={"going_quiet", "item_facts"})
    done = tipoff(database, "quality")
    assert done.exit_code == 0, done.output
    assert "going_quiet: current as of 2026-03-02 03:00, version 1, used by going_quiet" in done.output
    assert "stopped_item: no run yet, used by stopped_item" in done.output
    assert "learnt from" in done.output
