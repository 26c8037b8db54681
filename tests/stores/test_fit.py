"""Fitting small companies whose right answers are known."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from services.scoring.fit.grade import CrossSellGrade
from services.scoring.fit.run import FitReport, ModelsFailed, NothingToFit, fit
from shared.db import Database
from tests.fit_company import AS_OF, MODELS, Company, days_ago, learnt

Fit = Callable[[], FitReport]

ITEM = (
    "name", "buyers", "recent_buyers", "first_quantity", "line_quantity", "unit_price", "margin_rate",
    "category_margin_rate", "repeats",
)  # fmt: skip
LEARNT = {
    "neighbours": 'SELECT product_id, neighbour_id, score, buyers, "both", lift FROM item_neighbour'
    " WHERE model_run_id = :run ORDER BY 1, 2",
    "candidates": "SELECT customer_id, product_ids, scores FROM customer_candidate"
    " WHERE model_run_id = :run ORDER BY 1",
    "items": f"SELECT product_id, {', '.join(ITEM)} FROM item_fact WHERE model_run_id = :run ORDER BY 1",
    "bands": "SELECT product_id, channel, currency, min_quantity, max_quantity, buyers, unit_price, low_price,"
    " latest_price FROM price_band WHERE model_run_id = :run ORDER BY 1, 2, 3, 4",
    "breaks": "SELECT product_id, currency, min_quantity, unit_price, usual_price, buyers FROM inferred_break"
    " WHERE model_run_id = :run ORDER BY 1, 2, 3",
}


@pytest.fixture
def company(database: Database) -> Iterator[Company]:
    """A company without trade."""
    with database.engine.connect() as connection:
        yield Company(connection)


@pytest.fixture
def fit_it(company: Company, database_url: str) -> Fit:
    """Commit what was written, and fit the models whose tables are looked at here."""

    def run() -> FitReport:
        company.connection.commit()
        return fit(database_url, AS_OF, names=set(MODELS.values()), threads=1)

    return run


def cross_sell(report: FitReport) -> CrossSellGrade:
    grade = report.models["neighbours"].grade
    assert isinstance(grade, CrossSellGrade)
    return grade


def everything(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    return {name: learnt(database, query) for name, query in LEARNT.items()}


def item(database: Database, company: Company, name: str) -> dict[str, Any]:
    rows = {row[0]: row[1:] for row in learnt(database, LEARNT["items"])}
    return dict(zip(ITEM, rows[company.products[name]], strict=True))


def sell_drills(company: Company) -> None:
    """Twenty accounts buy drills and bits, five only drills, thirty-five only paint."""
    for number in range(60):
        at = days_ago(70 - number)
        if number < 20:
            company.order(f"both {number}", at, ("DRILL", 1, 80))
            company.order(f"both {number}", at + timedelta(days=7), ("BIT", 10, 2))
        elif number < 25:
            company.order(f"drill {number}", at, ("DRILL", 1, 80))
        else:
            company.order(f"paint {number}", at, ("PAINT", 4, 9))


def test_who_buys_one_of_two_complements_is_offered_the_other(
    database: Database, company: Company, fit_it: Fit
) -> None:
    sell_drills(company)
    fit_it()
    drill, bit = company.products["DRILL"], company.products["BIT"]
    links = {row[:2]: row[2:] for row in learnt(database, LEARNT["neighbours"])}
    assert set(links) == {(drill, bit), (bit, drill)}
    score, buyers, both, lift = links[drill, bit]
    assert (buyers, both, lift) == (25, 20, pytest.approx(20 * 60 / (25 * 20)))
    assert score > 0
    offers = {row[0]: row[1:] for row in learnt(database, LEARNT["candidates"])}
    assert set(offers) == {company.customers[f"drill {number}"] for number in range(20, 25)}
    products, scores = offers[company.customers["drill 20"]]
    assert products == [bit]
    assert scores == [pytest.approx(score * 0.5 ** (50 / 180), rel=1e-6)]


@pytest.mark.parametrize(
    "hidden",
    [
        pytest.param({"status": "discontinued"}, id="discontinued"),
        pytest.param(None, id="not sold for two months"),
    ],
)
def test_nothing_is_offered_that_cannot_be_sold(
    database: Database, company: Company, fit_it: Fit, hidden: dict[str, str] | None
) -> None:
    company.product("BIT", **(hidden or {}))
    for number in range(30):
        company.order(f"both {number}", days_ago(90), ("DRILL", 1, 80), *[("BIT", 10, 2)] * (number < 20))
    company.order("later", days_ago(3), ("DRILL", 1, 80), *[("BIT", 1, 2.0)] * (hidden is not None))
    fit_it()
    assert learnt(database, LEARNT["candidates"]) == []


def test_nothing_dated_at_or_after_the_moment_changes_the_fit(
    database: Database, company: Company, fit_it: Fit
) -> None:
    sell_drills(company)
    first = fit_it()
    before = everything(database)
    for number in range(20, 25):
        company.order(f"drill {number}", AS_OF, ("BIT", 99, 1), ("PAINT", 500, 1))
        company.order(f"drill {number}", AS_OF + timedelta(days=1), ("BIT", 99, 1))
    second = fit_it()
    assert everything(database) == before
    assert all(second.models[name].run_id > first.models[name].run_id for name in first.models)
    assert second.models["neighbours"].grade == first.models["neighbours"].grade


def test_the_last_moment_before_does_change_it(database: Database, company: Company, fit_it: Fit) -> None:
    sell_drills(company)
    fit_it()
    before = everything(database)
    company.order("drill 20", AS_OF - timedelta(microseconds=1), ("BIT", 99, 1))
    fit_it()
    assert everything(database) != before


@pytest.mark.parametrize(
    "columns",
    [
        pytest.param({"is_counted": False, "status": "cancelled"}, id="cancelled"),
        pytest.param({"kind": "sample"}, id="a sample"),
        pytest.param({"kind": "return"}, id="a return"),
    ],
)
def test_what_is_no_sale_teaches_nothing(
    database: Database, company: Company, fit_it: Fit, columns: dict[str, Any]
) -> None:
    sell_drills(company)
    fit_it()
    before = everything(database)
    company.order("drill 20", days_ago(2), ("BIT", 99, 1), **columns)
    fit_it()
    assert everything(database) == before


def test_guests_and_our_own_people_are_no_peers(database: Database, company: Company, fit_it: Fit) -> None:
    company.customer("ourselves", is_internal=True)
    for number in range(3):
        company.order(f"account {number}", days_ago(9), ("DRILL", 2, 50))
        company.order(None, days_ago(8), ("DRILL", 2, 100))
        company.order("ourselves", days_ago(8), ("DRILL", 2, 1))
    fit_it()
    assert item(database, company, "DRILL")["buyers"] == 3
    assert learnt(database, LEARNT["bands"]) == [
        (company.products["DRILL"], "", "EUR", 2, 3, 3, 50, 50, 50),
    ]


def test_merged_customers_count_once(database: Database, company: Company, fit_it: Fit) -> None:
    company.customer("acme")
    company.customer("acme ltd", merged_into_id=company.customers["acme"])
    company.order("acme", days_ago(9), ("DRILL", 2, 50))
    company.order("acme ltd", days_ago(8), ("DRILL", 2, 50))
    fit_it()
    assert item(database, company, "DRILL")["buyers"] == 1


def test_what_is_usual_for_a_product(database: Database, company: Company, fit_it: Fit) -> None:
    company.product("DRILL", name=None, category="tools")
    company.product("SAW", category="tools")
    for customer, quantity, later in (("a", 1, 5), ("b", 2, 5), ("c", 6, None)):
        company.order(customer, days_ago(120), ("DRILL", quantity, 50), cost=30)
        if later is not None:
            company.order(customer, days_ago(110), ("DRILL", later, 50), cost=40)
    company.order("a", days_ago(10), ("DRILL", 5, 50))
    fit_it()
    assert item(database, company, "DRILL") == {
        "name": "DRILL by its line",
        "buyers": 3,
        "recent_buyers": 1,
        "first_quantity": 2,
        "line_quantity": 5,
        "unit_price": 50,
        "margin_rate": pytest.approx(0.4),
        "category_margin_rate": pytest.approx(0.4),
        "repeats": pytest.approx(2 / 3),
    }
    saw = item(database, company, "SAW")
    assert (saw["name"], saw["buyers"], saw["margin_rate"]) == ("SAW", 0, None)
    assert saw["category_margin_rate"] == pytest.approx(0.4)


def test_each_customer_has_one_vote_on_the_price(database: Database, company: Company, fit_it: Fit) -> None:
    for day in range(20):
        company.order("loud", days_ago(20 + day), ("DRILL", 7, 40))
    for number in range(4):
        company.order(f"quiet {number}", days_ago(10 + number), ("DRILL", 6, 50))
    company.order("too early", days_ago(91), ("DRILL", 6, 10))
    company.order("another band", days_ago(9), ("DRILL", 12, 10))
    fit_it()
    assert learnt(database, LEARNT["bands"])[0][3:] == (6, 12, 5, 50, pytest.approx(44), 50)


def test_a_price_most_of_the_last_buyers_paid_is_the_latest_price(
    database: Database, company: Company, fit_it: Fit
) -> None:
    for number in range(12):
        company.order(f"account {number}", days_ago(60 - number), ("DRILL", 1, 50 if number < 8 else 45))
    fit_it()
    (band,) = learnt(database, LEARNT["bands"])
    assert band[5:] == (12, 50, 45, 45)


def test_a_quantity_from_which_accounts_pay_less_is_an_inferred_break(
    database: Database, company: Company, fit_it: Fit
) -> None:
    for number in range(6):
        company.order(f"small {number}", days_ago(30 + number), ("MAT", 2, 7.95), ("DRILL", 2, 50))
        company.order(f"large {number}", days_ago(30 + number), ("MAT", 10, 6.75), ("DRILL", 10, 50))
    fit_it()
    assert learnt(database, LEARNT["breaks"]) == [(company.products["MAT"], "EUR", 10, 6.75, 7.95, 6)]


@pytest.mark.parametrize(
    ("small_channel", "small_days", "large_days"),
    [("web", 30, 30), ("trade", 30, 120), ("trade", 120, 30)],
    ids=["guests of the shop pay more", "the list rose", "the list fell"],
)
def test_prices_of_other_channels_or_other_weeks_are_no_inferred_break(
    database: Database,
    company: Company,
    fit_it: Fit,
    small_channel: str,
    small_days: int,
    large_days: int,
) -> None:
    for number in range(6):
        small, large = days_ago(small_days + number), days_ago(large_days + number)
        company.order(f"small {number}", small, ("MAT", 2, 7.95), channel=small_channel)
        company.order(f"large {number}", large, ("MAT", 10, 6.75), channel="trade")
    fit_it()
    assert learnt(database, LEARNT["breaks"]) == []


def test_a_company_with_few_orders_is_told_that_cross_sell_cannot_be_judged(
    company: Company, fit_it: Fit
) -> None:
    company.order("one", days_ago(10), ("DRILL", 1, 80))
    report = fit_it()
    grade = cross_sell(report)
    assert (grade.passes, grade.precision_at_3) == (False, None)
    assert any("customers to judge by" in line for line in report.lines())


def test_a_fit_on_nothing_leaves_what_was_learnt(
    database: Database, company: Company, fit_it: Fit, database_url: str
) -> None:
    company.order("one", days_ago(10), ("DRILL", 1, 80))
    fit_it()
    before = everything(database)
    with pytest.raises(NothingToFit, match="no purchase before 1990-01-01"):
        fit(database_url, datetime(1990, 1, 1, tzinfo=UTC), threads=1)
    assert everything(database) == before
    assert any(before.values())


def sell_complements(company: Company, found_by_neighbours: bool) -> None:
    """Six groups of twenty buy a tool, half of each its part; the rest buy a part in the sixty days judged.

    It is the part of their own tool, or of the next group's, as asked.
    """
    for group in range(6):
        for number in range(20):
            customer = f"{group}/{number}"
            for days in (200, 150):
                company.order(customer, days_ago(days - number), (f"TOOL {group}", 1, 80))
            if number < 10:
                company.order(customer, days_ago(120), (f"PART {group}", 5, 4))
            else:
                bought = group if found_by_neighbours else (group + 1) % 6
                company.order(customer, days_ago(20), (f"PART {bought}", 5, 4))


def test_cross_sell_wins_where_neighbours_tell_what_is_bought_next(
    database: Database, company: Company, fit_it: Fit
) -> None:
    sell_complements(company, found_by_neighbours=True)
    grade = cross_sell(fit_it())
    assert (grade.passes, grade.judged, grade.hits) == (True, 60, 60)
    assert grade.popular_hits < grade.hits
    ((kept,),) = learnt(database, "SELECT grade FROM model_run WHERE id = :run")
    assert kept["passes"] is True
    assert kept["precision_at_3"] == pytest.approx(1 / 3)


def test_cross_sell_does_not_win_where_they_do_not(company: Company, fit_it: Fit) -> None:
    sell_complements(company, found_by_neighbours=False)
    grade = cross_sell(fit_it())
    assert (grade.passes, grade.hits) == (False, 0)


def test_a_reader_of_the_run_before_still_finds_its_rows(
    database: Database, company: Company, fit_it: Fit
) -> None:
    sell_drills(company)
    runs = [fit_it().models["neighbours"].run_id for _ in range(3)]
    with database.transaction() as connection:
        kept = connection.execute(
            text("SELECT DISTINCT model_run_id FROM item_neighbour ORDER BY 1")
        ).scalars()
        assert list(kept) == runs[1:]


def test_a_model_that_fails_stops_no_other_and_leaves_its_last_run_in_use(
    database: Database, company: Company, fit_it: Fit
) -> None:
    sell_drills(company)
    fit_it()
    before = everything(database)
    company.order("drill 20", days_ago(1), ("BIT", 99, 1))
    refusing = "ALTER TABLE inferred_break ADD CONSTRAINT refused CHECK (false) NOT VALID"
    for number in range(6):
        company.order(f"small {number}", days_ago(30), ("MAT", 2, 7.95))
        company.order(f"large {number}", days_ago(30), ("MAT", 10, 6.75))
    company.connection.execute(text(refusing))
    with pytest.raises(ModelsFailed, match=r"inferred_breaks: .*refused") as failure:
        fit_it()
    assert set(failure.value.report.models) == set(MODELS.values()) - {"inferred_breaks"}
    after = everything(database)
    assert after["breaks"] == before["breaks"]
    assert after["items"] != before["items"]
    states = "SELECT state FROM model_run WHERE model = 'inferred_breaks' ORDER BY id"
    with database.transaction() as connection:
        assert list(connection.execute(text(states)).scalars()) == ["current", "rejected"]


def test_a_run_that_does_not_pass_is_rejected_while_one_that_did_is_fresh(
    database: Database, company: Company, fit_it: Fit
) -> None:
    sell_complements(company, found_by_neighbours=True)
    first = fit_it().models["neighbours"]
    company.connection.execute(text("DELETE FROM order_line WHERE title LIKE 'PART%'"))
    second = fit_it().models["neighbours"]
    assert (first.state, second.state) == ("current", "rejected")
    with database.transaction() as connection:
        current = "SELECT id FROM model_run WHERE state = 'current' AND model = 'neighbours'"
        assert connection.execute(text(current)).scalar_one() == first.run_id


def test_a_derived_table_is_made_from_what_its_model_writes(
    database: Database, company: Company, fit_it: Fit
) -> None:
    """A table of an older version of the model, with other columns, is made anew."""
    sell_drills(company)
    company.connection.execute(
        text("CREATE TABLE inferred_break (model_run_id bigint, product_id bigint, p50 float8)")
    )
    fit_it()
    columns = (
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'inferred_break' ORDER BY 1"
    )
    with database.transaction() as connection:
        found = list(connection.execute(text(columns)).scalars())
    assert found == [
        "buyers",
        "channel",
        "currency",
        "min_quantity",
        "model_run_id",
        "product_id",
        "unit_price",
        "usual_price",
    ]


def test_a_fit_as_of_a_past_day_does_not_become_current(
    database: Database, company: Company, fit_it: Fit, database_url: str
) -> None:
    sell_drills(company)
    now = fit_it().models["item_facts"]
    past = fit(database_url, AS_OF - timedelta(days=10), names={"item_facts"}).models["item_facts"]
    assert (now.state, past.state) == ("current", "superseded")
    assert learnt(database, LEARNT["items"])


@pytest.mark.parametrize(
    ("days_later", "kept"),
    [
        pytest.param([1], [True, True], id="an order may still come that is older than the newest run"),
        pytest.param([1, 7], [False, True, True], id="no order comes so late: the next run serves them all"),
        pytest.param([9], [True, True], id="the run before the newest, however old it is"),
    ],
)
def test_superseded_runs_keep_their_rows_for_late_orders(
    database: Database, company: Company, database_url: str, days_later: list[int], kept: list[bool]
) -> None:
    sell_drills(company)
    company.connection.commit()
    runs = []
    for days in [0, *days_later, days_later[-1] + 0.01]:
        report = fit(database_url, AS_OF + timedelta(days=days), names={"item_facts"})
        runs.append(report.models["item_facts"].run_id)
    with database.transaction() as connection:
        held = set(connection.execute(text("SELECT model_run_id FROM item_fact")).scalars())
    assert [run in held for run in runs[:-1]] == kept
