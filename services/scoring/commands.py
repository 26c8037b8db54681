"""Scoring's part of the command line: `tipoff fit` and `tipoff signals export`."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from services.scoring.export import LISTINGS, export, write
from services.scoring.fit.run import ModelsFailed, NothingToFit, fit
from services.scoring.store import items
from shared.clock import start_of_day

if TYPE_CHECKING:
    from services.cli import Context


@click.command("fit")
@click.option("--as-of", type=click.DateTime(), help="use facts before this moment, in UTC; default: today")
@click.pass_obj
def fit_command(context: "Context", as_of: datetime | None) -> None:
    """Build the models from history, swap them in, and say how good they are.

    Models as of a moment before that of the current ones do not become current.
    """
    items.refresh_if_asked(context.database, context.settings.base_currency)
    today = start_of_day(context.clock(), context.settings.time_zone)
    moment = as_of.replace(tzinfo=UTC) if as_of else today
    try:
        report = fit(
            context.settings.database_url.get_secret_value(), moment, zone=context.settings.time_zone
        )
    except ModelsFailed as fault:
        for line in fault.report.lines():
            click.echo(line)
        raise click.ClickException(str(fault)) from fault
    except NothingToFit as fault:
        raise click.ClickException(f"{fault}\nhint: `tipoff import orders FILE` brings history in") from fault
    for line in report.lines():
        click.echo(line)


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
    items.refresh_if_asked(context.database, context.settings.base_currency)
    address = context.settings.database_url.get_secret_value()
    rows = export(address, moment, kind, top=top, zone=context.settings.time_zone)
    write(out, rows)
    click.echo(f"{len(rows):,} rows of {kind} as of {as_of:%Y-%m-%d} are in {out}")


commands = (fit_command, signals_group)
