"""The columns imports copy are the tables' columns, in full where nothing else fills them."""

import pytest

from services.ingest.imports.rows import EVENTS, LINES, ORDERS
from shared.tables.base import metadata


@pytest.mark.parametrize("target", [EVENTS, ORDERS, LINES], ids=lambda target: target.partition(" ")[0])
def test_imports_copy_columns_the_table_has_and_leave_none_that_must_be_filled(target: str) -> None:
    name, _, columns = target.partition(" ")
    copied = {each.strip() for each in columns.strip("()").split(",")}
    table = metadata.tables[name]
    needed = {
        each.name
        for each in table.columns
        if not each.nullable and each.server_default is None and not each.identity
    }
    assert copied <= {each.name for each in table.columns}
    assert needed <= copied
