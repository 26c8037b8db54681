"""The way from an empty database to today's tables. Inside the package, so that every installation has it."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from shared.db import UNHURRIED, Database

_HERE = Path(__file__).parent


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_HERE).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def head() -> str:
    """The newest revision this code knows."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None  # noqa: S101 - 0001 is always there
    return revision


def revision_of(connection: Connection) -> str | None:
    """The revision a database stands at, None when it is empty."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(url: str, revision: str = "head") -> None:
    """Bring a database to a revision; waits for another process that does the same."""
    database = Database(url, UNHURRIED)
    try:
        with database.transaction() as connection:
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('tipoff migrations'))")
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
    finally:
        database.close()
