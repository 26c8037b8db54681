"""Commands that bring orders in: imports of history, what waits in quarantine, and sending a file as webhooks."""

import os
import sys
from collections import Counter
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID
from zoneinfo import ZoneInfo

import click

from services.ingest.imports.entities import ENTITIES
from services.ingest.source import ReadContext

if TYPE_CHECKING:
    from services.cli import Context

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
DAY = click.DateTime(["%Y-%m-%d"])


def _rejects_of(file: Path, rejects: Path | None) -> Path:
    """Where refused rows go. Asked before anything is stored: afterwards it would be too late to say no."""
    path = rejects or Path(f"{file.stem}.rejects.csv")
    if path.resolve() == file.resolve():
        raise click.ClickException(f"refused rows would overwrite {file}\nhint: --rejects names another file")
    if not os.access(path.parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise click.ClickException(
            f"refused rows cannot be written to {path}\nhint: --rejects names another file"
        )
    return path


class _Name(click.ParamType[str]):
    """A name that says something."""

    name = "name"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name without outer blanks; refuse nothing."""
        return value.strip() or self.fail("a source needs a name", param, ctx)


SOURCE = _Name()


def _day(moment: datetime | None) -> date | None:
    return None if moment is None else moment.date()


@click.group("import")
def import_() -> None:
    """Bring history in from CSV or Parquet files: see docs/imports.md."""


@import_.command()
@click.argument("file", type=FILE)
@click.option(
    "--source", type=SOURCE, default="standard", show_default=True, help="whose order ids these are"
)
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
    from services.ingest.imports.file_orders import Window  # noqa: PLC0415
    from services.ingest.imports.orders import OrdersRequest, import_orders  # noqa: PLC0415
    from services.ingest.imports.table import FileFault  # noqa: PLC0415

    settings = context.settings
    try:
        column_map = read_map(columns)
        request = OrdersRequest(
            file=file,
            source=source,
            columns=column_map,
            window=Window(_day(since), _day(until)),
            zone=ZoneInfo(column_map.zone or settings.time_zone),
            base_currency=settings.base_currency,
            rejects=_rejects_of(file, rejects),
            is_dry_run=dry_run,
            prepare_statements=settings.prepare_statements,
        )
        made = import_orders(context.database, request)
    except (MapFault, FileFault) as fault:
        raise click.ClickException(str(fault)) from fault
    report.show(made, request)
    if not made.is_settled:
        raise click.ClickException("the account does not settle: please report this with the table above")


def _entity_command(name: str) -> click.Command:
    columns = [each.name if each.is_required else f"[{each.name}]" for each in ENTITIES[name].columns]

    @click.command(name, help=f"Import {name.replace('-', ' ')}: {', '.join(columns)}.")
    @click.argument("file", type=FILE)
    @click.option("--source", type=SOURCE, default="standard", show_default=True, help="whose ids these are")
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
        from services.ingest.imports.entity_import import EntityRequest, import_entity  # noqa: PLC0415
        from services.ingest.imports.table import FileFault  # noqa: PLC0415

        settings, path = context.settings, _rejects_of(file, rejects)
        request = EntityRequest(
            ENTITIES[name], file, source, settings.base_currency, path, dry_run, settings.time_zone
        )
        try:
            made = import_entity(context.database, request)
        except (MapFault, FileFault) as fault:
            raise click.ClickException(str(fault)) from fault
        report.show_entity(made, request)

    return command


for _name in ENTITIES:
    import_.add_command(_entity_command(_name))


@click.group()
def quarantine() -> None:
    """Signed messages that could not be taken: look at them, have them read again."""


@quarantine.command("list")
@click.option("--most", type=click.IntRange(1), default=50, show_default=True)
@click.pass_obj
def list_(context: "Context", most: int) -> None:
    """List what waits, oldest first."""
    from services.ingest.replay import list_quarantined  # noqa: PLC0415 - what it reads with is for this command

    for each in list_quarantined(context.database, most):
        order = f"order {each.order_id}" if each.order_id else "unreadable"
        faults = "; ".join(f"{fault['pointer']}: {fault['detail']}" for fault in each.faults)
        click.echo(f"{each.id}  {each.received_at:%Y-%m-%d %H:%M} UTC  {each.source}  {order}: {faults}")


@quarantine.command()
@click.option("--most", type=click.IntRange(1), default=50, show_default=True)
@click.pass_obj
def flagged(context: "Context", most: int) -> None:
    """List orders taken in though their totals are not what their lines make, newest first."""
    from services.ingest.replay import list_flagged  # noqa: PLC0415 - what it reads with is for this command

    for each in list_flagged(context.database, most):
        received = f"{each.received_at:%Y-%m-%d %H:%M} UTC"
        click.echo(
            f"{each.event_id}  {received}  {each.source}  order {each.order_id}: {'; '.join(each.flags)}"
        )


@quarantine.command()
@click.argument("event_id", type=click.UUID)
@click.pass_obj
def show(context: "Context", event_id: UUID) -> None:
    """Print one: its faults with their places, and its exact body."""
    from services.ingest.replay import find  # noqa: PLC0415 - what it reads with is for this command

    with context.database.transaction() as connection:
        waiting = find(connection, event_id)
    if waiting is None:
        raise click.ClickException(f"{event_id} is not in quarantine\nhint: `tipoff quarantine list`")
    for fault in waiting.faults:
        click.echo(f"{fault['pointer']}: {fault['detail']}")
    click.echo(waiting.body.decode("utf-8", "backslashreplace"))


@quarantine.command()
@click.argument("event_ids", type=click.UUID, nargs=-1, required=True)
@click.option(
    "--accept", is_flag=True, help="let one that conflicts with the current revision take its place"
)
@click.pass_obj
def replay(context: "Context", event_ids: tuple[UUID, ...], accept: bool) -> None:  # noqa: FBT001 - by name
    """Read messages again, and take in those that can be read now. Status 1 where one could not be taken in."""
    from services.ingest import replay as replaying  # noqa: PLC0415 - what it reads with is for this command
    from services.ingest.normalise import read_order  # noqa: PLC0415
    from services.ingest.source import all_sources  # noqa: PLC0415

    sources, settings = all_sources(), context.settings
    unknown = still_bad = 0
    for event_id in event_ids:
        with context.database.transaction() as connection:
            waiting = replaying.find(connection, event_id)
            if waiting is None:
                click.echo(f"{event_id}: not in quarantine", err=True)
                unknown += 1
                continue
            read = sources[waiting.source].read if waiting.entry_point == "webhook" else read_order
            zone = ZoneInfo(settings.time_zone)
            read_context = ReadContext(waiting.source, zone, settings.base_currency, waiting.received_at)
            made = replaying.replay(connection, waiting, read, read_context, accept=accept)
        faults = "; ".join(fault.detail for fault in made.faults)
        if faults:
            click.echo(f"{event_id}: still {faults}", err=True)
            still_bad += 1
        else:
            click.echo(f"{event_id}: {made.comparison}")
    if unknown:
        raise click.ClickException(
            f"{unknown} of {len(event_ids)} are not in quarantine\nhint: `tipoff quarantine list`"
        )
    if still_bad:
        sys.exit(1)


@click.group()
def send() -> None:
    """Send a file as webhooks: to try an installation."""


@send.command("orders")
@click.argument("file", type=FILE)
@click.option("--url", required=True, help="the hook, as http://127.0.0.1:8001/hooks/standard")
@click.option("--secret", required=True, envvar="TIPOFF_SEND_SECRET", help="whsec_...; or TIPOFF_SEND_SECRET")
@click.option("--columns", default="standard", show_default=True, help="a column map's name, or a .toml file")
@click.option("--since", type=DAY, help="orders from this day on")
@click.option("--until", type=DAY, help="orders before this day")
@click.option(
    "--rate", type=click.FloatRange(min=0, min_open=True), help="orders a second; default: as fast as it goes"
)
@click.option(
    "--times", type=click.IntRange(1), default=1, show_default=True, help="send everything so often"
)
def send_orders(  # noqa: PLR0913, PLR0917 - one argument an option
    file: Path,
    url: str,
    secret: str,
    columns: str,
    since: datetime | None,
    until: datetime | None,
    rate: float | None,
    times: int,
) -> None:
    """Post the orders of a file as signed Standard Webhooks, in the order they were placed."""
    from services.ingest.imports.columns import MapFault, read_map  # noqa: PLC0415
    from services.ingest.imports.file_orders import Window  # noqa: PLC0415
    from services.ingest.imports.send import Sender, SendFault, open_session, orders_of, send_all  # noqa: PLC0415
    from services.ingest.imports.table import FileFault  # noqa: PLC0415

    outcomes: Counter[str] = Counter()
    try:
        sending = orders_of(file, read_map(columns), Window(_day(since), _day(until)))
        with open_session() as session:
            for answer in send_all(sending, Sender(url, secret, session), rate=rate, times=times):
                outcomes[f"{answer.status} {answer.outcome}"] += 1
                click.echo(f"{answer.key}  {answer.status} {answer.outcome}  {answer.event_id or ''}")
    except SendFault as fault:
        raise click.ClickException(
            f"{url} does not answer: {type(fault).__name__}\nhint: the hook is http://HOST:PORT/hooks/standard"
        ) from fault
    except (MapFault, FileFault, ValueError) as fault:
        raise click.ClickException(str(fault)) from fault
    click.echo(
        ", ".join(f"{number} x {outcome}" for outcome, number in outcomes.most_common()) or "nothing to send"
    )


commands: tuple[click.Command, ...] = (import_, quarantine, send)
