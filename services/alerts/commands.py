"""Commands of the alerts service: pausing sending, the endpoints webhooks go to, and the newest alerts."""

from typing import TYPE_CHECKING

import click

from services.alerts import message
from services.alerts.channel import Channel
from services.alerts.jobs import config_of, installed_channels
from services.alerts.store import deliveries, endpoints, inbox, views
from services.alerts.store.endpoints import Endpoint, Use

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


@click.group("endpoints")
def endpoint_commands() -> None:
    """Where webhooks go."""


@endpoint_commands.command("add")
@click.argument("url")
@click.option("--rep", help="only this rep's alerts (its id in the import file)")
@click.option("--channel", help="by which channel, where more than one sends to endpoints")
@click.option(
    "--for-operators", is_flag=True, help="it hears what goes wrong with deliveries, and of no alerts"
)
@click.option(
    "--on-unknown",
    type=click.Choice(["retry", "hold"]),
    default="retry",
    show_default=True,
    help="what becomes of a message that may have arrived",
)
@click.pass_obj
def add_endpoint(
    context: "Context",
    url: str,
    rep: str | None,
    channel: str | None,
    *,
    for_operators: bool,
    on_unknown: str,
) -> None:
    """Send every alert to URL, signed as Standard Webhooks asks; prints the secret to verify with."""
    chosen = _endpoint_channel(channel)
    if fault := chosen.check(url, config_of(context.settings)):
        raise click.ClickException(
            f"{url} cannot be called: {fault}\nhint: https on port 443, or an origin in TIPOFF_LOOPBACK_ORIGINS"
        )
    with context.database.transaction() as connection:
        if not endpoints.add(connection, chosen.name, url, rep, Use(on_unknown, for_operators)):
            raise click.ClickException(f"there is no rep {rep!r}")
        endpoint = endpoints.by_address(connection, url)
    if endpoint is not None:
        click.echo(_secret(context, endpoint, endpoint.secret_number))


@endpoint_commands.command("list")
@click.pass_obj
def list_endpoints(context: "Context") -> None:
    """List endpoints, and why one is off."""
    with context.database.transaction() as connection:
        for each in endpoints.all_endpoints(connection):
            reason = f" ({each.state_reason})" if each.state_reason else ""
            click.echo(f"{each.channel}  {each.address}  for {each.rep or 'every rep'}  {each.state}{reason}")


@endpoint_commands.command("rotate")
@click.argument("url")
@click.pass_obj
def rotate_endpoint(context: "Context", url: str) -> None:
    """Make the next secret of URL and print it; messages carry both signatures until the next rotation."""
    with context.database.transaction() as connection:
        endpoint = _known(endpoints.by_address(connection, url), url)
        number = endpoints.rotate(connection, endpoint)
    click.echo(_secret(context, endpoint, number))


@endpoint_commands.command("remove")
@click.argument("url")
@click.pass_obj
def remove_endpoint(context: "Context", url: str) -> None:
    """Send nothing more to URL."""
    with context.database.transaction() as connection:
        endpoints.switch_off(connection, _known(endpoints.by_address(connection, url), url))
    click.echo(f"{url} is switched off")


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


def _known(endpoint: Endpoint | None, url: str) -> Endpoint:
    if endpoint is None:
        raise click.ClickException(f"there is no endpoint {url}\nhint: `tipoff endpoints list`")
    return endpoint


def _endpoint_channel(name: str | None) -> Channel:
    """The channel of that name, else the only one that sends to endpoints."""
    known = {each.name: each for each in installed_channels().values() if not each.is_for_users}
    if name is None and len(known) == 1:
        return next(iter(known.values()))
    if name not in known:
        raise click.ClickException(f"choose a channel\nhint: --channel {' or '.join(sorted(known))}")
    return known[name]


def _secret(context: "Context", endpoint: Endpoint, number: int) -> str:
    """What the receiver verifies messages with."""
    secret = installed_channels()[endpoint.channel].secret
    return secret(config_of(context.settings), endpoint.address, number) if secret else "no secret is needed"


commands = (sending, endpoint_commands, alert_commands)
