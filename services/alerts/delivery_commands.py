"""Commands about deliveries: what waits, what ended unsent and why, and sending it again; addresses left alone."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import wraps
from typing import TYPE_CHECKING
from uuid import UUID

import click

from services.alerts.store import deliveries, health, unsent
from services.alerts.store.unsent import RESENDABLE, UNSENT, Which

if TYPE_CHECKING:
    from services.cli import Context

STATES = ("ready", "sent", "dead", "expired", "held", "withdrawn", "shadow", "not_allowed")
MOMENT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"])

OPTIONS = (
    click.option("--until", type=MOMENT, help="made before (UTC)"),
    click.option("--since", type=MOMENT, help="made at or after (UTC)"),
    click.option("--cause", help="part of why it was not sent"),
    click.option("--channel", help="email, webhook ..."),
    click.option("--state", "states", type=click.Choice(STATES), multiple=True),
)


def _selecting(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say which deliveries are meant; it is told them as `which`."""

    @wraps(command)
    def selecting(
        *given: object,
        states: tuple[str, ...],
        since: datetime | None,
        until: datetime | None,
        **others: str | None,
    ) -> None:
        begin, end = (at and at.replace(tzinfo=UTC) for at in (since, until))
        cause, channel = others.pop("cause"), others.pop("channel")
        command(*given, which=Which(None, states or None, channel, cause, begin, end), **others)

    for option in OPTIONS:
        selecting = option(selecting)
    return selecting


@click.group("deliveries")
def delivery_commands() -> None:
    """Messages on their way: look at them, send again what ended unsent."""


@delivery_commands.command("list")
@_selecting
@click.option("--most", type=click.IntRange(1, 10_000), default=50, show_default=True)
@click.pass_obj
def list_(context: "Context", which: Which, most: int) -> None:
    """List deliveries, the newest first; without a state, those that wait and those that ended unsent."""
    with context.database.transaction() as connection:
        found = unsent.find(connection, _in_states(which, ("ready", *UNSENT)), most)
    for each in found:
        tried = f"{each.attempts} tries" if each.attempts != 1 else "1 try"
        again = f"; next {each.next_try:%Y-%m-%d %H:%M} UTC" if each.next_try else ""
        why = f": {each.reason}" if each.reason else ""
        click.echo(
            f"{each.id}  {each.created_at:%Y-%m-%d %H:%M} UTC  {each.channel} to {each.recipient}  {each.what}"
            f"  {each.state}, {tried}{again}{why}"
        )
    if len(found) == most:
        click.echo(f"... and perhaps more: --most {most * 10}", err=True)


@delivery_commands.command()
@click.argument("delivery_id", type=click.UUID)
@click.pass_obj
def show(context: "Context", delivery_id: UUID) -> None:
    """Print one delivery with every attempt."""
    with context.database.transaction() as connection:
        found = unsent.find(connection, Which(ids=(delivery_id,)), 1)
        attempts = deliveries.attempts_of(connection, delivery_id)
    if not found:
        raise click.ClickException(f"there is no delivery {delivery_id}\nhint: `tipoff deliveries list`")
    (each,) = found
    why = f": {each.reason}" if each.reason else ""
    click.echo(f"{each.channel} to {each.recipient}, about {each.what}\n{each.state}{why}")
    if each.next_try:
        click.echo(f"next try {each.next_try:%Y-%m-%d %H:%M:%S} UTC")
    for attempt in attempts:
        outcome = attempt.outcome or "on its way, or the process died"
        detail = f": {attempt.detail}" if attempt.detail else ""
        click.echo(f"{attempt.n}. {attempt.started_at:%Y-%m-%d %H:%M:%S} UTC  {outcome}{detail}")


@delivery_commands.command()
@click.argument("ids", type=click.UUID, nargs=-1)
@_selecting
@click.pass_obj
def resend(context: "Context", which: Which, ids: tuple[UUID, ...]) -> None:
    """Send deliveries again under the ids they have: named ones, or what ended unsent by cause, channel or time.

    What is about closed alerts alone is left out.
    """
    meant = _in_states(_named(which, ids), RESENDABLE if ids else UNSENT)
    with context.database.transaction() as connection:
        number = unsent.resend(connection, meant)
        unsent.note(connection, "resend deliveries", _counted(number))
    click.echo(f"sent again: {_counted(number)}")


@delivery_commands.command()
@click.argument("ids", type=click.UUID, nargs=-1)
@_selecting
@click.pass_obj
def discard(context: "Context", which: Which, ids: tuple[UUID, ...]) -> None:
    """Give deliveries up for good that ended unsent, so that they are no longer counted. Their alerts stay."""
    meant = _in_states(_named(which, ids), (*UNSENT, "ready") if ids else UNSENT)
    with context.database.transaction() as connection:
        number = unsent.discard(connection, meant)
        unsent.note(connection, "discard deliveries", _counted(number))
    click.echo(f"discarded: {_counted(number)}")


def _counted(number: int) -> str:
    return "1 delivery" if number == 1 else f"{number} deliveries"


def _named(which: Which, ids: tuple[UUID, ...]) -> Which:
    if not ids and which == Which():
        raise click.UsageError("name deliveries, or say which: --state, --channel, --cause, --since, --until")
    return replace(which, ids=ids or None)


def _in_states(which: Which, otherwise: tuple[str, ...]) -> Which:
    return which if which.states else replace(which, states=otherwise)


@click.group("suppressions")
def suppression_commands() -> None:
    """Addresses nothing is sent to, as they do not exist."""


@suppression_commands.command("list")
@click.pass_obj
def list_suppressions(context: "Context") -> None:
    """List them, with what the mail server said."""
    with context.database.transaction() as connection:
        for each in health.all_suppressions(connection):
            click.echo(
                f"{each.channel}  {each.address}  since {each.since:%Y-%m-%d %H:%M} UTC: {each.reason}"
            )


@suppression_commands.command("remove")
@click.argument("address")
@click.pass_obj
def remove_suppression(context: "Context", address: str) -> None:
    """Send to ADDRESS again: it exists after all."""
    with context.database.transaction() as connection:
        if not health.unsuppress(connection, address):
            raise click.ClickException(f"{address} is not suppressed\nhint: `tipoff suppressions list`")
    click.echo(
        f"{address} is sent to again; what ended meanwhile: tipoff deliveries resend --cause 'no such address'"
    )


commands = (delivery_commands, suppression_commands)
