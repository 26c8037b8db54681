"""Give tests of the task table what they ask it: how tasks stand, and leases that ran out."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import NamedTuple
from uuid import uuid4

from sqlalchemy import text

from shared import tasks
from shared.db import Database
from shared.tasks import Handler, Tally, Task

SECOND = timedelta(seconds=1)


class Standing(NamedTuple):
    """How one task stands."""

    state: str
    attempts: int


def a_handler(run: Callable[[Sequence[Task]], Tally] | None = None, **given: object) -> Handler:
    """A handler of kind "work" in batches of ten, with what matters overridden."""
    values: dict[str, object] = {"kind": "work", "batch": 10} | given
    return Handler(run=run or (lambda _: Tally()), **values)  # type: ignore[arg-type]


def put(database: Database, *keys: str, kind: str = "work") -> None:
    """Store tasks that are due now."""
    with database.transaction() as connection:
        tasks.put(connection, "test", kind, keys)


def claim(database: Database, handler: Handler | None = None) -> list[Task]:
    """Lease what is due."""
    with database.autocommit() as connection:
        return tasks.claim(connection, handler or a_handler(), uuid4())


def claim_expired(database: Database, handler: Handler | None = None) -> list[Task]:
    """Lease one task whose lease ran out."""
    with database.autocommit() as connection:
        return tasks.claim_expired(connection, handler or a_handler(), uuid4())


def complete(database: Database, batch: Sequence[Task]) -> None:
    """Finish tasks."""
    with database.transaction() as connection:
        tasks.complete(connection, batch)


def let_leases_run_out(database: Database) -> None:
    """As if every worker had died a lease ago."""
    with database.transaction() as connection:
        connection.execute(
            text("UPDATE task SET lease_until = now() - interval '1 ms' WHERE state = 'leased'")
        )


def let_delays_pass(database: Database) -> None:
    """As if every task that waits for another try had waited long enough."""
    with database.transaction() as connection:
        connection.execute(text("UPDATE task SET run_at = now() WHERE state = 'ready'"))


def standing(database: Database) -> dict[str, Standing]:
    """How every task stands, by key."""
    with database.transaction() as connection:
        rows = connection.execute(text("SELECT key, state, attempts FROM task ORDER BY id"))
        return {key: Standing(state, attempts) for key, state, attempts in rows}


def value(database: Database, question: str) -> object:
    """The first value of a query's first row."""
    with database.transaction() as connection:
        return connection.scalar(text(question))


def cut(database: Database) -> None:
    """End every connection of this database but the one that asks."""
    with database.engine.connect() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
