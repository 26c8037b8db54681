"""`tipoff roi`: what acting on signals earned, or how much is missing until it can be said."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from services.scoring.effects import EFFECTS
from services.scoring.roi import Roi, roi
from services.scoring.store import outcomes
from shared.db import Database
from shared.settings import Settings

if TYPE_CHECKING:
    from services.cli import Context


def measure(database: Database, settings: Settings) -> dict[str, Roi]:
    """Return by kind what acting earned."""
    with database.transaction() as connection:
        compared = outcomes.compared(
            connection, settings.time_zone, float(settings.assumed_margin), settings.holdout_exempt
        )
    effects = {**EFFECTS, **settings.effects}
    return {kind: roi(seen, effects.get(kind, 0.0)) for kind, seen in sorted(compared.items())}


def as_json(measured: dict[str, Roi], currency: str) -> dict[str, Any]:
    """The same in plain values."""
    kinds = {
        kind: asdict(each) | {"total": each.total, "is_enough": each.is_enough}
        for kind, each in measured.items()
    }
    return {"currency": currency, "kinds": kinds}


@click.command("roi")
@click.option("--json", "in_json", is_flag=True, help="as JSON")
@click.pass_obj
def command(context: "Context", *, in_json: bool) -> None:
    """Print by kind what acting earned: extra margin beside customers left alone on purpose, with its interval."""
    settings = context.settings
    measured = measure(context.database, settings)
    if in_json:
        click.echo(json.dumps(as_json(measured, settings.base_currency), indent=2))
        return
    if not measured:
        click.echo(
            "no outcomes of customers left alone on purpose yet\n"
            "hint: TIPOFF_HOLDOUT_PERCENT says how many are; an outcome is known when its horizon is over"
        )
    for kind, each in measured.items():
        click.echo(f"{kind}: {described(each, settings.base_currency)}")


def described(each: Roi, currency: str) -> str:
    """What was seen of one kind, in a sentence or two."""
    counted = f"{each.units_notified:,} customers told of, {each.units_held:,} left alone"
    if each.extra is None or each.low is None or each.high is None or each.smallest is None:
        return f"not enough data: {counted}"
    range_ = f"{currency} {each.extra:,.2f} extra margin each ({each.low:,.2f} to {each.high:,.2f})"
    seen = f"effect on the log odds {each.effect:.2f}" if each.effect is not None else "no outcome is known"
    if each.is_enough:
        return f"{range_}, {currency} {each.extra * each.notified:,.0f} in all; {counted}; {seen}"
    needed = f" of about {each.needed:,}" if each.needed else ""
    return (
        f"not enough data: {each.units_held:,}{needed} customers left alone. So far {range_};"
        f" {currency} {each.smallest:,.2f} each could be seen, {each.expected:,.2f} was expected; {seen}"
    )


commands = (command,)
