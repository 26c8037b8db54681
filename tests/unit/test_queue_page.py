"""docs/queue.md names the figures of the task core as they are."""

import re
from datetime import timedelta
from pathlib import Path

from shared import drainer, notify, worker
from shared.tasks import PROMPTLY

PAGE = (Path(__file__).parents[2] / "docs" / "queue.md").read_text()
MODULES = {"notify": notify, "worker": worker, "drainer": drainer}


def test_every_figure_of_the_page_is_the_one_of_the_code() -> None:
    figures = re.findall(r"^\| `(\w+)\.(\w+)` \| ([\d.]+) \|", PAGE, re.MULTILINE)
    assert len(figures) == 8
    for module, name, seconds in figures:
        value = getattr(MODULES[module], name)
        value = value.total_seconds() if isinstance(value, timedelta) else value
        assert (name, value) == (name, float(seconds))


def test_the_page_names_the_job_how_many_may_wait_and_the_schedule_of_retries() -> None:
    assert f"`{notify.JOB}`" in PAGE
    assert notify.MAX_WAITING == 4
    assert "at most four jobs wait" in PAGE
    assert [delay.total_seconds() for delay in PROMPTLY] == [1, 5, 30, 120, 600]
    assert "1 s, 5 s, 30 s, 2 min, 10 min" in PAGE
