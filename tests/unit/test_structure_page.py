"""docs/structure.md names files; each must be there, so that a reader who follows it arrives."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMED = re.findall(r"`([\w*]+/[\w/*]*(?:\.py)?)`", (ROOT / "docs" / "structure.md").read_text())


def test_the_page_names_files() -> None:
    assert len(NAMED) > 40


@pytest.mark.parametrize("name", NAMED)
def test_a_file_the_page_names_is_there(name: str) -> None:
    assert list(ROOT.glob(name))
