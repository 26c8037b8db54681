"""Imports of master data: check each row in SQL, stage the good ones, reject what refers to nothing known.

All in one transaction, set-based. A dry run does the same and rolls back.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import available_timezones

from sqlalchemy import Connection, text

from services.ingest.imports.columns import MapFault
from services.ingest.imports.entities import (
    AMOUNT,
    DAY,
    EXCHANGE_RATE,
    FLAG,
    ID,
    IDS,
    MOMENT,
    POSTGRES_TYPES,
    SHARE,
    Column,
    Entity,
)
from services.ingest.imports.rows import copy_rows, copy_text
from services.ingest.imports.runs import begin_run, finish_run
from services.ingest.imports.table import FileTable, Rejects, identifier, open_table, quoted
from shared.db import Database
from shared.identities import lock_new_names

# With the decimals of the tables: what rounds to 0 there is 0 here. No currency is worth ten million of another.
_NUMBERS = {AMOUNT: "DECIMAL(18, 4)", EXCHANGE_RATE: "DECIMAL(15, 8)", SHARE: "DECIMAL(6, 4)"}
_PLAIN_NUMBER = r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?"
_TIME = r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,9})?)?(Z|[+-](0\d|1[0-4])(:?[0-5]\d)?)?"
_MOMENT = rf"\d{{4}}-\d{{2}}-\d{{2}}([T ]{_TIME})?"
LONGEST_ID = 200
LONGEST_TEXT = 4000
_ATOM = r'[^\pC\pZ@<>()\[\]\\,;:".]+'
_MAIL = rf"{_ATOM}(\.{_ATOM})*@{_ATOM}(\.{_ATOM})*"
_DAYS = "BETWEEN DATE '1990-01-01' AND DATE '2199-12-31'"
_ZONES = ", ".join(quoted(each) for each in sorted(available_timezones()))


def _matches(pattern: str) -> str:
    """Return the SQL of a match with the whole pattern, for `format` to put the column's name in."""
    return f"regexp_full_match({{0}}, {quoted(pattern.replace('{', '{{').replace('}', '}}'))})"


# By kind of column: what a value must meet, and what is said when it does not.
_FORMS = {
    DAY: (f"TRY_CAST({{0}} AS DATE) {_DAYS}", "is no date as 2026-01-31, from 1990 on"),
    MOMENT: (
        f"{_matches(_MOMENT)} AND TRY_CAST(left({{0}}, 10) AS DATE) {_DAYS}",
        "is no time as 2026-01-31T09:00:00Z, from 1990 on",
    ),
    FLAG: ("lower({0}) IN ('true', 'false', 'yes', 'no', '1', '0')", "is neither true nor false"),
    "currency": (_matches("[A-Z]{3}"), "is no currency as EUR"),
    "mail": (f"length({{0}}) <= 254 AND {_matches(_MAIL)}", "is no mail address as ann@shop.example"),
    "zone": (f"{{0}} IN ({_ZONES})", "is no time zone as Europe/Berlin"),
}


def create_checked(table: FileTable, entity: Entity, base_currency: str) -> list[str]:
    """Define the view `checked`: row_no, the entity's columns as text or NULL, and `fault` (NULL: none).

    Returns the file's columns nobody knows. Raises MapFault naming every required column that is missing.
    """
    present = {name.strip().lower(): name for name in table.columns}
    missing = [each.name for each in entity.columns if each.is_required and each.name not in present]
    if missing:
        known = ", ".join(each.name for each in entity.columns)
        raise MapFault(
            f"the file has no column {', '.join(missing)}; {entity.name} have {known}\n"
            "hint: the first line names the columns"
        )
    texts = [
        f"nullif(trim(CAST({identifier(present[each.name])} AS VARCHAR)), '') AS {identifier(each.name)}"
        if each.name in present
        else f"NULL AS {identifier(each.name)}"
        for each in entity.columns
    ]
    table.connection.execute(f"CREATE VIEW texts AS SELECT row_no, unreadable, {', '.join(texts)} FROM file")  # noqa: S608
    together = (
        f"CASE WHEN {condition.replace('$base', quoted(base_currency))} THEN {quoted(reason)} END"
        for condition, reason in _refusals(entity)
    )
    faults = ", ".join((*map(_fault, entity.columns), *together))
    columns = {each.name: each for each in entity.columns}
    key = ", ".join(_key_value(columns[name], base_currency) for name in entity.key)
    is_second = ""
    if entity.only_one is not None:
        flag = _value(columns[entity.only_one])
        is_set = f"coalesce({flag} IN ('true', 'yes', '1'), false)"
        is_second = (
            f" WHEN {is_set} AND row_number() OVER (PARTITION BY wrong IS NULL, {is_set} ORDER BY row_no) > 1"
            f" THEN {quoted(f'an earlier row is the {entity.only_one} already')}"
        )
    table.connection.execute(
        f"CREATE VIEW tried AS SELECT *, coalesce(unreadable, nullif(concat_ws('; ', {faults}), '')) AS wrong"  # noqa: S608
        " FROM texts"
    )
    table.connection.execute(
        "CREATE VIEW checked AS SELECT *, CASE WHEN wrong IS NOT NULL THEN wrong"  # noqa: S608 - our own columns
        f" WHEN row_number() OVER (PARTITION BY wrong IS NULL, {key} ORDER BY row_no) > 1"
        f" THEN 'the same {' and '.join(entity.key)} stands in an earlier row'{is_second} END AS fault FROM tried"
    )
    return sorted(set(present) - set(columns))


def _refusals(entity: Entity) -> Iterator[tuple[str, str]]:
    """What columns must not say together: conditions over their texts, and reasons."""
    yield from entity.refuses
    if entity.in_order is not None:
        first, second = entity.in_order
        yield f"TRY_CAST({second} AS DATE) < TRY_CAST({first} AS DATE)", f"{second} is before {first}"
    for one, other in entity.either_or:
        yield f"{one} IS NULL AND {other} IS NULL", f"{one} or {other} is missing"
        yield f"{one} IS NOT NULL AND {other} IS NOT NULL", f"{one} and {other} exclude each other"


def good_rows(entity: Entity) -> str:
    """Return the query of the rows without fault, as text."""
    values = ", ".join(_value(each) for each in entity.columns)
    return f"SELECT row_no, {values} FROM checked WHERE fault IS NULL"  # noqa: S608 - our own columns


def bad_rows() -> str:
    """Return the query of the others: row_no, reason."""
    return "SELECT row_no, fault AS reason FROM checked WHERE fault IS NOT NULL"


def _value(column: Column) -> str:
    name = identifier(column.name)
    if column.kind in _NUMBERS:
        return f"CAST(TRY_CAST({name} AS {_NUMBERS[column.kind]}) AS VARCHAR)"
    if column.kind == DAY:
        return f"CAST(TRY_CAST({name} AS DATE) AS VARCHAR)"
    return f"lower({name})" if column.kind == FLAG or column.one_of else name


def _key_value(column: Column, base_currency: str) -> str:
    """Return the SQL by which values are the same: 10 and 10.0, no day and the first, no currency and the base's."""
    value = _value(column)
    if column.kind == DAY:
        return f"coalesce({value}, '1990-01-01')"
    return f"coalesce({value}, {quoted(base_currency)})" if column.kind == "currency" else value


def _fault(column: Column) -> str:
    """Return the SQL of what is wrong with a column's value, NULL for nothing."""
    name = identifier(column.name)
    cases = [f"WHEN {name} IS NULL THEN {quoted(f'{column.name} is missing')}"] if column.is_required else []
    cases += [
        f"WHEN {name} IS NOT NULL AND NOT coalesce({condition}, false)"
        f" THEN {quoted(column.name + ' ')} || {quoted('“')} || left({name}, 60) || {quoted('” ' + complaint)}"
        for condition, complaint in _rules(column, name)
    ]
    return f"CASE {' '.join(cases)} END" if cases else "NULL"


def _rules(column: Column, name: str) -> Sequence[tuple[str, str]]:
    """Conditions a value must meet, each with what is said when it does not."""
    if column.one_of:
        words = ", ".join(quoted(each) for each in column.one_of)
        return ((f"lower({name}) IN ({words})", f"is none of {', '.join(column.one_of)}"),)
    if column.kind in _NUMBERS:
        number = f"TRY_CAST({name} AS {_NUMBERS[column.kind]})"
        rules = [(f"regexp_full_match({name}, {quoted(_PLAIN_NUMBER)})", "is no number")]
        if column.kind == SHARE:
            return (*rules, (f"{number} BETWEEN 0 AND 1", "must be a share from 0 to 1: 15 % is 0.15"))
        rules.append((f"{number} IS NOT NULL", "is too large"))
        if column.least is not None:
            bound, sign = column.least.removeprefix(">"), ">" if column.least.startswith(">") else ">="
            rules.append((f"{number} {sign} {bound}", f"must be {sign} {bound}"))
        return rules
    if column.kind in _FORMS:
        condition, complaint = _FORMS[column.kind]
        return ((condition.format(name), complaint),)
    longest = LONGEST_ID if column.kind == ID else LONGEST_TEXT
    return (
        (f"length({name}) <= {longest}", f"is longer than {longest} characters"),
        (f"NOT contains({name}, chr(0))", "holds a NUL character"),
    )


# Where a reference must be found.
_EXISTS = {
    "customers": "SELECT FROM customer_ref WHERE source = :source AND external_id = {}",
    "products": "SELECT FROM product_ref WHERE source = :source AND external_id = {}",
    "territories": "SELECT FROM territory WHERE external_id = {}",
    "reps": "SELECT FROM rep WHERE external_id = {}",
}


@dataclass(frozen=True, slots=True)
class EntityRequest:
    """What to import."""

    entity: Entity
    file: Path
    source: str
    base_currency: str
    rejects: Path
    is_dry_run: bool
    time_zone: str = "UTC"
    """What times without an offset are read in."""


@dataclass(frozen=True, slots=True)
class EntityReport:
    """What became of the rows of a file."""

    run_id: int | None
    rows: int
    stored: int
    rejected: int
    ignored_columns: tuple[str, ...]


def import_entity(database: Database, request: EntityRequest) -> EntityReport:
    """Import a file of an entity. Safe to run again: rows of the same key are brought up to date."""
    with open_table(request.file) as table:
        ignored = create_checked(table, request.entity, request.base_currency)
        rows = table.connection.execute("SELECT count(*) FROM file").fetchall()[0][0]
        rejects = Rejects(table)
        rejects.add_query(bad_rows())
        run_id = None
        with database.engine.connect() as connection:
            run_id = begin_run(connection, request.entity.name, request.source, request.file)
            _take_in(connection, table, request, rejects)
            counts = {"rows": rows, "stored": rows - rejects.count, "rejected": rejects.count}
            finish_run(connection, run_id, counts, refresh=request.entity.changes_derived)
            if request.is_dry_run:
                connection.rollback()
                run_id = None
            else:
                connection.commit()
        if rejects.count:
            rejects.write(request.rejects)
    return EntityReport(run_id, rows, rows - rejects.count, rejects.count, tuple(ignored))


def _take_in(connection: Connection, table: FileTable, request: EntityRequest, rejects: Rejects) -> None:
    """Stage the good rows, refuse those that refer to nothing known, and write the others."""
    connection.execute(text("SELECT set_config('TimeZone', :zone, true)"), {"zone": request.time_zone})
    columns = ", ".join(
        f"{identifier(each.name)} {POSTGRES_TYPES.get(each.kind, 'text')}" for each in request.entity.columns
    )
    connection.execute(text(f"CREATE TEMPORARY TABLE staged (row_no bigint, {columns}) ON COMMIT DROP"))
    reader = table.stream(good_rows(request.entity))
    for batch in reader:
        rows = zip(*(column.to_pylist() for column in batch.columns), strict=True)
        lines = [f"{row_no}\t" + "\t".join(map(copy_text, values)) + "\n" for row_no, *values in rows]
        copy_rows(connection, "staged", lines)
    connection.execute(text("ANALYZE staged"))
    lock_new_names(connection)  # as late as can be: scoring waits for it when it meets a new name
    _refuse_dangling(connection, request, rejects)
    for statement in request.entity.write:
        connection.execute(text(statement), _arguments(statement, request))


def _arguments(statement: str, request: EntityRequest) -> dict[str, str]:
    values = {"source": request.source, "base_currency": request.base_currency}
    return {name: value for name, value in values.items() if f":{name}" in statement}


def _refuse_dangling(connection: Connection, request: EntityRequest, rejects: Rejects) -> None:
    """Refuse rows that refer to what is neither known nor in the file, and then those that referred to them."""
    references = [each for each in request.entity.columns if each.refers_to]
    while True:
        refused = 0
        for each in references:
            statement = _dangling(each, request.entity)
            gone = connection.execute(text(statement), _arguments(statement, request)).all()
            refused += len(gone)
            for row_no, name in gone:
                rejects.add([row_no], f"{each.name} “{name}” is not known")
        if not refused:
            return


def _dangling(column: Column, entity: Entity) -> str:
    """Return the SQL that takes such rows out of `staged` and returns row_no and the unknown name."""
    names = (
        f"unnest(string_to_array({column.name}, ';'))" if column.kind == IDS else f"(SELECT {column.name})"
    )
    known = f"EXISTS ({_EXISTS[column.refers_to or ''].format('trim(wanted.name)')})"
    if column.refers_to == entity.name:
        known += " OR EXISTS (SELECT FROM staged AS other WHERE other.id = trim(wanted.name))"
    return (
        "WITH dangling AS (SELECT DISTINCT ON (row_no) row_no, wanted.name FROM staged"  # noqa: S608 - our columns
        f" CROSS JOIN LATERAL {names} AS wanted (name) WHERE wanted.name IS NOT NULL AND NOT ({known}))"
        " DELETE FROM staged USING dangling WHERE staged.row_no = dangling.row_no"
        " RETURNING dangling.row_no, dangling.name"
    )
