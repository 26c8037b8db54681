"""Commands of the alerts service: pausing sending, and the newest alerts."""

from typing import TYPE_CHECKING

import click

from services.alerts import message
from services.alerts.jobs import sending_of
from services.alerts.store import deliveries, endpoints, inbox, views

if TYPE_CHECKING:
    from services.cli import Context


@click.group()
def sending() -> None:
    """Pause all sending, and nothing else."""


@sending.command()
@click.pass_obj
def pause(context: "Context") -> None:
    """Send nothing until resumed. Alerts are still decided and shown; deliveries wait."""
    with context.database.transaction() as connection:
        endpoints.set_paused(connection, paused=True)
        click.echo(f"sending is paused; {endpoints.waiting(connection)} deliveries wait")


@sending.command()
@click.pass_obj
def resume(context: "Context") -> None:
    """Send again, beginning with what waits."""
    with context.database.transaction() as connection:
        endpoints.set_paused(connection, paused=False)
        endpoints.release_waiting(connection)
        click.echo(f"sending is resumed; {endpoints.waiting(connection)} deliveries waited")


@sending.command()
@click.pass_obj
def status(context: "Context") -> None:
    """Say whether anything is sent, and to whom."""
    settings = context.settings
    with context.database.transaction() as connection:
        state = "paused" if deliveries.is_paused(connection) else "on"
        click.echo(f"sending: {state}\nmode: {settings.sending}\nwaiting: {endpoints.waiting(connection)}")
    click.echo(f"recipients: {' '.join(settings.recipients) or 'nobody is on the list'}")
    click.echo(f"mail server: {'set' if settings.smtp_url else 'none'}")
    sending = sending_of(settings)
    told = [
        each if sending.allows(each) else f"{each} (not on the list of recipients)"
        for each in settings.operators
    ]
    click.echo(f"operators: {' '.join(told) or 'none: nobody is told by mail of deliveries that fail'}")


@click.group("alerts")
def alert_commands() -> None:
    """Alerts, as in the inbox."""


@alert_commands.command("list")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@click.pass_obj
def list_alerts(context: "Context", limit: int) -> None:
    """List the newest alerts with their verdicts."""
    currency = context.settings.base_currency
    with context.database.transaction() as connection:
        recent = inbox.list_recent(connection, limit)
        shown = views.load(connection, [each for each, _ in recent], currency)
    for alert_id, public_id in recent:
        if alert_id in shown:
            view = shown[alert_id]
            click.echo(
                f"{public_id}  {view.rep_name}  {view.verdict}: {view.reason}  {message.subject(view)}"
            )


commands = (sending, alert_commands)
