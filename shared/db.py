"""Connections and transactions: the one place where a commit happens."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString, cast

import psycopg
from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

DATABASE_ERRORS = (SQLAlchemyError, psycopg.Error)
"""All that talking to PostgreSQL may raise; psycopg's own come from COPY."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a statement, a lock and an idle transaction may take, in seconds. None: no limit."""

    statement: float | None
    lock: float | None
    idle: float | None = 10


REQUEST = Timeouts(statement=5, lock=3)
DRAIN = Timeouts(statement=30, lock=3)
UNHURRIED = Timeouts(statement=None, lock=30, idle=None)
"""Imports, fits and migrations: they show progress instead of a limit."""

# A server that vanished from the network is noticed within half a minute, however long a statement may take.
KEEPALIVE = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}

# Serialization, deadlock, lock timeout: somebody else was in the way, and the same again may well do.
CONTENDED_STATES = ("40001", "40P01", "55P03")

# PostgreSQL's classes of what no statement is to blame for: connection, resources, shutdown and start, read-only.
AWAY_STATES = ("08", "53", "57P", "25006")


class Database:
    """A pool of connections to PostgreSQL, opened when first used."""

    def __init__(self, url: str, timeouts: Timeouts, *, pool_size: int = 5, prepare: bool = True) -> None:
        self.url = url
        options = {
            "statement_timeout": timeouts.statement,
            "lock_timeout": timeouts.lock,
            "idle_in_transaction_session_timeout": timeouts.idle,
        }
        arguments: dict[str, object] = {
            "connect_timeout": 3,
            "application_name": "tipoff",
            "options": "-c timezone=UTC "
            + " ".join(
                f"-c {name}={int(seconds * 1000)}" for name, seconds in options.items() if seconds is not None
            ),
            **KEEPALIVE,
        }
        if not prepare:  # pgbouncer in transaction mode
            arguments["prepare_threshold"] = None
        # Errors are logged, and values are people's names and what they buy.
        common = {
            "pool_size": pool_size, "max_overflow": pool_size, "pool_timeout": 3, "hide_parameters": True,
        }  # fmt: skip
        self.engine: Engine = create_engine(url, connect_args=arguments, **common)
        # Connections for single statements, opened when first used: nothing to begin, to commit or to reset.
        self._singles: Engine = create_engine(
            url, connect_args=arguments, isolation_level="AUTOCOMMIT", pool_reset_on_return=None, **common
        )
        for engine in (self.engine, self._singles):
            event.listen(engine, "handle_error", self._forget_connections)
        self._own = threading.local()
        self._opened: list[psycopg.Connection] = []
        self._lock = threading.Lock()
        self.breaks = 0
        """How often connections were found broken: whoever saw another number before missed a crash."""

    def _forget_connections(self, failure: ExceptionContext) -> None:
        if failure.is_disconnect:
            self._forget_others(failure.engine)

    def _forget_others(self, known: Engine | None = None) -> None:
        """When one connection broke, the others went with the same server: nobody else need find out."""
        for engine in (self.engine, self._singles):
            if engine is not known:
                engine.dispose()
        with self._lock:
            self.breaks += 1

    @contextmanager
    def transaction(self, *, fresh_plans: bool = False) -> Iterator[Connection]:
        """Commit at the end of the block; roll back when it raises.

        `fresh_plans`: every statement is planned for its values, and for the tables as they are now. A prepared
        statement keeps a plan made when the tables were small, and would read them whole when they are not.
        """
        with self.engine.begin() as connection:
            if fresh_plans:
                connection.exec_driver_sql("SET LOCAL plan_cache_mode = force_custom_plan")
            yield connection

    @contextmanager
    def autocommit(self) -> Iterator[Connection]:
        """Each statement is its own transaction: one round trip where one statement is enough."""
        with self._singles.connect() as connection:
            yield connection

    def execute_prepared(self, statement: LiteralString, values: Sequence[object]) -> tuple[Any, ...] | None:
        """Run one statement as its own transaction and return its first row: for the path of every order.

        Each thread keeps a connection of its own: with one from the pool, such a request took a fifth more time.
        """
        connection = self._connection_of_thread()
        try:
            return connection.execute(statement, values, prepare=True).fetchone()
        except psycopg.Error:
            if connection.broken:
                self._forget_others()
            raise

    def _connection_of_thread(self) -> psycopg.Connection:
        breaks, held = getattr(self._own, "held", (None, None))
        if held is None or breaks != self.breaks:
            breaks = self.breaks
            pooled = self._singles.raw_connection()
            opened = cast("psycopg.Connection", pooled.driver_connection)
            pooled.detach()
            with self._lock:
                self._opened = [*(each for each in self._opened if each is not held), opened]
            if held is not None:
                held.close()
            self._own.held, held = (breaks, opened), opened
        return held

    def close(self) -> None:
        """Close every connection; no statement may be running."""
        self.engine.dispose()
        self._singles.dispose()
        with self._lock:
            self.breaks += 1
            while self._opened:
                self._opened.pop().close()


def is_away(error: BaseException) -> bool:
    """Is the database at fault and not the statement: unreachable, stopping, out of resources or read-only?"""
    if isinstance(error, PoolTimeoutError):
        return True
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or (error.orig is not None and is_away(error.orig))
    if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError | psycopg.InternalError):
        # What libpq itself says of a broken connection has no state and is a plain DatabaseError.
        return type(error) is psycopg.DatabaseError and error.sqlstate is None
    return error.sqlstate is None or error.sqlstate.startswith(AWAY_STATES)


def is_contended(error: BaseException) -> bool:
    """Did somebody else's lock stand in the way? It is nobody's fault, and says nothing about the work."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return isinstance(cause, psycopg.Error) and cause.sqlstate in CONTENDED_STATES
