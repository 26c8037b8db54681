"""This file checks the rows of a noun's file against its columns, in SQL over the file."""

from collections.abc import Sequence
from zoneinfo import available_timezones

from services.ingest.imports.columns import MapFault
from services.ingest.imports.nouns import AMOUNT, DAY, FLAG, Column, Noun
from services.ingest.imports.table import FileTable, identifier, quoted

POSTGRES_TYPES = {AMOUNT: "numeric", DAY: "date", FLAG: "boolean"}
_NUMBER = "DECIMAL(26, 8)"
_ATOM = r'[^\pC\pZ@<>()\[\]\\,;:".]+'
_MAIL = rf"{_ATOM}(\.{_ATOM})*@{_ATOM}(\.{_ATOM})*"


def create_checked(table: FileTable, noun: Noun, base_currency: str) -> list[str]:
    """Define the view `checked`: row_no, the noun's columns as text or NULL, and `fault` (NULL: none).

    Returns the file's columns nobody knows. Raises MapFault naming every required column that is missing.
    """
    present = {name.strip().lower(): name for name in table.columns}
    missing = [each.name for each in noun.columns if each.is_required and each.name not in present]
    if missing:
        known = ", ".join(each.name for each in noun.columns)
        raise MapFault(f"the file has no column {', '.join(missing)}; {noun.name} have {known}")
    texts = [f"{_text(present.get(each.name))} AS {identifier(each.name)}" for each in noun.columns]
    table.connection.execute(f"CREATE VIEW texts AS SELECT row_no, {', '.join(texts)} FROM file")  # noqa: S608
    together = (
        f"CASE WHEN {condition.replace('$base', quoted(base_currency))} THEN {quoted(reason)} END"
        for condition, reason in noun.refuses
    )
    faults = ", ".join((*map(_fault, noun.columns), *together))
    key = ", ".join(identifier(name) for name in noun.key)
    table.connection.execute(
        f"CREATE VIEW tried AS SELECT *, nullif(concat_ws('; ', {faults}), '') AS wrong FROM texts"  # noqa: S608
    )
    table.connection.execute(
        "CREATE VIEW checked AS SELECT *, CASE WHEN wrong IS NOT NULL THEN wrong"  # noqa: S608 - our own columns
        f" WHEN row_number() OVER (PARTITION BY wrong IS NULL, {key} ORDER BY row_no) > 1"
        f" THEN 'the same {' and '.join(noun.key)} stands in an earlier row' END AS fault FROM tried"
    )
    return sorted(set(present) - {each.name for each in noun.columns})


def good_rows(noun: Noun) -> str:
    """Return the query of the rows without fault, as text."""
    values = ", ".join(_value(each) for each in noun.columns)
    return f"SELECT row_no, {values} FROM checked WHERE fault IS NULL"  # noqa: S608 - our own columns


def bad_rows() -> str:
    """Return the query of the others: row_no, reason."""
    return "SELECT row_no, fault AS reason FROM checked WHERE fault IS NOT NULL"


def _text(name: str | None) -> str:
    return "NULL" if name is None else f"nullif(trim(CAST({identifier(name)} AS VARCHAR)), '')"


def _value(column: Column) -> str:
    name = identifier(column.name)
    if column.kind == AMOUNT:
        return f"CAST(TRY_CAST({name} AS {_NUMBER}) AS VARCHAR)"
    if column.kind == DAY:
        return f"CAST(TRY_CAST({name} AS DATE) AS VARCHAR)"
    return f"lower({name})" if column.kind == FLAG else name


def _fault(column: Column) -> str:
    """Return the SQL of what is wrong with a column's value, NULL for nothing."""
    name = identifier(column.name)
    cases = [f"WHEN {name} IS NULL THEN {quoted(f'{column.name} is missing')}"] if column.is_required else []
    cases += [
        f"WHEN {name} IS NOT NULL AND NOT coalesce({condition}, false)"
        f" THEN {quoted(column.name + ' ')} || {quoted('“')} || {name} || {quoted('” ' + complaint)}"
        for condition, complaint in _rules(column, name)
    ]
    return f"CASE {' '.join(cases)} END" if cases else "NULL"


def _rules(column: Column, name: str) -> Sequence[tuple[str, str]]:
    """Conditions a value must meet, each with what is said when it does not."""
    if column.one_of:
        words = ", ".join(quoted(each) for each in column.one_of)
        return ((f"{name} IN ({words})", f"is none of {', '.join(column.one_of)}"),)
    if column.kind == AMOUNT:
        rules = [(f"TRY_CAST({name} AS {_NUMBER}) IS NOT NULL", "is no number")]
        if column.least is not None:
            bound, sign = column.least.removeprefix(">"), ">" if column.least.startswith(">") else ">="
            rules.append((f"TRY_CAST({name} AS {_NUMBER}) {sign} {bound}", f"must be {sign} {bound}"))
        return rules
    if column.kind == DAY:
        bounds = "BETWEEN DATE '1990-01-01' AND DATE '2199-12-31'"
        return ((f"TRY_CAST({name} AS DATE) {bounds}", "is no date as 2026-01-31, from 1990 on"),)
    if column.kind == FLAG:
        return ((f"lower({name}) IN ('true', 'false', 'yes', 'no', '1', '0')", "is neither true nor false"),)
    if column.kind == "currency":
        return ((f"regexp_full_match({name}, '[A-Z]{{3}}')", "is no currency as EUR"),)
    if column.kind == "mail":
        condition = f"length({name}) <= 254 AND regexp_full_match({name}, {quoted(_MAIL)})"
        return ((condition, "is no mail address as ann@shop.example"),)
    if column.kind == "zone":
        zones = ", ".join(quoted(each) for each in sorted(available_timezones()))
        return ((f"{name} IN ({zones})", "is no time zone as Europe/Berlin"),)
    return ((f"length({name}) <= 4000", "is too long"),)
