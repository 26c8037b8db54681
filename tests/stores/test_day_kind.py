"""Adding a day kind is adding a file: every night it is run, its signals are stored, and alerts decide on them."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from services.scoring import signals
from services.scoring.schedule import periodic
from shared import tasks
from shared.db import Database
from shared.drainer import Drainer
from shared.metrics import Metrics
from tests.scoring_orders import NOW, Worker, line, order, rows, score, settings

GONE_QUIET = '''
"""Gone quiet: a customer who ordered every month has not ordered for two."""

from datetime import timedelta
from decimal import Decimal

from shared.domain.signal import Action, DaySignalKind, Evidence, Signal, Trigger


def candidates(facts, as_of):
    sales = facts.accounts
    seen = sales.group_by("customer_id").agg(last=sales.day.max(), days=sales.day.nunique(), spent=sales.net.sum())
    return seen.mutate(fires=seen["last"] < (as_of - timedelta(days=60)).date())


def tell(row):
    value = Decimal(str(row["spent"])) / 10
    return Signal(
        kind="gone_quiet",
        customer_id=row["customer_id"],
        subject="orders",
        cause="silence",
        probability=0.5,
        basis="estimated",
        stake=value * 2,
        value=value,
        low=value,
        high=value,
        horizon=timedelta(days=90),
        headline="No order for two months",
        question="What has changed?",
        evidence=(Evidence("Last order", f"On {row['last']}."),),
        as_of=row["as_of"],
        expires_at=row["as_of"] + timedelta(days=7),
    )


def ends(facts, episode):
    return "they ordered"


KIND = DaySignalKind(
    name="gone_quiet", version="1", trigger=Trigger.CUSTOMER_DAY, candidates=candidates, tell=tell, ends=ends,
    episode_ttl=timedelta(days=30), is_selling=False, action=Action.MENTION,
)
'''

BROKEN = GONE_QUIET.replace("gone_quiet", "broken").replace("sales = facts", "sales = facts.nothing")

REP_DAY = '''
"""Customers: how many customers a rep looks after who bought something."""

from datetime import timedelta
from decimal import Decimal

from shared.domain.signal import Action, DaySignalKind, Evidence, Signal, Trigger


def candidates(facts, as_of):
    owned = facts.accounts.join(facts.owners, "customer_id")
    reps = owned.group_by("rep_id").agg(customers=owned.customer_id.nunique())
    return reps.mutate(fires=reps.customers > 0)


def tell(row):
    return Signal(
        kind="book", customer_id=None, rep_id=row["rep_id"], subject="book", cause="size", probability=0.5,
        basis="estimated", stake=Decimal(2), value=Decimal(1), low=Decimal(0), high=Decimal(2),
        horizon=timedelta(days=90), headline="Your book", question="Who is missing?",
        evidence=(Evidence("Customers", str(row["customers"])),), as_of=row["as_of"],
        expires_at=row["as_of"] + timedelta(days=7),
    )


def ends(facts, episode):
    return None


KIND = DaySignalKind(
    name="book", version="1", trigger=Trigger.REP_DAY, candidates=candidates, tell=tell, ends=ends,
    episode_ttl=timedelta(days=30), is_selling=False, action=Action.MENTION,
)
'''

ABSENCE = GONE_QUIET.replace("gone_quiet", "absence").replace(
    "is_selling=False,", "is_selling=False, is_absence=True,"
)

SINCE = (
    GONE_QUIET.replace("gone_quiet", "since")
    .replace("import timedelta", "import timedelta\n\nimport ibis", 1)
    .replace(
        "seen.mutate(",
        "seen.mutate(since_days=ibis.literal(as_of.date()).delta(seen['last'], unit='day') - 60, ",
    )
)

KINDS = {"since": SINCE, "absence": ABSENCE, "gone_quiet": GONE_QUIET, "broken": BROKEN, "book": REP_DAY}
DAY = NOW.date().isoformat()


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put kinds into the folder of signals, as a file each."""

    def put(*names: str) -> None:
        for name in names:
            (tmp_path / f"{name}.py").write_text(KINDS[name])

    monkeypatch.setattr(signals, "__path__", [*signals.__path__, str(tmp_path)])
    return put


def a_company(database: Database) -> None:
    """One customer who stopped ordering and one who did not."""
    score(
        database,
        *(order(f"a{days}", line("DRILL", 10, 5), days_ago=days) for days in (150, 120, 90)),
        *(order(f"b{days}", line("DRILL", 10, 5), days_ago=days, customer="busy") for days in (90, 60, 30)),
    )


def evaluate(database: Database, *names: str, night: int = 0) -> Worker:
    """Put the tasks of a night and do them."""
    now = NOW + timedelta(days=night)
    with database.transaction() as connection:
        tasks.put(connection, "scoring", "evaluate", [f"{now.date()}:{name}" for name in names])
    worker = Worker(database, now=now, database_url=database.engine.url.render_as_string(hide_password=False))
    worker.done = worker.work("evaluate")
    return worker


def decisions(database: Database) -> Sequence[Any]:
    return rows(database, "SELECT key FROM task WHERE kind = 'decide' AND key NOT LIKE 'order:%' ORDER BY 1")


def test_a_file_is_all_a_new_day_kind_takes(database: Database, install: Any) -> None:
    install("gone_quiet")
    a_company(database)
    worker = evaluate(database, "gone_quiet")
    ((customer,),) = rows(database, "SELECT id FROM customer WHERE name = 'Acme'")
    assert rows(
        database,
        "SELECT kind, occasion, customer_id, order_id, order_version, severity, headline, value, facts->>'days'"
        " FROM signal WHERE kind = 'gone_quiet'",
    ) == [
        (
            "gone_quiet", f"customer:{customer}:{DAY}", customer, None, None, "normal",
            "No order for two months", 15, "3",
        )
    ]  # fmt: skip
    assert decisions(database) == [(f"customer:{customer}:{DAY}",)]
    assert worker.notified == ["alerts"]


def test_a_night_that_is_done_twice_finds_nothing_twice(database: Database, install: Any) -> None:
    install("gone_quiet")
    a_company(database)
    evaluate(database, "gone_quiet")
    with database.transaction() as connection:
        connection.exec_driver_sql("UPDATE task SET state = 'ready' WHERE kind = 'evaluate'")
    evaluate(database, "gone_quiet")
    assert rows(database, "SELECT count(*) FROM signal WHERE kind = 'gone_quiet'") == [(1,)]


def a_rep(database: Database) -> int:
    """The rep who looks after every customer, by id."""
    with database.transaction() as connection:
        rep = connection.exec_driver_sql(
            "WITH one AS (INSERT INTO rep (external_id, name) VALUES ('r1', 'Rita') RETURNING id)"
            " INSERT INTO assignment (customer_id, rep_id, valid_from)"
            " SELECT customer.id, one.id, DATE '2020-01-01' FROM customer, one RETURNING rep_id"
        ).scalar()
    assert isinstance(rep, int)
    return rep


def test_a_rep_is_evaluated_on_a_day_of_their_own(database: Database, install: Any) -> None:
    install("book")
    a_company(database)
    rep = a_rep(database)
    evaluate(database, "book")
    assert rows(database, "SELECT occasion, customer_id, rep_id FROM signal WHERE kind = 'book'") == [
        (f"rep:{rep}:{DAY}", None, rep)
    ]
    assert decisions(database) == [(f"rep:{rep}:{DAY}",)]


def test_the_evaluation_of_the_day_is_put_once_for_each_kind(database: Database, install: Any) -> None:
    install("gone_quiet", "book")
    a_company(database)
    evening = NOW.replace(hour=19)  # four in the morning in Tokyo
    _, put_days, *_ = periodic(settings(time_zone="Asia/Tokyo"), lambda: evening)
    for _ in range(2):
        with database.transaction() as connection:
            put_days(connection)
    today = evening.date() + timedelta(days=1)
    keys = [row.key for row in rows(database, "SELECT key FROM task WHERE kind = 'evaluate' ORDER BY key")]
    assert {f"{today}:book", f"{today}:gone_quiet"} <= set(keys)
    assert len(keys) == len(set(keys))


def test_the_first_evaluation_does_not_wait_for_the_night_once_models_stand(database: Database) -> None:
    a_company(database)
    after_midnight = NOW.replace(hour=1)
    _, put_days, *_ = periodic(settings(), lambda: after_midnight)

    def put() -> int:
        with database.transaction() as connection:
            put_days(connection)
        return int(rows(database, "SELECT count(*) FROM task WHERE kind = 'evaluate'")[0][0])

    assert put() == 0
    rows(
        database,
        "INSERT INTO model_run (model, state, as_of, version) VALUES ('reorder', 'current', now(), '1') RETURNING 1",
    )
    rows(database, "INSERT INTO evaluation VALUES ('gone_quiet', now(), now()) RETURNING 1")
    assert put() == 0
    rows(database, "DELETE FROM evaluation RETURNING 1")
    assert put() > 0


def test_a_kind_that_fails_stops_no_other(database: Database, install: Any) -> None:
    install("gone_quiet", "broken")
    a_company(database)
    with database.transaction() as connection:
        tasks.put(connection, "scoring", "evaluate", [f"{DAY}:broken", f"{DAY}:gone_quiet"])
    worker = Worker(database, database_url=database.engine.url.render_as_string(hide_password=False))
    Drainer(database, list(worker.handlers.values()), Metrics("scoring", "test").count).drain()
    assert rows(database, "SELECT key, state FROM task WHERE kind = 'evaluate' ORDER BY key") == [
        (f"{DAY}:broken", "ready"),
        (f"{DAY}:gone_quiet", "done"),
    ]
    assert rows(database, "SELECT count(*) FROM signal WHERE kind = 'gone_quiet'") == [(1,)]


def an_episode(database: Database, value: float, kind: str = "gone_quiet") -> None:
    """The episode alerts opened for the signal, whose value was that."""
    with database.transaction() as connection:
        connection.execute(
            text("UPDATE signal SET value = :value WHERE kind = :kind"), {"value": value, "kind": kind}
        )
        connection.execute(
            text(
                "INSERT INTO episode (customer_id, rep_id, kind, subject, number, opened_at, last_seen_at,"
                " quiet_after, holdout_bucket, is_holdout, value) SELECT customer_id, rep_id, kind, subject, 1, as_of,"
                " as_of, as_of + interval '30 days', 50, false, value FROM signal WHERE kind = :kind"
            ),
            {"kind": kind},
        )


@pytest.mark.parametrize(
    ("stored", "signals_kept"),
    [
        pytest.param(15, 1, id="the same: the episode is touched"),
        pytest.param(13, 1, id="a little more"),
        pytest.param(10, 2, id="half as much again: news"),
    ],
)
def test_a_second_night_stores_what_is_news(
    database: Database, install: Any, stored: float, signals_kept: int
) -> None:
    install("gone_quiet")
    a_company(database)
    evaluate(database, "gone_quiet")
    an_episode(database, stored)
    evaluate(database, "gone_quiet", night=1)
    assert rows(database, "SELECT count(*) FROM signal WHERE kind = 'gone_quiet'") == [(signals_kept,)]
    assert rows(
        database,
        "SELECT last_seen_at = opened_at + interval '1 day', quiet_after - last_seen_at FROM episode",
    ) == [(True, timedelta(days=30))]


def test_a_second_night_says_the_same_of_a_rep_once(database: Database, install: Any) -> None:
    install("book")
    a_company(database)
    a_rep(database)
    evaluate(database, "book")
    [[value]] = rows(database, "SELECT value FROM signal")
    an_episode(database, value, "book")
    evaluate(database, "book", night=1)
    assert rows(database, "SELECT count(*) FROM signal") == [(1,)]


def test_what_is_no_longer_so_closes(database: Database, install: Any) -> None:
    install("gone_quiet")
    a_company(database)
    evaluate(database, "gone_quiet")
    an_episode(database, 15)
    score(database, order("back", line("DRILL", 10, 5), days_ago=-0.5), business_time=NOW + timedelta(days=1))
    with database.transaction() as connection:  # as if the order itself had closed nothing
        connection.exec_driver_sql("UPDATE episode SET closed_at = NULL, close_reason = NULL")
    evaluate(database, "gone_quiet", night=1)
    assert rows(database, "SELECT close_reason FROM episode") == [("it is no longer so",)]
    assert len(decisions(database)) == 2


@pytest.mark.parametrize(
    ("silent_for", "found"),
    [
        pytest.param(1, {"absence", "gone_quiet"}, id="orders came yesterday"),
        pytest.param(30, {"gone_quiet"}, id="nobody has ordered for a month"),
    ],
)
def test_absences_are_silent_while_the_feed_is_stale(
    database: Database, install: Any, silent_for: int, found: set[str]
) -> None:
    install("absence", "gone_quiet")
    score(database, *(order(f"a{days}", days_ago=days) for days in (150, 120, 90)))
    daily = range(silent_for, silent_for + 30)
    score(database, *(order(f"c{days}", days_ago=days, customer="daily") for days in daily))
    worker = evaluate(database, "absence", "gone_quiet")
    assert {row.kind for row in rows(database, "SELECT kind FROM signal WHERE order_id IS NULL")} == found
    assert worker.done["silenced", "absence"] == (0 if "absence" in found else 1)


def test_what_is_long_past_when_a_kind_first_looks_opens_nothing(database: Database, install: Any) -> None:
    """Quiet from day 60 on: of 140, 80 and 1 days since, the first is old, on every later night too."""
    install("since")
    for name, last in (("old", 200), ("recent", 140), ("fresh", 61)):
        score(database, order(name, days_ago=last, customer=name))
    found = (
        "SELECT name FROM signal JOIN customer ON customer.id = customer_id WHERE kind = 'since' ORDER BY 1"
    )
    evaluate(database, "since")
    assert [row.name for row in rows(database, found)] == ["Fresh", "Recent"]
    assert rows(database, "SELECT kind, version, day, old FROM first_evaluation") == [
        ("since", "1", NOW.date(), 1)
    ]
    evaluate(database, "since", night=25)
    assert "Old" not in {row.name for row in rows(database, found)}


def test_a_new_version_of_a_kind_opens_nothing_on_old_evidence(database: Database, install: Any) -> None:
    install("since")
    score(database, order("1", days_ago=120, customer="acme"))
    with database.transaction() as connection:
        connection.exec_driver_sql("INSERT INTO first_evaluation VALUES ('since', '0', '2020-01-01', 0)")
    evaluate(database, "since", night=40)
    assert rows(database, "SELECT old FROM first_evaluation WHERE version = '1'") == [(1,)]
    assert rows(database, "SELECT id FROM signal WHERE kind = 'since'") == []
