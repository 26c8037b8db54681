"""PostgreSQL prepares every SQL text of the product against the migrated tables: a wrong name breaks this test.

A text is a constant of a module, or what a call in a function is given. Those put together from values that only a run
knows are listed with the reason.
"""

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import psycopg
import pytest
from sqlalchemy import TextClause, text
from sqlalchemy.dialects.postgresql import asyncpg

import services
import shared
from services.ingest.imports.entities import ENTITIES
from services.ingest.imports.entity_import import EntityRequest, import_entity
from shared.db import Database
from tests.databases import conninfo

STATEMENT = re.compile(r"\s*(WITH|SELECT|INSERT|UPDATE|DELETE)\b")
RUNS_SQL = ("text", "exec_driver_sql", "execute_prepared")
"""Calls that have PostgreSQL run their first argument."""

WRITTEN_IN = {
    **dict.fromkeys(("{as_of}", "{since}", "{until}"), "now()"),
    "{zone}": "'UTC'",
    "{received}": "",
    "{receipt}": "",
}
"""What the fit writes into its texts, as its driver takes no moment."""

CONSTANT = (ast.Constant, ast.Name, ast.JoinedStr, ast.FormattedValue, ast.BinOp, ast.Add, ast.Load)

ELSEWHERE = {
    "file": "a table of DuckDB, of one import",
    "reasons": "a table of DuckDB, of one import",
    "staged": "a temporary table of one import: see test_imports_write_columns_that_exist",
    "closed": "of the statement this is a part of",
    "stored": "of the statement this is a part of",
    "customer_candidate": "made from its model's own schema: see test_fit",
    "item_fact": "made from its model's own schema: see test_fit",
    "item_neighbour": "made from its model's own schema: see test_fit",
    "price_band": "made from its model's own schema: see test_fit",
    "inferred_break": "made from its model's own schema: see test_fit",
}
"""Tables that the migrations do not make."""

ASSEMBLED = {
    "services.alerts.store.inbox.counts": "the views of the inbox: test_inbox_pages",
    "services.alerts.store.inbox.find": "one of two ends of a constant that is prepared",
    "services.alerts.store.inbox.rows_of": "the views of the inbox: test_inbox_pages",
    "services.ingest.imports.entity_import._refuse_dangling": "test_imports_write_columns_that_exist",
    "services.ingest.imports.entity_import._take_in": "test_imports_write_columns_that_exist",
    "services.ingest.imports.runs.take_statistics": "no names of columns",
    "services.ingest.store._id": "is given constants that are prepared",
    "services.scoring.past_orders._put": "tables of what models learnt: test_past_orders",
    "services.scoring.store.catalogue._by_product": "is given constants that are prepared",
    "services.scoring.store.catalogue.refresh": "is given a constant that is prepared",
    "shared.tasks._update": "makes constants that are prepared",
    "shared.partitions._make": "the name of a month: test_applying_orders",
}
"""Functions that put a text together, and what holds it to the tables instead."""

TYPES = {"age": "interval", "by": "interval", "window": "interval"}
"""What drivers say of a placeholder where PostgreSQL would guess another type."""


@dataclass(frozen=True, slots=True)
class Sql:
    """A text of the product and where it stands; None when it is put together from what only a run knows."""

    where: str
    text: str | None


def modules() -> Iterator[ModuleType]:
    """Import every module of the product but the migrations, which speak of tables as they were."""
    for root in (services, shared):
        for found in pkgutil.walk_packages(root.__path__, f"{root.__name__}."):
            if not found.name.startswith("shared.migrations."):
                yield importlib.import_module(found.name)


def texts(module: ModuleType) -> Iterator[Sql]:
    """Find the SQL texts of a module: its constants, and what calls in its functions are given."""
    for name, value in vars(module).items():
        for each in constants(value):
            yield Sql(f"{module.__name__}.{name}", each)
    for function in ast.walk(ast.parse(Path(str(module.__file__)).read_text())):
        if not isinstance(function, ast.FunctionDef):
            continue
        where = f"{module.__name__}.{function.name}"
        for call in (each for each in ast.walk(function) if isinstance(each, ast.Call)):
            runs_sql = getattr(call.func, "id", getattr(call.func, "attr", "")) in RUNS_SQL
            for place, argument in enumerate(call.args):
                value = value_of(argument, module)
                if isinstance(value, str) and STATEMENT.match(value):
                    yield Sql(where, value)
                elif value is None and runs_sql and place == 0:
                    yield Sql(where, None)


def constants(value: object) -> Iterator[str]:
    """Find the texts in a value of a module."""
    if isinstance(value, TextClause):
        yield value.text
    elif isinstance(value, str) and STATEMENT.match(value) and not re.search(r"\{\w*\}", filled(value)):
        yield value
    elif isinstance(value, dict | tuple | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from constants(each)


def value_of(argument: ast.expr, module: ModuleType) -> object:
    """Return the value of an expression of constants; None when it speaks of what only a run knows."""
    if not all(isinstance(each, CONSTANT) for each in ast.walk(argument)):
        return None
    try:
        return eval(compile(ast.Expression(argument), "sql", "eval"), dict(vars(module)))
    except NameError:
        return None


def filled(sql: str) -> str:
    """Return a text with what the fit writes into it."""
    for place, written in WRITTEN_IN.items():
        sql = sql.replace(place, written)
    return sql


def numbered(sql: str) -> tuple[str, list[str]]:
    """Return a text with numbered placeholders, and the type of each."""
    sql = filled(sql)
    if (highest := max(map(int, re.findall(r"\$(\d+)", sql)), default=0)) > 0:
        return sql, ["unknown"] * highest
    if "%s" in sql or "%b" in sql:
        parts = re.split("%[sb]", sql)
        return "".join(f"{part}${n}" for n, part in enumerate(parts[:-1], 1)) + parts[-1], ["unknown"] * (
            len(parts) - 1
        )
    compiled = text(sql).compile(dialect=asyncpg.dialect())  # type: ignore[no-untyped-call]
    return str(compiled), [TYPES.get(name, "unknown") for name in compiled.positiontup or ()]


@pytest.fixture(scope="module")
def product() -> list[Sql]:
    """Every text of the product, each once."""
    return list(dict.fromkeys(sql for module in modules() for sql in texts(module)))


def test_every_text_fits_the_migrated_tables(product: list[Sql], database_url: str) -> None:
    faults, prepared = [], 0
    with psycopg.connect(conninfo(database_url), autocommit=True) as connection:
        for where, sql in ((each.where, each.text) for each in product if each.text is not None):
            statement, types = numbered(sql)
            given = f" ({', '.join(types)})" if types else ""
            try:
                connection.execute(f"PREPARE tried{given} AS {statement}".encode())
                connection.execute("DEALLOCATE tried")
                prepared += 1
            except psycopg.errors.UndefinedTable as error:
                if str(error).split('"')[1] not in ELSEWHERE:
                    faults.append(f"{where}: {error}")
            except psycopg.Error as error:
                faults.append(f"{where}: {error}")
    assert faults == []
    assert prepared > 150


def test_what_is_put_together_is_known(product: list[Sql]) -> None:
    assert {each.where for each in product if each.text is None} <= set(ASSEMBLED)


@pytest.mark.parametrize("name", ENTITIES)
def test_imports_write_columns_that_exist(name: str, database: Database, tmp_path: Path) -> None:
    entity = ENTITIES[name]
    file = tmp_path / f"{name}.csv"
    file.write_text(",".join(column.name for column in entity.columns) + "\n")
    request = EntityRequest(entity, file, "standard", "EUR", tmp_path / "rejects.csv", is_dry_run=True)
    assert import_entity(database, request).rows == 0
