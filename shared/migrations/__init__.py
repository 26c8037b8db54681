"""The way from an empty database to today's tables. Inside the package, so that every installation has it."""

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from shared.db import UNHURRIED, Database

_HERE = Path(__file__).parent

REVISIONS_AHEAD = 1
"""How many revisions the database may be ahead of a program that still serves, so that one release can replace another
while both run: a migration only adds what the release before it can leave alone; a later one removes."""


class NewerDatabaseError(Exception):
    """Another version migrated the database further than this program can work with; the message says what to do."""


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_HERE).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


@cache
def head() -> str:
    """The newest revision this code knows."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None  # noqa: S101 - 0001 is always there
    return revision


def revision_of(connection: Connection) -> str | None:
    """The revision a database stands at, None when it is empty."""
    return MigrationContext.configure(connection).get_current_revision()


def fault_of(found: str | None) -> str | None:
    """Why this program cannot work with a database at this revision, or None. Revisions count upwards: 0001, 0002."""
    known = head()
    if found is None or int(found) < int(known):
        stands = "has no tables" if found is None else f"stands at {found}"
        return f"the database {stands} and this program needs {known}: run `tipoff migrate`"
    newest = int(known) + REVISIONS_AHEAD
    if int(found) > newest:
        return (
            f"the database is newer than this program: it stands at {found}, and this program works with {known} to"
            f" {newest:04}; start the version that migrated it"
        )
    return None


def fault(database: Database) -> str | None:
    """Why this program cannot work with this database, or None. Raises what connecting raises."""
    with database.transaction() as connection:
        return fault_of(revision_of(connection))


def upgrade(url: str, revision: str = "head") -> str | None:
    """Bring a database to a revision and return where it stands; waits for another process that does the same.

    A database that the next release migrated is left as it is. Raises NewerDatabaseError for one further ahead.
    """
    database = Database(url, UNHURRIED)
    try:
        with database.transaction() as connection:
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('tipoff migrations'))")
            found = revision_of(connection)
            if found is not None and int(found) > int(head()):
                if why := fault_of(found):
                    raise NewerDatabaseError(why)
                return found
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
            return revision_of(connection)
    finally:
        database.close()
