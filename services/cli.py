"""The composition root: `tipoff` puts settings, database, services and plugins together. Nobody imports it."""

import importlib
import sys
from functools import cached_property

import click

from shared import settings as settings_module
from shared.clock import Clock, business_clock
from shared.db import DATABASE_ERRORS, UNHURRIED, Database, is_away
from shared.logs import masked
from shared.settings import Settings, SettingsFault

COMMANDS = {
    "alerts": "services.alerts.commands",
    "backtest": "services.scoring.commands",
    "deliveries": "services.alerts.delivery_commands",
    "endpoints": "services.alerts.endpoint_commands",
    "explain": "services.explain",
    "fit": "services.scoring.commands",
    "import": "services.ingest.commands",
    "migrate": "services.administration",
    "prove": "services.prove",
    "quality": "services.scoring.commands",
    "quarantine": "services.ingest.commands",
    "readiness": "services.scoring.readiness",
    "roi": "services.scoring.roi_command",
    "send": "services.ingest.commands",
    "sending": "services.alerts.commands",
    "serve": "services.processes",
    "settings": "services.administration",
    "signals": "services.scoring.commands",
    "suppressions": "services.alerts.delivery_commands",
    "token": "services.administration",
    "work": "services.processes",
}
"""Which module holds a command: read when it is called, so that `tipoff --help` is quick."""


EXTRAS = {
    **dict.fromkeys(("apiflask", "flask", "waitress", "werkzeug"), "web"),
    **dict.fromkeys(
        ("adbc_driver_postgresql", "duckdb", "ibis", "numpy", "pyarrow", "requests", "scipy", "sklearn"),
        "worker",
    ),
}
"""Which extra of the package brings a library that not every installation has."""


class Context:
    """What commands share, each part made when first asked for."""

    @cached_property
    def settings(self) -> Settings:
        """The settings; a fault ends the command with every wrong name."""
        try:
            return settings_module.read()
        except SettingsFault as fault:
            raise click.ClickException(f"{fault}\nhint: see docs/settings.md") from fault

    @cached_property
    def database(self) -> Database:
        """A database without statement limits: commands show progress instead."""
        return Database(
            self.settings.database_url.get_secret_value(), UNHURRIED, prepare=self.settings.prepare_statements
        )

    @cached_property
    def clock(self) -> Clock:
        """The business clock."""
        told = self.settings
        return business_clock(told.business_time, told.business_begun, told.business_rate)


def _library(error: ModuleNotFoundError) -> str:
    return (error.name or "").partition(".")[0]


def _not_installed(library: str) -> click.ClickException:
    return click.ClickException(
        f"this command needs {library}, which is not installed\nhint: pip install 'tipoff[{EXTRAS[library]}]'"
    )


def _stand_in(name: str, library: str) -> click.Command:
    """A command whose library is missing: listed by `tipoff --help`, and says what it needs when called."""

    def say(arguments: tuple[str, ...]) -> None:  # noqa: ARG001 - whatever was asked of it
        raise _not_installed(library)

    return click.Command(
        name,
        callback=say,
        params=[click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED)],
        short_help=f"Needs tipoff[{EXTRAS[library]}].",
        context_settings={"ignore_unknown_options": True},
        add_help_option=False,
    )


class LazyGroup(click.Group):
    """Finds a command's module when the command is called."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; a database that is away, or an extra that is not installed, is one line and a hint."""
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            if (library := _library(error)) not in EXTRAS:
                raise
            raise _not_installed(library) from error
        except DATABASE_ERRORS as error:
            if not is_away(error):
                raise
            reason = masked(str(error).split("\n", 1)[0])
            raise click.ClickException(
                f"the database is away: {reason}\nhint: is DATABASE_URL right?"
            ) from error

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Every command's name, sorted."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Load the one command that was asked for."""
        if cmd_name not in COMMANDS:
            return None
        try:
            module = importlib.import_module(COMMANDS[cmd_name])
        except ModuleNotFoundError as error:
            if (library := _library(error)) not in EXTRAS:
                raise
            return _stand_in(cmd_name, library)
        return next((each for each in module.commands if each.name == cmd_name), None)


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tipoff", prog_name="tipoff")
@click.pass_context
def main(context: click.Context) -> None:
    """Tipoff: sales intelligence that alerts."""
    context.obj = context.obj or Context()


if __name__ == "__main__":
    sys.exit(main())
