"""The whole way of an occasion: event, task, facts, signals, decisions, alert, deliveries, attempts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click
from sqlalchemy import Connection, text

from services.alerts.store.deliveries import RECIPIENT
from services.scoring import signals
from services.scoring.replay import replayed, shown
from shared.domain.signal import SignalKind
from shared.plugins import discover

if TYPE_CHECKING:
    from services.cli import Context


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened. `depth` says what it belongs to; `at` is None where no time is kept."""

    depth: int
    what: str
    detail: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Subject:
    """The occasion behind an id; if it is an order, as the source names it and as we do once it is applied."""

    source: str | None
    external_id: str | None
    order_id: int | None
    occasion: str | None = None


_BY_UUID = text(
    "SELECT source, external_id, NULL::bigint AS order_id, NULL AS occasion FROM event WHERE id = :id"
    " UNION ALL SELECT NULL, NULL, order_id, occasion FROM signal WHERE public_id = :id"
    " UNION ALL SELECT NULL, NULL, order_id, occasion FROM alert WHERE public_id = :id"
    " UNION ALL SELECT NULL, NULL, alert.order_id, alert.occasion FROM delivery_item"
    "  JOIN alert ON alert.id = alert_id WHERE delivery_id = :id"
)

_BY_NAME = text(
    "SELECT source, external_id, id AS order_id FROM sales_order"
    " WHERE external_id = :id OR number = :id OR id::text = :id"
    " UNION SELECT source, external_id, NULL FROM event WHERE external_id = :id AND NOT EXISTS ("
    "  SELECT FROM sales_order WHERE sales_order.source = event.source AND sales_order.external_id = event.external_id)"
    " ORDER BY source, external_id"
)

_ORDER = text(
    "SELECT source, external_id, id AS order_id FROM sales_order"
    " WHERE id = :order_id OR (source = :source AND external_id = :external_id)"
)


def explain(connection: Connection, asked: str) -> list[Step]:
    """Return the way of the order behind an id: of an order, event, signal, alert or delivery. Empty: unknown."""
    steps: list[Step] = []
    for subject in _subjects(connection, asked):
        steps += _events(connection, subject)
        if subject.order_id is not None:
            steps += _facts(connection, subject.order_id)
        if subject.occasion is not None:
            steps += _signals(connection, subject.occasion)
            steps += _alerts(connection, subject.occasion)
    return steps


def _subjects(connection: Connection, asked: str) -> list[_Subject]:
    """Return the occasions behind an id, each order with both of its names once it is applied."""
    try:
        found = connection.execute(_BY_UUID, {"id": UUID(asked)}).mappings().all()
    except ValueError:
        found = connection.execute(_BY_NAME, {"id": asked}).mappings().all()
    subjects = []
    for each in found:
        order = connection.execute(_ORDER, dict(each)).mappings().one_or_none()
        subjects.append(
            _Subject(**order, occasion=f"order:{order['order_id']}") if order else _Subject(**each)
        )
    return list(dict.fromkeys(subjects))


def _events(connection: Connection, subject: _Subject) -> Iterator[Step]:
    """Every revision of the order that came in, and the task it caused."""
    rows = connection.execute(
        text(
            "SELECT id, entry_point, state, version, is_current, received_at, problem FROM event"
            " WHERE (is_current AND source = :source AND external_id = :external)"
            " OR (NOT is_current AND source = :source AND external_id = :external) ORDER BY received_at, version"
        ),
        {"source": subject.source, "external": subject.external_id},
    )
    for row in rows:
        current = ", current" if row.is_current else ""
        problem = f": {row.problem}" if row.problem else ""
        detail = f"{row.id} by {row.entry_point}, version {row.version}{current}, {row.state}{problem}"
        yield Step(0, "event", detail, row.received_at)
        yield from _tasks(connection, "score", str(row.id))


def _tasks(connection: Connection, kind: str, key: str) -> Iterator[Step]:
    rows = connection.execute(
        text(
            "SELECT state, attempts, run_at, finished_at, error FROM task"
            " WHERE kind = :kind AND (key = :key OR key LIKE :key || ':%' OR key LIKE :key || '@%') ORDER BY id"
        ),
        {"kind": kind, "key": key},
    )
    for row in rows:
        error = f", {row.error}" if row.error else ""
        due = "" if row.finished_at else f", due {row.run_at:%Y-%m-%d %H:%M:%SZ}"
        detail = f"{kind}: {row.state}, {row.attempts} tries{due}{error}"
        yield Step(1, "task", detail, row.finished_at)


def _facts(connection: Connection, order_id: int) -> Iterator[Step]:
    """The order as it was applied, whose it is, and why it was skipped, if so."""
    row = connection.execute(
        text(
            "SELECT sales_order.*, customer.name AS customer, (SELECT count(*) FROM order_line"
            "  WHERE order_id = sales_order.id AND ordered_at = sales_order.ordered_at) AS lines"
            " FROM sales_order LEFT JOIN customer ON customer.id = customer_id WHERE sales_order.id = :order"
        ),
        {"order": order_id},
    ).one_or_none()
    if row is None:
        return
    whose = row.customer or ("a guest" if row.customer_id is None else f"customer {row.customer_id}")
    detail = (
        f"order {row.source}/{row.external_id} (internal {row.id}), version {row.version}, {row.status} {row.kind}"
        f" of {whose}, {row.lines} lines, {row.net:.2f} {row.currency}, ordered {row.ordered_at:%Y-%m-%d %H:%MZ}"
    )
    yield Step(0, "facts", detail, row.applied_at)
    skipped = connection.execute(
        text("SELECT order_version, reason, skipped_at FROM skip_reason WHERE order_id = :order ORDER BY 1"),
        {"order": order_id},
    )
    for each in skipped:
        yield Step(1, "skipped", f"version {each.order_version}: {each.reason}", each.skipped_at)


def _signals(connection: Connection, occasion: str) -> Iterator[Step]:
    """Every signal found on the occasion, with its evidence and its decision."""
    rows = connection.execute(
        text(
            "SELECT signal.*, decision.verdict, decision.reason, decision.policy_version,"
            " decision.holdout_bucket AS bucket,"
            " decision.decided_at, decision.rank, episode.number AS episode FROM signal"
            " LEFT JOIN decision ON decision.signal_id = signal.id LEFT JOIN episode ON episode.id = episode_id"
            " WHERE signal.occasion = :occasion ORDER BY signal.id"
        ),
        {"occasion": occasion},
    )
    for row in rows:
        detail = (
            f"{row.public_id} {row.kind}: {row.headline}; at stake {row.stake:.2f},"
            f" chance if nobody acts {row.probability:.1%} ({row.basis}),"
            f" gain {row.value:.2f} ({row.low:.2f} to {row.high:.2f}); version {row.detector_version} of the kind,"
            f" model run {row.model_run_id or 'none'}"
        )
        yield Step(0, "signal", detail, row.found_at)
        for each in row.evidence:
            yield Step(2, "evidence", f"{each['label']}: {each['text']}")
        yield from _replayed(row._asdict())
        if row.withdrawn_at:
            yield Step(1, "withdrawn", row.withdrawn_reason or "", row.withdrawn_at)
        if row.verdict:
            rank = f", point {row.rank} of its message" if row.rank else ""
            verdict = f"{row.verdict}: {row.reason}{rank}; episode {row.episode}, bucket {row.bucket}"
            yield Step(1, "decision", f"{verdict}, policy {row.policy_version}", row.decided_at)
    yield from _tasks(connection, "decide", occasion)


def _replayed(stored: Mapping[str, Any]) -> Iterator[Step]:
    """Return the facts the signal was made from, and what its kind makes of them today."""
    try:
        kinds = discover(signals, "KIND", SignalKind)
    except ModuleNotFoundError as missing:
        yield Step(1, "replayed", f"not possible: this needs {missing.name}; pip install 'tipoff[worker]'")
        return
    kind = kinds.get(stored["kind"])
    for what, text_of in shown(kind, stored):
        yield Step(2, "fact", f"{what}: {text_of}")
    found = replayed(kind, stored)
    yield Step(1, "replayed", found.verdict)
    if kind is not None and found.differences and kind.version != stored["detector_version"]:
        yield Step(2, "kind", f"version {stored['detector_version']} then, version {kind.version} now")
    for name, (then, now) in found.differences.items():
        yield Step(2, "difference", f"{name.replace('_', ' ')}: {then} then, {now} now")


def _alerts(connection: Connection, occasion: str) -> Iterator[Step]:
    """What its recipient was shown of it, every delivery, and every try."""
    rows = connection.execute(
        text(
            'SELECT alert.*, "user".name AS recipient FROM alert JOIN "user" ON "user".id = recipient_id'
            " WHERE occasion = :occasion ORDER BY alert.id"
        ),
        {"occasion": occasion},
    ).all()
    for row in rows:
        owner = " (default owner)" if row.is_default_owner else ""
        group = f", group {row.group_key}" if row.group_key else ""
        detail = (
            f"{row.public_id} for {row.recipient}{owner}: {row.verdict}, {row.reason}; now {row.state}{group}"
        )
        yield Step(0, "alert", detail, row.created_at)
        if row.amended_at:
            yield Step(1, "amended", "the order changed after somebody was notified", row.amended_at)
        yield from _deliveries(connection, row.id)
        feedback = text("SELECT * FROM feedback WHERE alert_id = :alert ORDER BY id")
        for each in connection.execute(feedback, {"alert": row.id}):
            reason = f": {each.reason}" if each.reason else ""
            yield Step(1, "feedback", f"{each.action}{reason}, by {each.by}", each.at)


def _deliveries(connection: Connection, alert_id: int) -> Iterator[Step]:
    rows = connection.execute(
        text(
            f"SELECT delivery.*, {RECIPIENT} AS shown FROM delivery JOIN delivery_item ON delivery_id = delivery.id"  # noqa: S608
            " LEFT JOIN endpoint ON endpoint.id = delivery.endpoint_id"
            " WHERE alert_id = :alert ORDER BY notice, delivery.channel, delivery.recipient"
        ),
        {"alert": alert_id},
    ).all()
    for row in rows:
        reason = f" ({row.reason})" if row.reason else ""
        after = f", not before {row.send_after:%Y-%m-%d %H:%MZ}" if row.send_after else ""
        receipt = ", ".join(f"{name} {value}" for name, value in sorted((row.receipt or {}).items()))
        answer = f", answered: {receipt}" if receipt else ""
        detail = f"{row.id} {row.channel} to {row.shown}: {row.state}{reason}{after}{answer}"
        yield Step(1, "delivery", detail, row.created_at)
        tries = connection.execute(
            text("SELECT * FROM attempt WHERE delivery_id = :id ORDER BY n"), {"id": row.id}
        )
        for each in tries:
            outcome = each.outcome or "unknown: the process died in between"
            detail = f", {each.detail}" if each.detail else ""
            yield Step(2, "attempt", f"{each.n}: {outcome}{detail}", each.started_at)


@click.command("explain")
@click.argument("id_")
@click.pass_obj
def command(context: "Context", id_: str) -> None:
    """Print the whole way of an occasion, by the id of an order, event, signal, alert or delivery."""
    with context.database.transaction() as connection:
        steps = explain(connection, id_)
    if not steps:
        raise click.ClickException(
            f"nothing is known by {id_!r}\nhint: take the id from the inbox or an API answer"
        )
    for step in steps:
        when = f"{step.at:%Y-%m-%d %H:%M:%SZ}" if step.at else " " * 20
        click.echo(f"{when}  {'  ' * step.depth}{step.what}: {step.detail}")


commands = (command,)
