"""Adding a kind is adding a file: it is found, run, stored and passed on, and nothing else was touched."""

from pathlib import Path

import pytest

from services.scoring import signals
from shared.db import Database
from tests.scoring_orders import Worker, order, receive, rows

FIRST_ORDER = '''
"""First order: somebody bought for the first time."""

from datetime import timedelta
from decimal import Decimal

from shared.domain.signal import Evidence, OrderSignalKind, Signal


def detect(facts):
    if not facts.past_orders:
        yield Signal(
            kind="first_order",
            customer_id=facts.customer.id,
            subject="first order",
            cause="first",
            probability=0.5,
            basis="estimated",
            stake=Decimal(10),
            value=Decimal(12),
            low=Decimal(1),
            high=Decimal(19),
            horizon=timedelta(days=90),
            headline="Their first order",
            question="How did they find us?",
            evidence=(Evidence("Orders", "None before this one."),),
            as_of=facts.as_of,
            expires_at=facts.as_of + timedelta(days=30),
        )


def ends(facts, episode):
    return None


KIND = OrderSignalKind(
    name="first_order", version="1", detect=detect, ends=ends, episode_ttl=timedelta(days=30), is_selling=False
)
'''


def test_a_file_is_all_a_new_kind_takes(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "first_order.py").write_text(FIRST_ORDER)
    monkeypatch.setattr(signals, "__path__", [*signals.__path__, str(tmp_path)])
    receive(database, order("1"))
    tally = Worker(database).work()
    assert tally == {("signals", "first_order"): 1}
    assert rows(database, "SELECT kind, headline, value, is_proven, detector_version FROM signal") == [
        ("first_order", "Their first order", 12, True, "1")
    ]
    assert len(rows(database, "SELECT 1 FROM task WHERE kind = 'decide'")) == 1
