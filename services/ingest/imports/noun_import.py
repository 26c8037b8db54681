"""This file imports a noun: read and check the file, stage its rows, refuse what refers to nothing, take the rest in.

All in one transaction, set-based. A dry run does the same and takes everything back.
"""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, text

from services.ingest.imports.copy_text import copy_rows, field
from services.ingest.imports.noun_rows import POSTGRES_TYPES, bad_rows, create_checked, good_rows
from services.ingest.imports.nouns import IDS, Noun
from services.ingest.imports.rejects import Rejects
from services.ingest.imports.runs import begin_run, finish_run
from services.ingest.imports.table import FileTable, identifier, open_table
from shared.db import Database

# Where a reference must be found.
_EXISTS = {
    "customers": "SELECT FROM customer_ref WHERE source = :source AND external_id = {}",
    "products": "SELECT FROM product_ref WHERE source = :source AND external_id = {}",
    "territories": "SELECT FROM territory WHERE external_id = {}",
    "reps": "SELECT FROM rep WHERE external_id = {}",
}
# Whoever makes customers or products takes it: nobody is made twice.
_LOCK = text("SELECT pg_advisory_xact_lock(hashtext('new customers and products'))")


@dataclass(frozen=True, slots=True)
class NounWish:
    """What to import."""

    noun: Noun
    file: Path
    source: str
    base_currency: str
    rejects: Path
    is_dry_run: bool


@dataclass(frozen=True, slots=True)
class NounReport:
    """What came of it."""

    run_id: int | None
    rows: int
    stored: int
    rejected: int
    ignored_columns: tuple[str, ...]


def import_noun(database: Database, wish: NounWish) -> NounReport:
    """Import a file of a noun. Safe to run again: rows of the same key are brought up to date."""
    with open_table(wish.file) as table:
        ignored = create_checked(table, wish.noun, wish.base_currency)
        rows = table.connection.execute("SELECT count(*) FROM file").fetchall()[0][0]
        rejects = Rejects(table)
        rejects.add_query(bad_rows())
        run_id = None
        with database.engine.connect() as connection:
            run_id = begin_run(connection, wish.noun.name, wish.source, wish.file)
            _take_in(connection, table, wish, rejects)
            counts = {"rows": rows, "stored": rows - rejects.count, "rejected": rejects.count}
            finish_run(connection, run_id, counts, refresh=wish.noun.changes_derived)
            if wish.is_dry_run:
                connection.rollback()
                run_id = None
            else:
                connection.commit()
        if rejects.count:
            rejects.write(wish.rejects)
    return NounReport(run_id, rows, rows - rejects.count, rejects.count, tuple(ignored))


def _take_in(connection: Connection, table: FileTable, wish: NounWish, rejects: Rejects) -> None:
    """Stage, refuse, write."""
    columns = ", ".join(
        f"{identifier(each.name)} {POSTGRES_TYPES.get(each.kind, 'text')}" for each in wish.noun.columns
    )
    connection.execute(text(f"CREATE TEMPORARY TABLE staged (row_no bigint, {columns}) ON COMMIT DROP"))
    reader = table.stream(good_rows(wish.noun))
    for batch in reader:
        rows = zip(*(column.to_pylist() for column in batch.columns), strict=True)
        lines = [f"{row_no}\t" + "\t".join(map(field, values)) + "\n" for row_no, *values in rows]
        copy_rows(connection, "staged", lines)
    connection.execute(text("ANALYZE staged"))
    connection.execute(_LOCK)  # as late as can be: scoring waits for it when it meets a new name
    _refuse_dangling(connection, wish, rejects)
    for statement in wish.noun.write:
        connection.execute(text(statement), _arguments(statement, wish))


def _arguments(statement: str, wish: NounWish) -> dict[str, str]:
    values = {"source": wish.source, "base_currency": wish.base_currency}
    return {name: value for name, value in values.items() if f":{name}" in statement}


def _refuse_dangling(connection: Connection, wish: NounWish, rejects: Rejects) -> None:
    """Refuse rows that refer to what is neither known nor in the file, and then those that referred to them."""
    references = [each for each in wish.noun.columns if each.refers_to]
    while True:
        refused = 0
        for each in references:
            own = each.refers_to == wish.noun.name
            statement = _dangling(each.name, each.refers_to or "", is_list=each.kind == IDS, own=own)
            gone = connection.execute(text(statement), _arguments(statement, wish)).all()
            refused += len(gone)
            for row_no, name in gone:
                rejects.add([row_no], f"{each.name} “{name}” is not known")
        if not refused:
            return


def _dangling(column: str, noun: str, *, is_list: bool, own: bool) -> str:
    """Return the SQL that takes such rows out of `staged` and returns row_no and the unknown name."""
    names = f"unnest(string_to_array({column}, ';'))" if is_list else f"(SELECT {column})"
    known = f"EXISTS ({_EXISTS[noun].format('trim(wanted.name)')})"
    if own:
        known += " OR EXISTS (SELECT FROM staged AS other WHERE other.id = trim(wanted.name))"
    return (
        "WITH dangling AS (SELECT DISTINCT ON (row_no) row_no, wanted.name FROM staged"  # noqa: S608 - our columns
        f" CROSS JOIN LATERAL {names} AS wanted (name) WHERE wanted.name IS NOT NULL AND NOT ({known}))"
        " DELETE FROM staged USING dangling WHERE staged.row_no = dangling.row_no"
        " RETURNING dangling.row_no, dangling.name"
    )
