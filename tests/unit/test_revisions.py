"""Which database a program works with."""

import pytest

from shared import migrations

HEAD = int(migrations.head())


@pytest.mark.parametrize(
    ("found", "says"),
    [
        pytest.param(None, "the database has no tables and this program needs", id="an empty one"),
        pytest.param(HEAD - 1, "run `tipoff migrate`", id="one that is behind"),
        pytest.param(HEAD, None, id="its own"),
        pytest.param(HEAD + 1, None, id="one that the next release migrated"),
        pytest.param(HEAD + 2, "the database is newer than this program", id="one far ahead"),
    ],
)
def test_a_program_works_with(found: int | None, says: str | None) -> None:
    fault = migrations.fault_of(None if found is None else f"{found:04}")
    assert fault is None if says is None else says in str(fault)
