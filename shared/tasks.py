"""The task table: the queue. A task put in the transaction of a fact is done once, or ends visibly dead.

A batch is claimed with a lease and a fence token; the database's clock says when the lease expires. Results are stored
and tasks completed in one transaction, which fails when the lease was given to another worker. A task whose lease
expired is claimed alone: the others of its batch get their attempt back, so only a task that ends its worker again
and again is dead-lettered. RQ only wakes workers up (see shared.notify and docs/queue.md).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Connection,
    CursorResult,
    Interval,
    Update,
    any_,
    bindparam,
    func,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as UUID_TYPE

from shared.tables.task import task as task_table

Tally = Counter[tuple[str, ...]]
"""What a handler did, as (metric name, label values...) -> count; counted where the process lives on."""

Schedule = tuple[timedelta, ...]
"""Delay before the next try after the first, second, ... failure; the last delay repeats."""

PROMPTLY: Schedule = tuple(timedelta(seconds=seconds) for seconds in (1, 5, 30, 120, 600))


class LeaseLost(RuntimeError):
    """Another worker may hold these tasks now: whatever was done in this transaction must be rolled back."""


@dataclass(frozen=True, slots=True)
class Task:
    """One leased task. `token` is the fence: it changes when the task is claimed again."""

    id: int
    kind: str
    key: str
    attempts: int
    token: UUID
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Handler:
    """How tasks of one kind are done. `run` opens its own transactions and completes its tasks in the last one."""

    kind: str
    queue: str
    run: Callable[[Sequence[Task]], Tally]
    batch: int = 1
    lease: timedelta = timedelta(seconds=30)
    max_attempts: int = 5
    retry: Schedule = PROMPTLY
    hung_after: timedelta | None = timedelta(minutes=30)
    """A batch that runs longer counts as hung, and its lease is not renewed. None: renewed while the process lives."""

    is_slow: bool = False
    """Done beside the others, in a thread of its own: nobody waits for it."""

    def delay_after(self, attempts: int) -> timedelta:
        """Return how long to wait after that many failed attempts."""
        return self.retry[min(attempts, len(self.retry)) - 1]

    def isolation_delay(self, attempts: int) -> timedelta:
        """Return how long a task waits that may be why its connection broke: not at all the first time."""
        return self.delay_after(attempts - 1) if attempts > 1 else timedelta()


def put(
    connection: Connection, queue: str, kind: str, keys: Sequence[str], *, run_at: datetime | None = None
) -> None:
    """Store tasks in the caller's transaction; a (kind, key) that exists is left as it is.

    Keys go in sorted, so that two transactions with some keys in common do not deadlock.
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
    "WITH expired AS (SELECT id FROM task WHERE state = 'leased' AND kind = :kind AND lease_until < now()"
    " ORDER BY lease_until LIMIT 1 FOR UPDATE SKIP LOCKED)"
    " UPDATE task SET attempts = attempts + CASE WHEN lease_size > 1 THEN 0 ELSE 1 END, lease_token = :token,"
    " lease_until = now() + :lease, lease_size = 1"
    " FROM expired WHERE task.id = expired.id"
    " RETURNING task.id, task.kind, task.key, task.attempts, task.lease_token AS token, task.created_at"
)

_DEAD_LETTER_EXPIRED = text(
    "WITH expired AS (SELECT id FROM task WHERE state = 'leased' AND kind = :kind AND lease_until < now()"
    " AND lease_size = 1 AND attempts >= :max_attempts FOR UPDATE SKIP LOCKED)"
    " UPDATE task SET state = 'dead', lease_token = NULL, lease_until = NULL, finished_at = now(),"
    " error = 'ended its worker or its connection each of ' || attempts || ' times'"
    " FROM expired WHERE task.id = expired.id RETURNING task.key"
)


def claim(connection: Connection, handler: Handler, token: UUID) -> list[Task]:
    """Lease up to `handler.batch` due tasks under a new token, oldest first; empty when none is due."""
    values = {"kind": handler.kind, "token": token, "lease": handler.lease, "batch": handler.batch}
    rows = connection.execute(_CLAIM_DUE, values).mappings()
    return sorted((Task(**row) for row in rows), key=lambda task: task.id)


def claim_expired(connection: Connection, handler: Handler, token: UUID) -> list[Task]:
    """Lease one task whose lease expired, alone. Its attempt counts only when it was alone before."""
    values = {"kind": handler.kind, "token": token, "lease": handler.lease}
    return [Task(**row) for row in connection.execute(_CLAIM_EXPIRED, values).mappings()]


def dead_letter_expired(connection: Connection, handler: Handler) -> list[str]:
    """Dead-letter the tasks that ended their worker too often while alone. Returns their keys."""
    values = {"kind": handler.kind, "max_attempts": handler.max_attempts}
    return list(connection.scalars(_DEAD_LETTER_EXPIRED, values))


def _ours(**changes: object) -> Update:
    """Build the statement that changes tasks which still carry the token they were claimed with."""
    return (
        update(task_table)
        .where(
            task_table.c.id == any_(bindparam("ids", type_=ARRAY(BigInteger))),
            task_table.c.lease_token == any_(bindparam("tokens", type_=ARRAY(UUID_TYPE))),
        )
        .values(changes)
    )


_NO_LEASE = {"lease_token": None, "lease_until": None}
_AFTER_DELAY = {
    "state": "ready",
    "run_at": func.now() + bindparam("delay", type_=Interval),
    "error": bindparam("reason"),
}

_COMPLETE = _ours(state="done", finished_at=func.now(), error=None, **_NO_LEASE)
_RETRY = _ours(**_AFTER_DELAY, **_NO_LEASE)
_DEFER = _ours(**_AFTER_DELAY, **_NO_LEASE, attempts=task_table.c.attempts - 1)
_DEAD_LETTER = _ours(state="dead", finished_at=func.now(), error=bindparam("reason"), **_NO_LEASE)
_ASSERT_LEASE = _ours(lease_until=func.now() + bindparam("delay", type_=Interval))


def complete(connection: Connection, tasks: Sequence[Task]) -> None:
    """Mark tasks done in the transaction that stored their results. Raises LeaseLost unless all are still ours."""
    _change(connection, _COMPLETE, tasks)


def retry(connection: Connection, task: Task, delay: timedelta, error: str) -> None:
    """Make a failed task due again after `delay`; the attempt counts. Raises LeaseLost."""
    _change(connection, _RETRY, [task], delay=delay, reason=error)


def defer(connection: Connection, tasks: Sequence[Task], delay: timedelta, reason: str) -> None:
    """Make tasks due again after `delay`; no attempt counts. Raises LeaseLost."""
    _change(connection, _DEFER, tasks, delay=delay, reason=reason)


def dead_letter(connection: Connection, task: Task, error: str) -> None:
    """Give a task up, visibly. Raises LeaseLost."""
    _change(connection, _DEAD_LETTER, [task], reason=error)


def assert_lease(connection: Connection, tasks: Sequence[Task], lease: timedelta) -> None:
    """Lease tasks for that long from now; raises LeaseLost when they are no longer ours."""
    _change(connection, _ASSERT_LEASE, tasks, delay=lease)


def _change(connection: Connection, statement: Update, tasks: Sequence[Task], **values: object) -> None:
    result = connection.execute(statement, {**_held(tasks), **values})
    if result.rowcount != len(tasks):
        raise LeaseLost(f"{len(tasks)} {tasks[0].kind} tasks were leased by another worker meanwhile")


def _held(tasks: Sequence[Task]) -> dict[str, object]:
    return {"ids": [task.id for task in tasks], "tokens": list({task.token for task in tasks})}


# The three below change only rows that nobody has locked: a transaction may just be completing them, and PostgreSQL may
# take a while to notice that the client of a transaction is gone.


def renew_lease(connection: Connection, tasks: Sequence[Task], lease: timedelta) -> None:
    """Lease tasks for that long from now, as far as they are still ours."""
    connection.execute(
        text(
            "UPDATE task SET lease_until = now() + :lease WHERE id IN (SELECT id FROM task"
            " WHERE id = ANY(CAST(:ids AS bigint[])) AND lease_token = ANY(:tokens) ORDER BY id FOR UPDATE SKIP LOCKED)"
        ),
        {**_held(tasks), "lease": lease},
    )


def release(connection: Connection, tokens: Sequence[UUID]) -> None:
    """Make what is still leased under these tokens due again; no attempt counts."""
    connection.execute(
        text(
            "UPDATE task SET state = 'ready', attempts = attempts - 1, lease_token = NULL, lease_until = NULL"
            " WHERE id IN (SELECT id FROM task WHERE state = 'leased' AND lease_token = ANY(:tokens)"
            " ORDER BY id FOR UPDATE SKIP LOCKED)"
        ),
        {"tokens": list(tokens)},
    )


def isolate(connection: Connection, token: UUID, delay: timedelta) -> None:
    """Let a lease expire after `delay`: a task is claimed alone then, for it may be what breaks its connection.

    It gets another token, so that nobody renews its lease.
    """
    connection.execute(
        text(
            "UPDATE task SET lease_until = now() + :delay, lease_token = gen_random_uuid()"
            " WHERE id IN (SELECT id FROM task WHERE state = 'leased' AND lease_token = :token"
            " ORDER BY id FOR UPDATE SKIP LOCKED)"
        ),
        {"token": token, "delay": delay},
    )


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
    """Is there a task of these kinds due that long ago, or one whose lease expired?"""
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
