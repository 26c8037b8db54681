"""Scoring's part of the command line: `fit`, `quality`, `backtest` and `signals export`."""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from services.scoring import backtest, backtest_report, quality, signals
from services.scoring.engine import open_engine
from services.scoring.export import LISTINGS, export, write
from services.scoring.facts import OrderFacts
from services.scoring.fit import models as fitted_models
from services.scoring.fit.facts import read_facts
from services.scoring.fit.model import Model
from services.scoring.fit.run import ModelsFailed, NothingToFit, connected, fit
from services.scoring.jobs import assumed
from services.scoring.past_orders import PastOrders
from services.scoring.store import api, items, outcomes
from shared.clock import start_of_day
from shared.domain.signal import DaySignalKind, OrderSignalKind, SignalKind
from shared.plugins import discover

if TYPE_CHECKING:
    from services.cli import Context


@click.command("fit")
@click.option("--as-of", type=click.DateTime(), help="use facts before this moment, in UTC; default: today")
@click.pass_obj
def fit_command(context: "Context", as_of: datetime | None) -> None:
    """Build the models from history, swap them in, and say how good they are.

    Models as of a moment before that of the current ones do not become current.
    """
    _refresh(context)
    today = start_of_day(context.clock(), context.settings.time_zone)
    moment = as_of.replace(tzinfo=UTC) if as_of else today
    try:
        report = fit(
            context.settings.database_url.get_secret_value(),
            moment,
            zone=context.settings.time_zone,
            extracts=context.settings.extracts,
        )
    except ModelsFailed as fault:
        for line in fault.report.lines():
            click.echo(line)
        raise click.ClickException(str(fault)) from fault
    except NothingToFit as fault:
        raise click.ClickException(f"{fault}\nhint: `tipoff import orders FILE` brings history in") from fault
    for line in report.lines():
        click.echo(line)


def _refresh(context: "Context") -> None:
    """Read no half of the facts: what an import has left to do is done first."""
    settings = context.settings
    items.refresh_if_needed(context.database, settings.base_currency, ZoneInfo(settings.time_zone))


@click.group("signals")
def signals_group() -> None:
    """What the kinds find."""


@signals_group.command("export")
@click.option("--as-of", type=click.DateTime(), required=True, help="the day; facts before it alone are used")
@click.option("--kind", type=click.Choice(sorted(LISTINGS)), required=True)
@click.option(
    "--top", type=click.IntRange(min=1), default=100, show_default=True, help="of each customer, for items"
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="a CSV file")
@click.pass_obj
def export_command(context: "Context", as_of: datetime, kind: str, top: int, out: Path) -> None:
    """Rank all a kind finds as of a day, fitted on what was known by then, and write it as CSV.

    Nothing becomes current or is stored; quality gates, floors and open episodes play no part.
    """
    moment = as_of.replace(tzinfo=ZoneInfo(context.settings.time_zone))
    _refresh(context)
    address = context.settings.database_url.get_secret_value()
    rows = export(
        address,
        moment,
        kind,
        top=top,
        zone=context.settings.time_zone,
        extracts=context.settings.extracts,
    )
    write(out, rows)
    click.echo(f"{len(rows):,} rows of {kind} as of {as_of:%Y-%m-%d} are in {out}")


@click.command("quality")
@click.pass_obj
def quality_command(context: "Context") -> None:
    """Print how good each model is: state, as of, what was measured beside its baselines.

    And of each kind whose horizon is over: the chance that was said, beside what was seen.
    """
    kinds = discover(signals, "KIND", SignalKind).values()
    with context.database.transaction() as connection:
        runs = quality.newest_runs(connection, context.clock())
        judged = outcomes.said_and_seen(connection)
    for name, model in discover(fitted_models, "MODEL", Model).items():
        used_by = [kind.name for kind in kinds if kind.needs_model == name]
        for line in quality.lines(name, runs.get(name, []), is_graded=model.grade is not None, kinds=used_by):
            click.echo(line)
    for name, said_and_seen in judged.items():
        for line in quality.outcome_lines(name, said_and_seen):
            click.echo(line)


DAY = click.DateTime(["%Y-%m-%d"])
OUT = click.Path(dir_okay=False, path_type=Path)


@click.command("backtest")
@click.option("--from", "first", type=DAY, required=True, help="the first day")
@click.option("--to", "last", type=DAY, required=True, help="the last day")
@click.option("--kinds", help="some of the kinds, by commas; default: all")
@click.option(
    "--every", type=click.Choice(["week", "day"]), default="week", show_default=True, help="Mondays, or all"
)
@click.option("--json", "json_file", type=OUT, help="write the figures to this file")
@click.option("--html", "html_file", type=OUT, help="write a report to this file")
@click.pass_obj
def backtest_command(  # noqa: PLR0913, PLR0917 - one argument an option
    context: "Context",
    first: datetime,
    last: datetime,
    kinds: str | None,
    every: str,
    json_file: Path | None,
    html_file: Path | None,
) -> None:
    """Walk past days with the live kinds, and say whom they would have named and what then happened.

    Kinds that look at orders see each order of the days walked. Models are fitted on each day from what was known that
    morning. Nothing becomes current, is stored or sent.
    """
    days = backtest.mornings(first.date(), last.date(), every=7 if every == "week" else 1)
    if not days:
        raise click.ClickException(
            "there is no day to walk\nhint: --from comes before --to, with a Monday between"
        )
    asked = _kinds(kinds)
    of_days = [kind for kind in asked.values() if isinstance(kind, DaySignalKind)]
    of_orders = {name: kind for name, kind in asked.items() if isinstance(kind, OrderSignalKind)}
    zone = ZoneInfo(context.settings.time_zone)
    moments = [datetime.combine(day, time.min, zone) for day in days]
    _refresh(context)
    end = min(moments[-1] + backtest.HORIZON + timedelta(days=1), context.clock())
    address = context.settings.database_url.get_secret_value()
    with (
        open_engine(threads=2, memory="900MB", extracts=context.settings.extracts) as engine,
        connected(address) as connection,
        context.database.transaction() as opened,
    ):
        facts = read_facts(engine, connection, end, zone=zone.key, since=moments[0])
        whole = replace(facts, assumptions=assumed(context.settings))
        models = discover(fitted_models, "MODEL", Model)
        orders = PastOrders(opened, of_orders, models, context.settings.base_currency)
        days_walked = track(moments, "days", console=Console(stderr=True))
        walked = list(backtest.walk(whole, of_days, days_walked, orders=orders.judge if of_orders else None))
        reps = engine.count(whole.owners.select("rep_id").distinct())
    with context.database.transaction() as opened:
        names = backtest_report.Names(api.customer_names(opened), context.settings.base_currency, reps or 1)
    found = backtest_report.result(walked, list(asked), days, names)
    _print(found)
    if json_file is not None:
        json_file.write_text(json.dumps(backtest_report.as_json(found), indent=1) + "\n", "utf-8")
    if html_file is not None:
        title = f"Backtest, {days[0]:%-d %b %Y} to {days[-1]:%-d %b %Y}"
        html_file.write_text(
            backtest_report.page(found, title=title, lead=_LEAD, notes=backtest_report.NOTES), "utf-8"
        )


_LEAD = (
    "Whom the kinds that look at days would have named, on what was known on each morning, and what then happened.",
    "Each is named once while the question is open. Nobody acted on any of it.",
)


def _kinds(asked: str | None) -> dict[str, SignalKind[OrderFacts]]:
    found: dict[str, SignalKind[OrderFacts]] = discover(signals, "KIND", SignalKind)
    names = [each.strip() for each in asked.split(",")] if asked else list(found)
    unknown = [each for each in names if each not in found]
    if unknown:
        raise click.ClickException(
            f"no kind is called {', '.join(unknown)}\nhint: there are {', '.join(found)}"
        )
    return {each: found[each] for each in names}


def _print(found: backtest_report.Result) -> None:
    title = f"{found.first} to {found.last}, {found.days} days looked at"
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    names = "kind", "alerts", "a rep\nand day", "known", "stayed\nso", "95 %", "expected", "at stake", "lost"
    for name in names:
        table.add_column(name, justify="left" if name == "kind" else "right", no_wrap=True)
    for each in found.kinds:
        share = each.stayed.share
        table.add_row(
            each.kind,
            f"{each.alerts:,}",
            f"{each.a_rep_and_day:.2f}",
            f"{each.stayed.of:,}",
            "-" if share is None else f"{share:.0%}",
            "-" if share is None else f"{each.stayed.low:.0%}-{each.stayed.high:.0%}",
            "-" if each.expected is None else f"{each.expected:.0%}",
            f"{each.stake:,.0f}",
            f"{each.lost:,.0f}",
        )
    console = Console() if sys.stdout.isatty() else Console(width=100)
    console.print(table)
    for each in found.kinds:
        for example in (*each.right[:2], *each.wrong[:1], *each.missed_examples[:1]):
            what = example.headline or "not named"
            console.print(
                f"{each.kind}, {example.day}, {example.customer}: {what}; then: {example.then}",
                highlight=False,
                soft_wrap=True,
            )


commands: Sequence[click.Command] = (backtest_command, fit_command, quality_command, signals_group)
