"""Whatever a page offers to do with an alert, the service does."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.alerts.web.actions import DISMISSALS, action_of

TEMPLATES = Path(__file__).parents[2] / "services" / "alerts" / "web" / "templates"
OFFERED = sorted(
    {
        (template.name, action)
        for template in TEMPLATES.glob("*.html")
        for action in re.findall(r'name="action" value="(\w+)"', template.read_text())
    }
)


def test_the_inbox_the_alert_and_a_mails_link_offer_something() -> None:
    assert {name for name, _ in OFFERED} == {"inbox.html", "detail.html", "linked.html"}


@pytest.mark.parametrize(("template", "action"), OFFERED)
def test_understands(template: str, action: str) -> None:
    form = {"action": action, "reason": next(iter(DISMISSALS))}
    assert action_of(form, datetime(2026, 6, 1, 9, tzinfo=UTC), "UTC").state, template
