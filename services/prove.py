"""`tipoff prove`: whom Tipoff would have named, from a company's own export alone, without a database."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click
from rich.console import Console
from rich.progress import Progress, track

from services.ingest.imports.columns import MapFault
from services.ingest.imports.table import FileFault
from services.ingest.imports.trade import NoTrade, Trade, read_trade
from services.scoring import backtest, backtest_report, signals
from services.scoring.engine import open_engine
from services.scoring.facts import Assumptions
from services.scoring.prove import facts_from
from shared.domain.signal import DaySignalKind, SignalKind
from shared.plugins import discover

HALF_A_YEAR = 26
LEAST_HISTORY = timedelta(days=240)
"""Sixty days to learn rhythms from, ninety for what came of them, and ninety to judge."""

LEARN_EVERY = timedelta(weeks=4)
"""What a week adds to what is learnt of a year is next to nothing, and learning takes longest."""

FULL_YEAR = timedelta(days=365 + 182)


@click.command("prove")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), default="report.html", show_default=True
)
@click.option("--columns", help="a column map's name, or a .toml file; default: the one that fits the file")
@click.option("--zone", default="UTC", show_default=True, help="where the company is, as Europe/London")
@click.option(
    "--weeks", type=click.IntRange(1, 104), default=HALF_A_YEAR, show_default=True, help="Mondays to judge"
)
def command(file: Path, out: Path, columns: str | None, zone: str, weeks: int) -> None:
    """Show on your own orders whom you would have been told of, and what then happened.

    FILE is a CSV or Parquet of order lines, a year or more of them. Nothing leaves this machine, nothing is installed
    or stored but the report.
    """
    console = Console(stderr=True)
    trade = _read(file, columns, _zone(zone), console)
    end = trade.last + timedelta(seconds=1)
    if trade.last - trade.first < LEAST_HISTORY:
        raise click.ClickException(
            f"{file.name} holds {(trade.last - trade.first).days} days of orders: too few to learn rhythms from and"
            f" judge them\nhint: give at least {LEAST_HISTORY.days} days, better two years"
        )
    days = backtest.mornings((end - timedelta(weeks=weeks)).date(), end.date(), every=7)
    found = _walk(trade, zone, end, days, console)
    title = f"Whom you would have been told of: {days[0]:%-d %b %Y} to {days[-1]:%-d %b %Y}"
    text = backtest_report.page(
        backtest_report.without_silent(found),
        title=title,
        lead=list(_lead(trade, found)),
        notes=[*_notes(trade), *backtest_report.NOTES],
    )
    try:
        out.write_text(text, "utf-8")
    except OSError as fault:
        raise click.ClickException(
            f"the report cannot be written to {out}: {fault.strerror}\nhint: --out names another file"
        ) from fault
    for line in (*_lead(trade, found), *_as_read(trade)):
        click.echo(line)
    click.echo(f"The report is {out}.")


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as fault:
        raise click.ClickException(
            f"there is no time zone {name!r}\nhint: write it as Europe/London"
        ) from fault


def _read(file: Path, columns: str | None, zone: ZoneInfo, console: Console) -> Trade:
    with Progress(console=console, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(f"rows of {file.name}", total=None)
        try:
            return read_trade(
                file, columns, zone, datetime.now(UTC), lambda rows: progress.advance(task, rows)
            )
        except (FileFault, MapFault, NoTrade) as fault:
            raise click.ClickException(str(fault)) from fault
        except OSError as fault:
            raise click.ClickException(f"{file} cannot be read: {fault.strerror or fault}") from fault


def _walk(
    trade: Trade, zone: str, end: datetime, days: list[date], console: Console
) -> backtest_report.Result:
    kinds = [
        kind for kind in discover(signals, "KIND", SignalKind).values() if isinstance(kind, DaySignalKind)
    ]
    moments = [datetime.combine(day, time.min, ZoneInfo(zone)) for day in days]
    with open_engine(threads=2, memory="900MB") as engine:
        whole = facts_from(
            engine,
            end,
            zone,
            trade.lines,
            products={
                number: (name, trade.categories.get(number)) for number, name in trade.products.names.items()
            },
            heads={number: trade.parents.get(number, number) for number in trade.customers.names},
            owners=trade.owners,
        )
        whole = replace(whole, assumptions=Assumptions(base_currency=trade.currency))
        mondays = track(moments, "Mondays", console=console)
        walked = list(backtest.walk(whole, kinds, mondays, learn_every=LEARN_EVERY))
    names = backtest_report.Names(trade.customers.names, trade.currency, len(set(trade.owners.values())) or 1)
    return backtest_report.result(walked, [kind.name for kind in kinds], days, names)


def _lead(trade: Trade, found: backtest_report.Result) -> Iterator[str]:
    """Say in two or three sentences what the half year would have brought."""
    yield (
        f"{trade.orders:,} orders of {len(trade.customers.names):,} customers,"
        f" {trade.first:%-d %b %Y} to {trade.last:%-d %b %Y}. Each Monday morning since {found.first:%-d %b %Y} was"
        " judged by what was known that morning; the orders after it say what then happened."
    )
    quiet = next((each for each in found.kinds if each.kind == "going_quiet" and each.alerts), None)
    if quiet is None:
        yield "No customer would have been named as going quiet."
    else:
        named = f"{quiet.alerts} times" if quiet.alerts > 1 else "Once"
        yield f"{named} a customer would have been named as going quiet{_what_then(quiet, found.currency)}."
        if quiet.missed:
            yield f"{quiet.missed} more stopped ordering without having been named."


def _what_then(quiet: backtest_report.KindResult, currency: str) -> str:
    known, gone = quiet.stayed.of, quiet.stayed.hits
    if not known:
        return "; their 90 days are not over"
    money = backtest_report.spoken_money(currency)(quiet.lost)
    lost = f"{gone} ordered no more, who used to bring {money} margin a quarter" if gone else "all came back"
    back = f"; {known - gone} came back by themselves" if gone and gone < known else ""
    return f". Of the {known} whose 90 days are over, {lost}{back}"


def _as_read(trade: Trade) -> Iterator[str]:
    """Say what of the file was not read as it stands."""
    if trade.encoding != "utf-8":
        yield f"The file is not UTF-8: it was read as {trade.encoding.title()}."
    if trade.refused_rows:
        rows = f"{trade.refused_rows:,} rows were" if trade.refused_rows > 1 else "One row was"
        yield f"{rows} left out; the most frequent reason: {trade.refusal}."


def _notes(trade: Trade) -> Iterator[str]:
    yield from _as_read(trade)
    if trade.last - trade.first < FULL_YEAR:
        yield (
            "The file holds less than a year before the half year judged: the first of each season is judged without"
            " having seen one, so its chances are estimates."
        )
    if trade.other_currency:
        yield (
            f"{trade.other_currency:,} orders are in another currency than {trade.currency}: they count as orders, not"
            " as money."
        )
    if trade.guests:
        yield f"{trade.guests:,} orders name no customer: they teach what sells, and nobody is named for them."
    if not trade.owners:
        yield "The file names no reps: alerts are counted as if one looked after everybody."


commands = (command,)
