"""What was notified and what was held has its outcome observed once its horizon is over, by the orders that came."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from services.cli import Context, main
from services.scoring.schedule import periodic
from shared import tasks
from shared.db import Database
from tests.fit_company import AS_OF, Company
from tests.scoring_orders import Worker, rows, settings

OUTCOMES = (
    "SELECT kind, subject, is_notified, reason, happened, confirmed, revenue FROM outcome ORDER BY signal_id"
)


class Said:
    """A company of one customer, and what was said of it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        with database.transaction() as connection:
            made = Company(connection)
            self.customer = made.customer("Acme")
            self.drill = made.product("DRILL")
            made.order("Acme", AS_OF - timedelta(days=30), ("DRILL", 10, 5))
            connection.execute(text("INSERT INTO policy_version VALUES ('p', '{}')"))

    def signal(
        self, at: datetime = AS_OF, *, kind: str = "stopped_item", episode: int | None = None, **given: Any
    ) -> int:
        """Store a signal and what was decided of it; return its id."""
        values = {
            "kind": kind, "customer": self.customer, "as_of": at, "occasion": f"customer:{self.customer}:{at.date()}",
            "subject": f"product:{self.drill}", "episode": episode, "order": None, "product": self.drill,
            "facts": json.dumps({"customer_id": self.customer, "product_id": self.drill}), "detail": "{}",
            "verdict": "suppressed", "reason": "held_out",
        } | given  # fmt: skip
        with self.database.transaction() as connection:
            signal = connection.execute(
                text(
                    "INSERT INTO signal (kind, customer_id, subject, cause, occasion, order_id, product_id, as_of,"
                    " expires_at, probability, basis, stake, value, low, high, horizon_days, quiet_days, headline,"
                    " question, evidence, detail, facts, severity, is_selling, is_proven, assumed_margin,"
                    " detector_version) VALUES (:kind, :customer, :subject, 'any', :occasion, :order, :product,"
                    " :as_of, :as_of, 0.3, 'measured', 100, 10, 5, 15, 90, 30, 'No drills', 'Why?', '[]', :detail,"
                    " :facts, 'normal', true, true, false, '1') RETURNING id"
                ),
                values,
            ).scalar_one()
            connection.execute(
                text(
                    "INSERT INTO decision (signal_id, episode_id, verdict, reason, policy_version)"
                    " VALUES (:signal, :episode, :verdict, :reason, 'p')"
                ),
                values | {"signal": signal},
            )
        return int(signal)

    def episode(self) -> int:
        """An episode about drills."""
        with self.database.transaction() as connection:
            return int(
                connection.execute(
                    text(
                        "INSERT INTO episode (customer_id, kind, subject, number, opened_at, last_seen_at, quiet_after,"
                        " holdout_bucket, is_holdout, value) SELECT :customer, 'stopped_item', :subject,"
                        " 1 + count(*), now(), now(), now(), 0, true, 1 FROM episode RETURNING id"
                    ),
                    {"customer": self.customer, "subject": f"product:{self.drill}"},
                ).scalar_one()
            )

    def order(self, days_after: int, *, at: datetime = AS_OF, quantity: float = 2, **given: Any) -> int:
        """An order of drills some days after."""
        with self.database.transaction() as connection:
            made = Company(connection, {"Acme": self.customer}, {"DRILL": self.drill}, 100 + days_after)
            return made.order("Acme", at + timedelta(days=days_after), ("DRILL", quantity, 5), **given)

    def observe(self, days_after: int, kind: str = "stopped_item") -> dict[tuple[str, ...], int]:
        """Observe the outcomes of that night; return what was counted."""
        night = AS_OF + timedelta(days=days_after)
        with self.database.transaction() as connection:
            tasks.put(connection, "scoring", "observe", [f"{night.date()}:{kind}"])
        address = self.database.engine.url.render_as_string(hide_password=False)
        return dict(Worker(self.database, now=night, database_url=address).work("observe"))

    def outcomes(self) -> Sequence[Any]:
        return [tuple(row) for row in rows(self.database, OUTCOMES)]


@pytest.fixture
def said(database: Database) -> Said:
    return Said(database)


def test_what_was_held_is_observed_when_its_horizon_is_over(said: Said) -> None:
    said.signal()
    said.order(40)
    assert said.observe(89) == {}
    assert said.outcomes() == []
    assert said.observe(90) == {("outcomes", "stopped_item"): 1}
    assert said.outcomes() == [("stopped_item", f"product:{said.drill}", False, "held_out", True, False, 10)]
    assert rows(
        said.database, "SELECT probability, basis, stake, value, horizon_days, observed_at FROM outcome"
    ) == [(0.3, "measured", 100, 10, 90, AS_OF + timedelta(days=90))]


def test_a_night_that_is_done_twice_observes_nothing_twice(said: Said) -> None:
    said.signal()
    said.observe(90)
    first = rows(said.database, "SELECT * FROM outcome")
    assert said.observe(91) == {}
    assert rows(said.database, "SELECT * FROM outcome") == first


@pytest.mark.parametrize(
    ("came_on", "happened"),
    [
        pytest.param(100, True, id="an order that came late is seen"),
        pytest.param(105, False, id="two weeks after the horizon nothing moves any more"),
    ],
)
def test_an_outcome_is_looked_at_again_for_two_weeks(said: Said, came_on: int, happened: bool) -> None:
    said.signal()
    said.observe(90)
    said.order(80)
    said.observe(came_on)
    assert [row[4] for row in said.outcomes()] == [happened]


def test_an_episode_counts_once_from_when_somebody_was_told(said: Said) -> None:
    episode = said.episode()
    said.signal(episode=episode, reason="over_budget", verdict="inbox_only")
    said.signal(AS_OF + timedelta(days=10), episode=episode, reason="first_time", verdict="notify")
    said.signal(AS_OF + timedelta(days=20), episode=episode, reason="within_repeat_interval")
    said.observe(95)
    assert said.outcomes() == []
    said.observe(100)
    said.observe(110)
    assert [row[2:5] for row in said.outcomes()] == [(True, "first_time", False)]


def test_what_opens_no_episode_counts_once_within_a_horizon(said: Said) -> None:
    for night in (0, 1, 2, 91):
        said.signal(AS_OF + timedelta(days=night), reason="inhibited")
    for night in (90, 91, 92, 181):
        said.observe(night)
    assert [row.as_of for row in rows(said.database, "SELECT as_of FROM outcome ORDER BY 1")] == [
        AS_OF,
        AS_OF + timedelta(days=91),
    ]


def test_an_order_kind_is_observed_by_what_the_order_was_amended_to(said: Said) -> None:
    right, wrong, void = (said.order(0, external_id=each) for each in ("right", "wrong", "void"))
    with said.database.transaction() as connection:
        connection.execute(text("UPDATE order_line SET base_net = 16 WHERE order_id = :id"), {"id": right})
        connection.execute(text("UPDATE sales_order SET is_counted = false WHERE id = :id"), {"id": void})
    for order in (right, wrong, void):
        said.signal(
            kind="below_floor", occasion=f"order:{order}", order=order, reason="first_time", verdict="notify",
            subject=f"product:{order}", detail=json.dumps({"price": "5", "floor": "8"}), facts="{}",
        )  # fmt: skip
    said.observe(3, "below_floor")
    assert [row[1:5] for row in said.outcomes()] == [
        (f"product:{right}", True, "first_time", True),
        (f"product:{wrong}", True, "first_time", False),
    ]


def test_the_outcomes_of_the_day_wait_for_its_day_kinds(said: Said) -> None:
    told = settings(time_zone="UTC")
    put_outcomes = periodic(told, lambda: AS_OF)[2]

    def put() -> list[str]:
        with said.database.transaction() as connection:
            put_outcomes(connection)
        return [row.key for row in rows(said.database, "SELECT key FROM task WHERE kind = 'observe'")]

    assert put() == []
    with said.database.transaction() as connection:
        tasks.put(connection, "scoring", "evaluate", [f"{AS_OF.date()}:going_quiet"])
    assert put() == []
    with said.database.transaction() as connection:
        connection.execute(text("UPDATE task SET state = 'done', finished_at = now()"))
    keys = put()
    assert {f"{AS_OF.date()}:going_quiet", f"{AS_OF.date()}:below_floor"} <= set(keys)
    assert sorted(put()) == sorted(keys)


def test_quality_prints_what_was_said_beside_what_was_seen(said: Said) -> None:
    said.signal()
    other = json.dumps({"customer_id": said.customer, "product_id": 2})
    said.signal(subject="product:2", reason="first_time", verdict="notify", facts=other)
    said.order(40)
    said.observe(90)
    context = Context()
    context.settings = settings(
        database_url=said.database.engine.url.render_as_string(hide_password=False), business_time=AS_OF
    )
    printed = CliRunner().invoke(main, ["quality"], obj=context).output
    context.database.close()
    assert "stopped_item: 2 outcomes\n" in printed
    assert "  held, nobody was told: said 30% without acting, seen 100% (1 known)\n" in printed
    assert "  notified: said 30% without acting, seen 0% (1 known)\n" in printed
