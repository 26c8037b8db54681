"""Commands that bring orders in: imports of history, what waits in quarantine, and sending a file as webhooks."""

from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from services.ingest.imports.nouns import NOUNS

if TYPE_CHECKING:
    from services.cli import Context

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
DAY = click.DateTime(["%Y-%m-%d"])


def _rejects_of(file: Path, rejects: Path | None) -> Path:
    return rejects or Path(f"{file.stem}.rejects.csv")


def _day(moment: datetime | None) -> date | None:
    return None if moment is None else moment.date()


@click.group("import")
def import_() -> None:
    """Bring history in from CSV or Parquet files: see docs/imports.md."""


@import_.command()
@click.argument("file", type=FILE)
@click.option("--source", default="standard", show_default=True, help="whose order ids these are")
@click.option("--columns", default="standard", show_default=True, help="a column map's name, or a .toml file")
@click.option("--since", type=DAY, help="orders from this day on")
@click.option("--until", type=DAY, help="orders before this day")
@click.option("--dry-run", is_flag=True, help="read, check and count; store nothing")
@click.option("--rejects", type=click.Path(dir_okay=False, path_type=Path), help="where refused rows go")
@click.pass_obj
def orders(  # noqa: PLR0913, PLR0917 - one argument an option
    context: "Context",
    file: Path,
    source: str,
    columns: str,
    since: datetime | None,
    until: datetime | None,
    dry_run: bool,  # noqa: FBT001 - Click hands it over by name
    rejects: Path | None,
) -> None:
    """Import the history of orders. History never alerts."""
    from services.ingest.imports import report  # noqa: PLC0415 - DuckDB and Arrow are for this command alone
    from services.ingest.imports.columns import MapFault, read_map  # noqa: PLC0415
    from services.ingest.imports.orders import Wish, import_orders  # noqa: PLC0415
    from services.ingest.imports.query import Window  # noqa: PLC0415
    from services.ingest.imports.table import FileFault  # noqa: PLC0415

    settings = context.settings
    try:
        column_map = read_map(columns)
        wish = Wish(
            file=file,
            source=source,
            columns=column_map,
            window=Window(_day(since), _day(until)),
            zone=ZoneInfo(column_map.zone or settings.time_zone),
            base_currency=settings.base_currency,
            rejects=_rejects_of(file, rejects),
            is_dry_run=dry_run,
        )
        made = import_orders(context.database, wish)
    except (MapFault, FileFault) as fault:
        raise click.ClickException(str(fault)) from fault
    report.show(made, wish)
    if not made.is_settled:
        raise click.ClickException("the account does not settle: please report this with the table above")


def _noun_command(name: str) -> click.Command:
    @click.command(name, help=f"Import {name.replace('-', ' ')}: {', '.join(_columns(name))}.")
    @click.argument("file", type=FILE)
    @click.option("--source", default="standard", show_default=True, help="whose ids these are")
    @click.option("--dry-run", is_flag=True, help="read, check and count; store nothing")
    @click.option("--rejects", type=click.Path(dir_okay=False, path_type=Path), help="where refused rows go")
    @click.pass_obj
    def command(
        context: "Context",
        file: Path,
        source: str,
        dry_run: bool,  # noqa: FBT001 - Click hands it over by name
        rejects: Path | None,
    ) -> None:
        from services.ingest.imports import report  # noqa: PLC0415 - DuckDB and Arrow are for this command alone
        from services.ingest.imports.columns import MapFault  # noqa: PLC0415
        from services.ingest.imports.noun_import import NounWish, import_noun  # noqa: PLC0415
        from services.ingest.imports.table import FileFault  # noqa: PLC0415

        currency, path = context.settings.base_currency, _rejects_of(file, rejects)
        wish = NounWish(NOUNS[name], file, source, currency, path, dry_run)
        try:
            made = import_noun(context.database, wish)
        except (MapFault, FileFault) as fault:
            raise click.ClickException(str(fault)) from fault
        report.show_noun(made, wish)

    return command


def _columns(name: str) -> list[str]:
    return [column.name if column.is_required else f"[{column.name}]" for column in NOUNS[name].columns]


for _name in NOUNS:
    import_.add_command(_noun_command(_name))

commands: tuple[click.Command, ...] = (import_,)
