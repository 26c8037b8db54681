"""The task table: the queue of record. What is put in a fact's transaction is done once, or visibly dead.

A batch is claimed with a lease and a fence token by the database's clock. Whoever finishes must still hold the
lease. A task whose lease ran out is claimed alone: its neighbours get their attempt back, so only the task that
kills its worker dies. RQ is the doorbell (see shared.notify), never the queue.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

from sqlalchemy import Connection, CursorResult, text

Tally = Counter[tuple[str, ...]]
"""What a handler did, as (metric name, label values...) -> count; counted where the process lives on."""

Schedule = tuple[timedelta, ...]
"""Delay before the next try after the first, second, ... failure; the last delay repeats."""

PROMPTLY: Schedule = tuple(timedelta(seconds=seconds) for seconds in (1, 5, 30, 120, 600))


class LeaseLost(RuntimeError):
    """Another worker may hold these tasks now: whatever was done in this transaction must be rolled back."""


@dataclass(frozen=True, slots=True)
class Task:
    """One leased task. `token` is the fence: valid until the lease is given to somebody else."""

    id: int
    kind: str
    key: str
    attempts: int
    token: UUID
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Handler:
    """How tasks of one kind are done. `run` opens its own transactions and finishes its tasks in the last one."""

    kind: str
    queue: str
    run: Callable[[Sequence[Task]], Tally]
    batch: int = 1
    lease: timedelta = timedelta(seconds=30)
    max_attempts: int = 5
    retry: Schedule = PROMPTLY
    longest: timedelta = timedelta(minutes=30)
    """How long the lease is kept up for a batch that still runs; after that it counts as hung."""

    def isolation_delay(self, attempts: int) -> timedelta:
        """How long to wait with a task that may be why its connection broke: the first time is an accident."""
        return self.delay_after(attempts - 1) if attempts > 1 else timedelta()

    def delay_after(self, attempts: int) -> timedelta:
        """How long to wait after that many failed attempts."""
        return self.retry[min(attempts, len(self.retry)) - 1]


def put(
    connection: Connection, queue: str, kind: str, keys: Sequence[str], *, run_at: datetime | None = None
) -> None:
    """Store tasks in the caller's transaction; a (kind, key) that exists is left as it is.

    Keys go in sorted, so that two transactions with some keys in common wait for each other, never in a circle.
    """
    connection.execute(
        text(
            "INSERT INTO task (queue, kind, key, run_at)"
            " SELECT :queue, :kind, key, coalesce(CAST(:run_at AS timestamptz), now())"
            " FROM unnest(CAST(:keys AS text[])) key ON CONFLICT (kind, key) DO NOTHING"
        ),
        {"queue": queue, "kind": kind, "keys": sorted(keys), "run_at": run_at},
    )


_CLAIM_DUE = text(
    "WITH due AS (SELECT id FROM task WHERE state = 'ready' AND kind = :kind AND run_at <= now()"
    " ORDER BY run_at, id LIMIT :batch FOR UPDATE SKIP LOCKED)"
    " UPDATE task SET state = 'leased', attempts = attempts + 1, lease_token = :token,"
    " lease_until = now() + :lease, lease_size = (SELECT count(*) FROM due)"
    " FROM due WHERE task.id = due.id"
    " RETURNING task.id, task.kind, task.key, task.attempts, task.lease_token AS token, task.created_at"
)

_CLAIM_EXPIRED = text(
    "WITH lost AS (SELECT id FROM task WHERE state = 'leased' AND kind = :kind AND lease_until < now()"
    " ORDER BY lease_until LIMIT 1 FOR UPDATE SKIP LOCKED)"
    " UPDATE task SET attempts = attempts + CASE WHEN lease_size > 1 THEN 0 ELSE 1 END, lease_token = :token,"
    " lease_until = now() + :lease, lease_size = 1"
    " FROM lost WHERE task.id = lost.id"
    " RETURNING task.id, task.kind, task.key, task.attempts, task.lease_token AS token, task.created_at"
)

_DEAD_LETTER_EXPIRED = text(
    "WITH lost AS (SELECT id FROM task WHERE state = 'leased' AND kind = :kind AND lease_until < now()"
    " AND lease_size = 1 AND attempts >= :max_attempts FOR UPDATE SKIP LOCKED)"
    " UPDATE task SET state = 'dead', lease_token = NULL, lease_until = NULL, finished_at = now(),"
    " error = 'ended its worker or its connection each of ' || attempts || ' times'"
    " FROM lost WHERE task.id = lost.id RETURNING task.key"
)


def claim(connection: Connection, handler: Handler, token: UUID) -> list[Task]:
    """Lease up to `handler.batch` due tasks under a new token, oldest first; empty when none is due."""
    return _claim(connection, _CLAIM_DUE, handler, token)


def claim_expired(connection: Connection, handler: Handler, token: UUID) -> list[Task]:
    """Lease one task whose lease ran out, alone. Its attempt counts only when it was alone before."""
    return _claim(connection, _CLAIM_EXPIRED, handler, token)


def dead_letter_expired(connection: Connection, handler: Handler) -> list[str]:
    """Give up the tasks that ended their worker too often while alone. Returns their keys."""
    arguments = {"kind": handler.kind, "max_attempts": handler.max_attempts}
    return list(connection.scalars(_DEAD_LETTER_EXPIRED, arguments))


def _claim(connection: Connection, statement: object, handler: Handler, token: UUID) -> list[Task]:
    arguments = {"kind": handler.kind, "batch": handler.batch, "token": token, "lease": handler.lease}
    rows = connection.execute(statement, arguments)  # type: ignore[call-overload]
    return sorted((Task(**row) for row in rows.mappings()), key=lambda task: task.id)


def complete(connection: Connection, tasks: Sequence[Task]) -> None:
    """Mark tasks done in the transaction that stored their results. Raises LeaseLost unless all are still ours."""
    _fenced(connection, tasks, f"state = 'done', finished_at = now(), error = NULL, {_NO_LEASE}")


def retry(connection: Connection, task: Task, delay: timedelta, error: str) -> None:
    """Make a failed task due again after `delay`; the attempt counts. Raises LeaseLost."""
    change = f"state = 'ready', run_at = now() + :delay, error = :error, {_NO_LEASE}"
    _fenced(connection, [task], change, delay=delay, error=error)


def defer(connection: Connection, tasks: Sequence[Task], delay: timedelta, reason: str) -> None:
    """Make tasks due again after `delay`; no attempt counts. Raises LeaseLost."""
    change = f"{_UNSPENT}, run_at = now() + :delay, error = :reason"
    _fenced(connection, tasks, change, delay=delay, reason=reason)


def dead_letter(connection: Connection, task: Task, error: str) -> None:
    """Give a task up, visibly."""
    _fenced(
        connection, [task], f"state = 'dead', finished_at = now(), error = :error, {_NO_LEASE}", error=error
    )


def release(connection: Connection, tasks: Sequence[Task]) -> None:
    """Give tasks back at once, unspent, as far as they are still ours: the database was away, not their fault."""
    connection.execute(text(f"UPDATE task SET {_UNSPENT} WHERE id IN ({_FREE})"), _held(tasks))  # noqa: S608


def isolate(connection: Connection, tasks: Sequence[Task], delay: timedelta) -> None:
    """Let the leases run out after `delay`, as far as they are still ours: each task is claimed alone next.

    They may themselves be why the connection broke. Under a new token: nobody renews them by mistake.
    """
    connection.execute(
        text(
            "UPDATE task SET lease_until = now() + :delay, lease_token = gen_random_uuid()"  # noqa: S608
            f" WHERE id IN ({_FREE})"
        ),
        {**_held(tasks), "delay": delay},
    )


def release_tokens(connection: Connection, tokens: Sequence[UUID]) -> int:
    """Give back, unspent, what is leased under these tokens though its holder is through with it. Returns how many.

    A crash of the database took back that it was done, or that it was claimed was never heard.
    """
    result = connection.execute(
        text(
            f"UPDATE task SET {_UNSPENT} WHERE id IN (SELECT id FROM task WHERE state = 'leased'"  # noqa: S608
            " AND lease_token = ANY(:tokens) ORDER BY id FOR UPDATE SKIP LOCKED)"
        ),
        {"tokens": list(tokens)},
    )
    return cast("CursorResult[object]", result).rowcount


def renew_lease(connection: Connection, tasks: Sequence[Task], lease: timedelta) -> None:
    """Hold tasks for that long from now, as far as they are still ours and nobody is just finishing them."""
    connection.execute(
        text(
            f"UPDATE task SET lease_until = now() + :lease WHERE id IN ({_FREE})"  # noqa: S608
        ),
        {**_held(tasks), "lease": lease},
    )


def assert_lease(connection: Connection, tasks: Sequence[Task], lease: timedelta) -> None:
    """Hold tasks for that long from now; raises LeaseLost when they are no longer ours."""
    _fenced(connection, tasks, "lease_until = now() + :lease", lease=lease)


_HELD = "unnest(CAST(:ids AS bigint[]), CAST(:tokens AS uuid[])) AS held (id, token)"
_STILL_OURS = "task.id = held.id AND task.lease_token = held.token"
_FREE = (
    f"SELECT task.id FROM task JOIN {_HELD} ON {_STILL_OURS} ORDER BY task.id FOR UPDATE OF task SKIP LOCKED"  # noqa: S608
)
"""Tasks that are still ours and that nobody is just finishing: a broken connection may hold on to one for a while."""

_NO_LEASE = "lease_token = NULL, lease_until = NULL"
_UNSPENT = f"state = 'ready', attempts = attempts - 1, {_NO_LEASE}"


def _held(tasks: Sequence[Task]) -> dict[str, object]:
    return {"ids": [task.id for task in tasks], "tokens": [task.token for task in tasks]}


def _fenced(connection: Connection, tasks: Sequence[Task], change: str, **arguments: object) -> None:
    """Apply a change only while every task still carries the token it was claimed with."""
    result = connection.execute(
        text(f"UPDATE task SET {change} FROM {_HELD} WHERE {_STILL_OURS}"),  # noqa: S608
        {**_held(tasks), **arguments},
    )
    if cast("CursorResult[object]", result).rowcount != len(tasks):
        raise LeaseLost(f"{len(tasks)} {tasks[0].kind} tasks were leased by another worker meanwhile")


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits in one queue for one kind: counts, and the age in seconds of the oldest due task."""

    queue: str
    kind: str
    due: int
    waiting: int
    leased: int
    dead: int
    oldest_due_seconds: float


def backlog(connection: Connection) -> list[Backlog]:
    """Read the state of every queue; uses the partial indexes only, never the done tasks."""
    rows = connection.execute(
        text(
            "SELECT queue, kind, count(*) FILTER (WHERE state = 'ready' AND run_at <= now()) AS due,"
            " count(*) FILTER (WHERE state = 'ready' AND run_at > now()) AS waiting,"
            " count(*) FILTER (WHERE state = 'leased') AS leased, count(*) FILTER (WHERE state = 'dead') AS dead,"
            " coalesce(extract(epoch FROM now() - min(run_at) FILTER (WHERE state = 'ready' AND run_at <= now())), 0)"
            "::float8 AS oldest_due_seconds"
            " FROM task WHERE state IN ('ready', 'leased', 'dead') GROUP BY queue, kind ORDER BY queue, kind"
        )
    )
    return [Backlog(**row) for row in rows.mappings()]


def overdue(connection: Connection, kinds: Sequence[str], by: timedelta) -> bool:
    """Is there a task of these kinds due that long ago, or one whose lease ran out?"""
    return bool(
        connection.scalar(
            text(
                "SELECT EXISTS (SELECT FROM task WHERE kind = ANY(:kinds) AND state = 'ready'"
                " AND run_at <= now() - :by) OR EXISTS (SELECT FROM task WHERE kind = ANY(:kinds)"
                " AND state = 'leased' AND lease_until < now())"
            ),
            {"kinds": list(kinds), "by": by},
        )
    )


def prune(connection: Connection, older_than: timedelta, at_most: int = 10_000) -> int:
    """Delete tasks done that long ago, the oldest first. Returns how many."""
    result = connection.execute(
        text(
            "DELETE FROM task WHERE id IN (SELECT id FROM task WHERE state = 'done' AND finished_at < now() - :age"
            " ORDER BY finished_at LIMIT :at_most FOR UPDATE SKIP LOCKED)"
        ),
        {"age": older_than, "at_most": at_most},
    )
    return cast("CursorResult[object]", result).rowcount
