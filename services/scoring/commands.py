"""Scoring's part of the command line: `tipoff fit`."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from services.scoring.fit.run import ModelsFailed, NothingToFit, fit
from services.scoring.store import refresh

if TYPE_CHECKING:
    from services.cli import Context


@click.command("fit")
@click.option("--as-of", type=click.DateTime(), help="use facts before this moment, in UTC; default: now")
@click.pass_obj
def fit_command(context: "Context", as_of: datetime | None) -> None:
    """Build the models from history, swap them in, and say how good they are."""
    refresh.what_waits(context.database, context.settings.base_currency)
    moment = as_of.replace(tzinfo=UTC) if as_of else context.clock()
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


commands = (fit_command,)
