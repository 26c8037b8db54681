"""The page of signal quality: each goal beside its figure, whatever part was measured last."""

from pathlib import Path

import pytest

from bench import quality_page
from bench.quality_page import Measured, Section

TITLES = {"drift": "Who goes quiet", "night": "A night"}


def measured(goal: str, figure: str, *, is_met: bool) -> Measured:
    section = Section()
    section.add("Live customers.")
    section.check(goal, figure, is_met=is_met)
    return Measured(section, "2026-01-02 03:04 UTC", 90.0, 0.5)


def test_a_part_measured_again_leaves_the_others_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quality_page, "KEPT", tmp_path)
    quality_page.keep("drift", measured("AUC at least 0.71", "0.60", is_met=False))
    quality_page.keep("night", measured("60 s", "40 s", is_met=True))
    quality_page.keep("drift", measured("AUC at least 0.71", "0.73", is_met=True))
    page = quality_page.text(TITLES, quality_page.kept(list(TITLES)))
    assert "| met | AUC at least 0.71 | 0.73 |" in page
    assert "| met | 60 s | 40 s |" in page
    assert "1.5 minutes" in page


def test_what_was_missed_or_not_measured_is_said() -> None:
    page = quality_page.text(TITLES, {"drift": measured("AUC at least 0.71", "0.60", is_met=False)})
    assert "| **missed** | AUC at least 0.71 | 0.60 |" in page
    assert "Not measured yet: night." in page
