"""`tipoff readiness`: which kinds can speak on the data there is, and what is missing for the others."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import click

from services.scoring import signals
from services.scoring.facts import ModelRun, OrderFacts
from services.scoring.store import readiness as store
from services.scoring.store.readiness import Holdings
from shared.domain.signal import SignalKind
from shared.plugins import discover

if TYPE_CHECKING:
    from services.cli import Context

MONTHS = 9
"""Half a year to learn a rhythm from, and a quarter to see what became of it."""

REGULARS = 20
"""From fewer customers with a rhythm nothing is learned."""

SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Need:
    """Something of the data that kinds rest on: whether it is there, and what is said while it is not."""

    is_met: Callable[[Holdings], bool]
    missing: Callable[[Holdings], str]


NEEDS: Mapping[str, Need] = {
    "orders": Need(
        lambda held: held.customers > 0, lambda _: "no sale to a known customer (tipoff import orders)"
    ),
    "history": Need(
        lambda held: held.months >= MONTHS,
        lambda held: f"{held.months} of {MONTHS} months of orders (tipoff import orders)",
    ),
    "regulars": Need(
        lambda held: held.regulars >= REGULARS,
        lambda held: f"{held.regulars} of {REGULARS} customers with five order days",
    ),
    "costs": Need(
        lambda held: held.costed >= SHARE,
        lambda held: f"costs for {held.costed:.0%} of sales, {SHARE:.0%} needed (tipoff import costs)",
    ),
    "categories": Need(
        lambda held: held.categorised >= SHARE,
        lambda held: (
            f"categories for {held.categorised:.0%} of sales, {SHARE:.0%} needed (tipoff import products)"
        ),
    ),
}
"""What kinds name in `SignalKind.needs`."""

Kinds = Mapping[str, SignalKind[OrderFacts]]


@click.command("readiness")
@click.pass_obj
def readiness_command(context: "Context") -> None:
    """Say which kinds can speak on the data there is, and what is missing for the others."""
    moment = context.clock()
    with context.database.transaction() as connection:
        held = store.holdings(connection, moment, context.settings.time_zone)
        runs = store.latest_runs(connection)
    for line in (*told(held), "", *verdicts(discover(signals, "KIND", SignalKind), held, runs, moment)):
        click.echo(line)


def told(held: Holdings) -> Iterator[str]:
    """Say what the data holds; what sharpens kinds but stops none says so while it is missing."""
    yield (
        f"Orders: {held.months} months, {held.customers:,} customers in two years,"
        f" {held.regulars:,} with five order days"
    )
    yield f"Costs: known for {held.costed:.0%} of last year's sales"
    yield f"Categories: known for {held.categorised:.0%} of last year's sales"
    yield f"Price agreements: {held.agreements:,}" + _without(
        held.agreements, "a price is compared with what the customer and others paid"
    )
    yield f"Price breaks: {held.price_breaks:,}" + _without(
        held.price_breaks, "they are inferred from what accounts pay"
    )
    yield f"Stock: known for {held.stocked:.0%} of the products sold" + _without(
        held.stocked, "what is sold out is offered too"
    )
    yield f"Parents: {held.parents:,} customers belong to another" + _without(
        held.parents, "a branch that takes over another's orders looks like a loss"
    )
    yield f"Reps: {held.owned:.0%} of customers have one" + _without(
        held.owned, "everything goes to the default owner"
    )


def _without(held: float, what: str) -> str:
    return "" if held else f" (without any, {what})"


def verdicts(kinds: Kinds, held: Holdings, runs: Mapping[str, ModelRun], moment: datetime) -> Iterator[str]:
    """Say of each kind in a line whether it can speak, and if not, why."""
    width = max(map(len, kinds), default=0)
    for name, kind in sorted(kinds.items()):
        missing = [NEEDS[each].missing(held) for each in kind.needs if not NEEDS[each].is_met(held)]
        if missing:
            yield f"{name:{width}}  cannot speak: {'; '.join(missing)}"
        elif kind.needs_model is None:
            yield f"{name:{width}}  can speak"
        elif (run := runs.get(kind.needs_model)) is None:
            yield f"{name:{width}}  can speak once its model is fitted (tipoff fit)"
        else:
            reason = run.why_unproven(moment)
            yield f"{name:{width}}  can speak" if reason is None else f"{name:{width}}  inbox only: {reason}"


commands = (readiness_command,)
