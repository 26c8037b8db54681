"""Commands about endpoints: where alerts are sent besides mail. No address is printed: it may be a credential."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import click

from services.alerts.channel import Channel, OperatorNotice, OutboundMessage, Rejected, Unavailable
from services.alerts.jobs import config_of, installed_channels, sending_of
from services.alerts.store import deliveries, endpoints
from services.alerts.store.endpoints import Endpoint, NewEndpoint, NotStored, Use
from shared.clock import real_now
from shared.sealing import Sealer, Unsealable, sealer_of

if TYPE_CHECKING:
    from services.cli import Context

ALLOWED = "https on port 443, or an origin in TIPOFF_LOOPBACK_ORIGINS"
LONGEST_NAME = 80
TEST = OperatorNotice(
    "Test message from Tipoff",
    "Somebody asked for this test with `tipoff endpoints test`. It is about no customer: there is nothing to do.",
)


@click.group("endpoints")
def endpoint_commands() -> None:
    """Where alerts are sent besides mail: webhooks and chats."""


@endpoint_commands.command("add")
@click.argument("url")
@click.option("--name", help="what lists and pages show; default: channel and host")
@click.option("--rep", help="only this rep's alerts (its id in the import file)")
@click.option("--channel", help="by which channel; default: the one whose addresses look so, else webhook")
@click.option(
    "--secret-from",
    type=click.Path(allow_dash=True, path_type=str),
    help="file, or - : the signing secret of a Slack app",
)
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
def add_endpoint(  # noqa: PLR0913 - one argument an option
    context: "Context",
    url: str,
    name: str | None,
    rep: str | None,
    channel: str | None,
    secret_from: str | None,
    *,
    for_operators: bool,
    on_unknown: str,
) -> None:
    """Send every alert to URL (- reads it from standard input, so that it stays out of the shell's history).

    Prints the secret a webhook's receiver verifies with.
    """
    address = sys.stdin.readline().strip() if url == "-" else url
    chosen = _channel_of(channel, address)
    if fault := chosen.check(address, config_of(context.settings)):
        hint = "" if chosen.claims(address) else f"\nhint: {ALLOWED}"
        raise click.ClickException(f"the address cannot be called: {fault}{hint}")
    new = NewEndpoint(
        channel=chosen.name,
        address=address,
        rep=rep,
        name=_checked(name),
        signing_secret=_read(chosen, secret_from),
        use=Use(on_unknown, for_operators),
    )
    sealer = _sealer(context)
    with context.database.transaction() as connection:
        try:
            endpoint_id = endpoints.add(connection, new, sealer)
        except NotStored as error:
            raise click.ClickException(str(error)) from error
        endpoint = _found(endpoints.find(connection, str(endpoint_id), sealer))
    _print_secret(context, endpoint, endpoint.secret_number)
    if not sending_of(context.settings).allows_endpoint(address):
        click.echo("hint: nothing is sent there before its host is in TIPOFF_RECIPIENTS, as @host", err=True)


@endpoint_commands.command("list")
@click.pass_obj
def list_endpoints(context: "Context") -> None:
    """List endpoints by name and id, and why one is off."""
    with context.database.transaction() as connection:
        for each in endpoints.all_endpoints(connection):
            reason = f" ({each.state_reason})" if each.state_reason else ""
            click.echo(
                f"{each.id}  {each.channel}  {each.name}  for {each.rep or 'every rep'}  {each.state}{reason}"
            )


@endpoint_commands.command("rotate")
@click.argument("endpoint")
@click.pass_obj
def rotate_endpoint(context: "Context", endpoint: str) -> None:
    """Make the next secret of ENDPOINT and print it; messages carry both signatures until the next rotation."""
    with context.database.transaction() as connection:
        known = _found(endpoints.find(connection, endpoint, _sealer(context)))
        number = endpoints.rotate(connection, known)
    _print_secret(context, known, number)


@endpoint_commands.command("remove")
@click.argument("endpoint")
@click.pass_obj
def remove_endpoint(context: "Context", endpoint: str) -> None:
    """Send nothing more to ENDPOINT, named by its name, id or address."""
    with context.database.transaction() as connection:
        known = _found(endpoints.find(connection, endpoint, _sealer(context)))
        endpoints.switch_off(connection, known)
    click.echo(f"{known.name} is switched off")


@endpoint_commands.command("rotate-keys")
@click.pass_obj
def rotate_keys(context: "Context") -> None:
    """Seal addresses and secrets under TIPOFF_SECRET_KEY; TIPOFF_PREVIOUS_SECRET_KEY opens those of the old one."""
    with context.database.transaction() as connection:
        try:
            number = endpoints.seal_stored(connection, _sealer(context), again=True)
        except Unsealable as fault:
            raise _unsealable(fault) from fault
    click.echo(f"{number} endpoints were sealed anew")
    click.echo(
        "give receivers of webhooks their new secrets (tipoff endpoints rotate NAME)"
        " before you unset TIPOFF_PREVIOUS_SECRET_KEY"
    )


@endpoint_commands.command("test")
@click.argument("endpoint")
@click.pass_obj
def test_endpoint(context: "Context", endpoint: str) -> None:
    """Send one message marked as a test to ENDPOINT now, also in shadow mode, and say how it ended.

    One that answers that it is gone is switched off, as by any message.
    """
    sealer = _sealer(context)
    with context.database.transaction() as connection:
        known = _found(endpoints.find(connection, endpoint, sealer))
    channel = installed_channels().get(known.channel)
    if channel is None:
        raise click.ClickException(f"the channel {known.channel} is not installed")
    test = OutboundMessage(
        delivery_id=uuid4(),
        recipient=_address(known, sealer),
        alerts=(),
        now=real_now(),
        secret_number=known.secret_number,
        notice=TEST,
    )
    try:
        with channel.open(config_of(context.settings)) as send:
            receipt = send(test)
    except (Rejected, Unavailable) as failure:
        if isinstance(failure, Rejected) and failure.disables:
            with context.database.transaction() as connection:
                deliveries.switch_off(connection, known.id, str(failure))
        raise click.ClickException(f"{known.name}: {failure}\nhint: {_hint(failure)}") from failure
    answer = ", ".join(f"{name} {value}" for name, value in (receipt or {}).items())
    click.echo(f"{known.name}: sent; answered {answer}")


def _hint(failure: Rejected | Unavailable) -> str:
    if isinstance(failure, Rejected):
        return "is the address still the right one? Add the new one with `tipoff endpoints add`"
    if failure.is_refusal:
        return "the receiver refuses us: look at its settings and its log"
    return "try again in a minute; alerts are tried again by themselves"


def _found(endpoint: Endpoint | None) -> Endpoint:
    if endpoint is None:
        raise click.ClickException("there is no such endpoint\nhint: `tipoff endpoints list`")
    return endpoint


def _channel_of(name: str | None, address: str) -> Channel:
    """The channel of that name, else the one that claims the address, else webhooks."""
    known = {each.name: each for each in installed_channels().values() if not each.is_for_users}
    if name is None:
        return next((each for each in known.values() if each.claims(address)), known["webhook"])
    if name not in known:
        raise click.ClickException(f"there is no such channel\nhint: --channel {' or '.join(sorted(known))}")
    return known[name]


def _checked(name: str | None) -> str | None:
    """A name that can be shown. An address is none: it would be shown everywhere."""
    if name is None:
        return None
    if not name.strip() or not name.isprintable() or len(name) > LONGEST_NAME or "://" in name:
        raise click.ClickException(f"a name is up to {LONGEST_NAME} letters, and no address")
    return name.strip()


def _read(channel: Channel, secret_from: str | None) -> str | None:
    """Read a signing secret from the first line of a file, or of what standard input has left."""
    if secret_from is None:
        return None
    if not channel.has_buttons:
        raise click.ClickException(f"{channel.name} takes no signing secret")
    try:
        is_stdin = secret_from == "-"  # noqa: S105 - a place, no password
        text = sys.stdin.readline() if is_stdin else Path(secret_from).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(
            f"the signing secret cannot be read from {secret_from}: {error}"
        ) from error
    if not text.strip():
        raise click.ClickException("the signing secret is empty")
    return text.split()[0]


def _sealer(context: "Context") -> Sealer:
    return sealer_of(*context.settings.secret_keys)


def _address(endpoint: Endpoint, sealer: Sealer) -> str:
    try:
        return endpoints.address_of(endpoint, sealer)
    except Unsealable as fault:
        raise _unsealable(fault) from fault


def _unsealable(fault: Unsealable) -> click.ClickException:
    return click.ClickException(
        f"an address cannot be read: {fault}\nhint: set TIPOFF_PREVIOUS_SECRET_KEY to the secret key before"
    )


def _print_secret(context: "Context", endpoint: Endpoint, number: int) -> None:
    """Print what the receiver verifies messages with, else what was added."""
    secret = installed_channels()[endpoint.channel].secret
    if secret is None:
        click.echo(f"{endpoint.name} ({endpoint.id})")
    else:
        click.echo(secret(config_of(context.settings), _address(endpoint, _sealer(context)), number))


commands = (endpoint_commands,)
