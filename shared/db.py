"""Connections and transactions: the one place where a commit happens."""

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import LiteralString, cast

import psycopg
from psycopg.pq import DiagnosticField, ExecStatus, Format
from psycopg.pq.abc import PGresult
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

_PARAMETER = re.compile("%[sb]")


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
        self._prepares = prepare
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

    def execute_prepared(
        self, statement: LiteralString, values: Sequence[str | int | bytes | None]
    ) -> tuple[str | None, ...] | None:
        """Run one statement as its own transaction and return its first row, as text: for the path of every order.

        Each thread keeps a connection of its own: with one from a pool, such a request took a fifth more time. libpq is
        called without psycopg's cursor, which alone takes 50 us. `%s` takes text and numbers, `%b` bytes.
        """
        connection = self._connection_of_thread()
        numbered, formats = _numbered(statement)
        parameters = [_as_sent(value) for value in values]
        if self._prepares:
            prepared = self._own.prepared
            if statement not in prepared:
                name = b"tipoff_%d" % len(prepared)
                self._check(connection, connection.pgconn.prepare(name, numbered))
                prepared[statement] = name
            name = prepared[statement]
            result = connection.pgconn.exec_prepared(name, parameters, formats)  # type: ignore[arg-type] # None is NULL
        else:
            result = connection.pgconn.exec_params(numbered, parameters, param_formats=formats)
        self._check(connection, result)
        if not result.ntuples:
            return None
        row = [result.get_value(0, column) for column in range(result.nfields)]
        return tuple(None if value is None else value.decode() for value in row)

    def _check(self, connection: psycopg.Connection, result: PGresult) -> None:
        """Raise what psycopg would raise of this result."""
        if result.status in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
            return
        if connection.broken:
            self._forget_others()
            if result.error_field(DiagnosticField.SQLSTATE) is None:
                raise psycopg.OperationalError(result.get_error_message())
        raise psycopg.errors.error_from_result(result)

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
            self._own.prepared = {}
        return held

    def close(self) -> None:
        """Close every connection; no statement may be running."""
        self.engine.dispose()
        self._singles.dispose()
        with self._lock:
            self.breaks += 1
            while self._opened:
                self._opened.pop().close()


@cache
def _numbered(statement: str) -> tuple[bytes, list[Format]]:
    """Return a statement with its parameters numbered, as libpq wants it, and which of them are bytes."""
    kinds = _PARAMETER.findall(statement)
    numbers = count(1)
    numbered = _PARAMETER.sub(lambda _: f"${next(numbers)}", statement)
    return numbered.encode(), [Format.BINARY if kind == "%b" else Format.TEXT for kind in kinds]


def _as_sent(value: str | int | bytes | None) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    sent = str(value).encode()
    if b"\0" in sent:  # libpq would take it for the end of the text
        raise psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
    return sent


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
