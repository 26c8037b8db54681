"""The task table: the queue. A task put in the transaction of a fact is done once, or ends visibly dead.

A batch is claimed with a lease and a fence token; the database's clock says when the lease expires. Results are stored
and tasks completed in one transaction, which fails when the lease was given to another worker. A task whose lease
expired is claimed alone: the others of its batch get their attempt back, so only a task that ends its worker again
and again is dead-lettered. RQ only wakes workers up (see shared.notify and docs/queue.md).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

from sqlalchemy import Connection, CursorResult, TextClause, text

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


@dataclass(frozen=True, slots=True)
class Handler:
    """How tasks of one kind are done. `run` opens its own transactions and completes its tasks in the last one."""

    kind: str
    run: Callable[[Sequence[Task]], Tally]
    batch: int = 1
    lease: timedelta = timedelta(seconds=30)
    max_attempts: int = 5
    retry: Schedule = PROMPTLY
    hung_after: timedelta | None = timedelta(minutes=30)
    """A batch that runs longer counts as hung, and its lease is not renewed. None: renewed while the process lives."""

    also_leased: Callable[[], Iterable[UUID]] = tuple
    """Tokens of batches that are over but for some tasks, which are still done beside the next: renewed as well."""

    is_slow: bool = False
    """Done beside the others, in a thread of its own: nobody waits for it."""


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


def put_again(connection: Connection, queue: str, kind: str, keys: Sequence[str]) -> None:
    """Make tasks due now as if they had never been tried, done, dead or deleted ones too; not those a worker holds."""
    connection.execute(
        text(
            "INSERT INTO task (queue, kind, key) SELECT :queue, :kind, key FROM unnest(CAST(:keys AS text[])) key"
            " ON CONFLICT (kind, key) DO UPDATE SET state = 'ready', run_at = now(), attempts = 0, error = NULL,"
            " finished_at = NULL WHERE task.state <> 'leased'"
        ),
        {"queue": queue, "kind": kind, "keys": sorted(keys)},
    )


_CLAIM_DUE = text(
    "WITH due AS (SELECT id FROM task WHERE state = 'ready' AND kind = :kind AND run_at <= now()"
    " ORDER BY run_at, id LIMIT :batch FOR UPDATE SKIP LOCKED)"
    " UPDATE task SET state = 'leased', attempts = attempts + 1, lease_token = :token,"
    " lease_until = now() + :lease, lease_size = (SELECT count(*) FROM due)"
    " FROM due WHERE task.id = due.id"
    " RETURNING task.id, task.kind, task.key, task.attempts, task.lease_token AS token"
)

_CLAIM_EXPIRED = text(
    "WITH expired AS (SELECT id FROM task WHERE state = 'leased' AND kind = :kind AND lease_until < now()"
    " ORDER BY lease_until LIMIT 1 FOR UPDATE SKIP LOCKED)"
    " UPDATE task SET attempts = attempts + CASE WHEN lease_size > 1 THEN 0 ELSE 1 END, lease_token = :token,"
    " lease_until = now() + :lease, lease_size = 1"
    " FROM expired WHERE task.id = expired.id"
    " RETURNING task.id, task.kind, task.key, task.attempts, task.lease_token AS token"
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


def _update(changes: str, where: str) -> TextClause:
    return text(f"UPDATE task SET {changes} WHERE {where}")  # noqa: S608 - put together here, of constants alone


_NO_LEASE = "lease_token = NULL, lease_until = NULL"
_LEASE = "lease_until = now() + CAST(:lease AS interval)"
_READY = f"{_NO_LEASE}, state = 'ready', run_at = now() + CAST(:delay AS interval), error = :reason"

# Tasks that still carry the token they were claimed with.
_OURS = "id = ANY(CAST(:ids AS bigint[])) AND lease_token = ANY(CAST(:tokens AS uuid[]))"
_COMPLETE = _update(f"{_NO_LEASE}, state = 'done', finished_at = now(), error = NULL", _OURS)
_RETRY = _update(_READY, _OURS)
_DEFER = _update(f"{_READY}, attempts = attempts - 1", _OURS)
_DEAD_LETTER = _update(
    f"{_NO_LEASE}, state = 'dead', finished_at = now(), error = :reason, attempts = :attempts", _OURS
)
_ASSERT_LEASE = _update(_LEASE, _OURS)

# The same, but what nobody has locked: a transaction may just be completing it, and PostgreSQL may take a while to
# notice that the client of a transaction is gone.
_UNLOCKED = (
    "id IN (SELECT id FROM task WHERE state = 'leased' AND lease_token = ANY(CAST(:tokens AS uuid[]))"
    " ORDER BY id FOR UPDATE SKIP LOCKED)"
)
_RENEW = _update(_LEASE, _UNLOCKED)
_RELEASE = _update(f"{_NO_LEASE}, state = 'ready', attempts = attempts - 1", _UNLOCKED)
_RECOVER = _update(
    f"{_NO_LEASE}, state = 'ready', attempts = CASE WHEN lease_size > 1 THEN attempts - 1 ELSE attempts END,"
    " run_at = CASE WHEN lease_size > 1 THEN run_at ELSE now() + attempts * attempts * interval '1 s' END",
    _UNLOCKED,
)


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
    _change(connection, _DEAD_LETTER, [task], reason=error, attempts=task.attempts)


def assert_lease(connection: Connection, tasks: Sequence[Task], lease: timedelta) -> None:
    """Lease tasks for that long from now; raises LeaseLost when they are no longer ours."""
    _change(connection, _ASSERT_LEASE, tasks, lease=lease)


def _change(connection: Connection, statement: TextClause, tasks: Sequence[Task], **values: object) -> None:
    ids, tokens = [task.id for task in tasks], list({task.token for task in tasks})
    result = connection.execute(statement, {"ids": ids, "tokens": tokens, **values})
    if result.rowcount != len(tasks):
        raise LeaseLost(f"{len(tasks)} {tasks[0].kind} tasks were leased by another worker meanwhile")


def renew_lease(connection: Connection, token: UUID, lease: timedelta) -> None:
    """Lease for that long from now what is still leased under this token."""
    connection.execute(_RENEW, {"tokens": [token], "lease": lease})


def release(connection: Connection, tokens: Sequence[UUID]) -> None:
    """Make what is still leased under these tokens due again; no attempt counts."""
    connection.execute(_RELEASE, {"tokens": list(tokens)})


def recover(connection: Connection, tokens: Sequence[UUID]) -> None:
    """Make due again what a broken connection left leased under these tokens.

    A task that was alone may be what broke it: its attempt counts, and it waits longer each time.
    """
    connection.execute(_RECOVER, {"tokens": list(tokens)})


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
