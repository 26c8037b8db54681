"""What came of an import, printed for whoever started it."""

from decimal import Decimal

import click
from rich.console import Console
from rich.table import Table

from services.ingest.imports.account import Entry, money
from services.ingest.imports.entity_import import EntityReport, EntityRequest
from services.ingest.imports.orders import OrdersRequest, Report

MOST_REASONS = 12


def show(report: Report, request: OrdersRequest) -> None:
    """Print the account of an import of orders."""
    account = report.account
    if not report.file_rows + report.outside_rows:
        click.echo(f"{request.file.name}: the file has no rows")
    days = f" since {request.window.since}" if request.window.since else ""
    days += f" until {request.window.until}" if request.window.until else ""
    dry = " (dry run)" if request.is_dry_run else ""
    title = f"{request.file.name}{days}, read as {request.columns.name}{dry}"
    table = Table("", "rows", "value in the file", "stored, net", title=title)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, entry in account.entries.items():
        _row(table, name, entry)
    table.add_section()
    total = Entry(account.rows, account.value, account.stored.net)
    _row(table, "all categories", total)
    stands = "" if report.in_database is None else f"{_amount(report.in_database)} in the database"
    table.add_row("the file", f"{report.file_rows:,}", _amount(money(report.file_value)), stands)
    Console(width=100).print(table)
    difference = money(account.stored.value) - account.stored.net
    if difference:
        click.echo(
            f"Discounts, tax and freight make {_amount(difference)} of difference between value and net."
        )
    if account.doubles:
        click.echo(
            f"Exact duplicates of another row of their order: {account.doubles:,}, kept as lines of their own."
        )
    click.echo("Settled: every row and every penny has its place." if report.is_settled else "NOT SETTLED.")
    ends = ", ".join(f"{number:,} {end}" for end, number in account.orders.items())
    click.echo(f"Orders: {ends or 'none'}. Rows outside the dates asked for: {report.outside_rows:,}.")
    _tell_ignored(report)
    _tell_rejects(report, request)


def _row(table: Table, name: str, entry: Entry) -> None:
    table.add_row(
        name, f"{entry.rows:,}", _amount(money(entry.value)), _amount(entry.net) if entry.net else ""
    )


def _amount(amount: Decimal) -> str:
    return f"{amount:,.2f}"


def _tell_ignored(report: Report | EntityReport) -> None:
    if report.ignored_columns:
        click.echo(f"Unknown columns were ignored: {', '.join(report.ignored_columns)}", err=True)


def _tell_rejects(report: Report, request: OrdersRequest) -> None:
    reasons = sorted(report.account.reasons.items(), key=lambda each: -each[1].rows)
    for reason, entry in reasons[:MOST_REASONS]:
        click.echo(f"  rejected {entry.rows:,} rows, {_amount(money(entry.value))}: {reason}")
    if len(reasons) > MOST_REASONS:
        click.echo(f"  ... and {len(reasons) - MOST_REASONS} further reasons")
    if report.rejected_rows:
        click.echo(f"The rejected rows are in {request.rejects}")


def show_entity(report: EntityReport, request: EntityRequest) -> None:
    """Print what came of an import of an entity."""
    dry = " (dry run: nothing is stored)" if request.is_dry_run else ""
    click.echo(
        f"{request.entity.name}: {report.rows:,} rows read, {report.stored:,} taken, {report.rejected:,} rejected{dry}"
    )
    if not report.rows:
        click.echo(f"{request.file.name}: the file has no rows")
    _tell_ignored(report)
    if report.rejected:
        click.echo(f"The rejected rows are in {request.rejects}")
