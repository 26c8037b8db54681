"""What was agreed with customers and what holds sales back, as detectors see it."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from services.scoring import detect
from services.scoring.engine import open_engine
from services.scoring.facts import OrderFacts
from services.scoring.fit.facts import read_facts
from services.scoring.fit.run import connected
from services.scoring.store import dealings
from shared.db import Database
from tests.scoring_orders import NOW, line, order, score

HEAD, BRANCH, OTHER = 1, 2, 3
DRILL, SAW = 1, 2
DAY = date(2026, 3, 2)

COMPANY = """
INSERT INTO customer (name, segment, parent_id) VALUES ('Head', 'trade', NULL), ('Branch', 'trade', 1),
    ('Other', NULL, NULL);
INSERT INTO product (name, category) VALUES ('Drill', 'Tools'), ('Saw', 'Tools');
"""


def agree(database: Database, price: float, since: date = date(2026, 1, 1), **terms: Any) -> None:
    values: dict[str, Any] = {
        "customer_id": None,
        "segment": None,
        "product_id": None,
        "category": None,
        "currency": "GBP",
        "valid_from": since,
        "valid_to": None,
        "unit_price": price,
    } | terms
    names = ", ".join(values)
    with database.transaction() as connection:
        connection.execute(
            text(
                f"INSERT INTO price_agreement ({names}) VALUES ({', '.join(f':{each}' for each in values)})"
            ),
            values,
        )


@pytest.fixture
def company(database: Database) -> Database:
    with database.transaction() as connection:
        for statement in COMPANY.split(";")[:-1]:
            connection.execute(text(statement))
    return database


def price(
    database: Database,
    customer: int = BRANCH,
    product: int = DRILL,
    currency: str = "GBP",
    day: date = DAY,
) -> Decimal | None:
    key = (customer, product, currency, day)
    with database.transaction() as connection:
        return dealings.load(connection, [key], []).prices.get(key)


def test_the_nearest_agreement_holds(company: Database) -> None:
    """Each one that is nearer takes the place of the one before."""
    assert price(company) is None
    ladder: list[dict[str, Any]] = [
        {"segment": "trade", "category": "Tools"},
        {"segment": "trade", "product_id": DRILL},
        {"customer_id": HEAD, "category": "Tools"},
        {"customer_id": HEAD, "product_id": DRILL},
        {"customer_id": BRANCH, "category": "Tools"},
        {"customer_id": BRANCH, "product_id": DRILL},
    ]
    for nearer, terms in enumerate(ladder, start=1):
        agree(company, nearer, **terms)
        assert price(company) == nearer
    assert [price(company, BRANCH, SAW), price(company, HEAD), price(company, HEAD, SAW)] == [5, 4, 3]
    assert price(company, OTHER) is None


def test_an_agreement_holds_on_its_days_and_in_its_currency(company: Database) -> None:
    agree(company, 5, date(2026, 1, 1), valid_to=DAY, customer_id=BRANCH, product_id=DRILL)
    agree(company, 4, date(2026, 2, 1), valid_to=DAY, customer_id=BRANCH, product_id=DRILL)
    days = [date(2025, 12, 31), date(2026, 1, 1), date(2026, 2, 1), DAY, DAY + timedelta(days=1)]
    assert [price(company, day=day) for day in days] == [None, 5, 4, 4, None]
    assert price(company, currency="EUR") is None


def test_a_batch_is_answered_key_by_key(company: Database) -> None:
    agree(company, 4, segment="trade", product_id=DRILL)
    keys = [(each, DRILL, "GBP", DAY) for each in (HEAD, BRANCH, OTHER)]
    with company.transaction() as connection:
        assert dealings.load(connection, keys, []).prices == dict.fromkeys(keys[:2], Decimal(4))


def test_an_agreement_is_looked_up_by_its_index(company: Database) -> None:
    """Thousands of agreements cost an order no more than a few."""
    with company.transaction() as connection:
        connection.execute(
            text(
                "INSERT INTO product (name, category) SELECT 'Part', 'c' || n FROM generate_series(1, 3000) AS n"
            )
        )
        connection.execute(
            text(
                "INSERT INTO price_agreement (segment, product_id, currency, valid_from, unit_price)"
                " SELECT 'trade', id, 'GBP', '2026-01-01', 1 FROM product"
            )
        )
        connection.execute(text("ANALYZE price_agreement"))
        connection.execute(text("SET LOCAL enable_seqscan = on"))
        asked = {"customers": "{2}", "products": "{1}", "currencies": ["GBP"], "days": [DAY]}
        plan = connection.scalars(text(f"EXPLAIN {dealings._PRICES.text}"), asked).all()
    scans = [each for each in plan if "on price_agreement agreement" in each]
    assert len(scans) == 4
    assert all("uq_price_agreement_terms" in each for each in scans), "\n".join(plan)


def test_a_hold_is_open_on_its_days(company: Database) -> None:
    with company.transaction() as connection:
        connection.execute(
            text(
                "INSERT INTO hold (customer_id, kind, valid_from, valid_to) VALUES"
                " (2, 'complaint', '2026-03-01', '2026-03-02'), (2, 'credit_hold', '2026-03-02', NULL)"
            )
        )
        days = [(BRANCH, date(2026, 3, day)) for day in range(4)[1:]] + [(HEAD, DAY)]
        assert dealings.load(connection, [], days).holds == {
            days[0]: {"complaint"},
            days[1]: {"complaint", "credit_hold"},
            days[2]: {"credit_hold"},
        }


def test_detectors_see_what_was_agreed_and_what_is_held(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    score(database, order("first", line("DRILL"), line("SAW"), days_ago=30))
    agree(database, 4.5, customer_id=1, product_id=1)
    with database.transaction() as connection:
        connection.execute(
            text("INSERT INTO hold (customer_id, kind, valid_from) VALUES (1, 'complaint', :day)"),
            {"day": NOW.date()},
        )
    seen: list[OrderFacts] = []
    original = detect.detect

    def spy(kinds: detect.Kinds, facts: OrderFacts) -> Any:
        seen.append(facts)
        return original(kinds, facts)

    monkeypatch.setattr(detect, "detect", spy)
    score(database, order("now", line("DRILL"), line("SAW")))
    (facts,) = seen
    assert [each.agreed_price for each in facts.lines] == [Decimal("4.5"), None]
    assert facts.customer.holds == {"complaint"}


def test_days_of_holds_rates_and_costs_are_those_of_the_company(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One in the morning of the second in UTC is the evening of the first in New York."""
    evening = datetime(2026, 3, 2, 1, tzinfo=UTC)
    score(database, order("first", days_ago=30), time_zone="America/New_York")
    with database.transaction() as connection:
        for statement in (
            "INSERT INTO hold VALUES (1, 'complaint', '2026-03-01', 'a', '2026-03-01')",
            "INSERT INTO fx_rate VALUES ('EUR', '2026-03-01', 0.8), ('EUR', '2026-03-02', 0.9)",
            "INSERT INTO product_cost VALUES (1, '2026-03-01', 2, 'GBP'), (1, '2026-03-02', 3, 'GBP')",
            "INSERT INTO import_run (entity, source, file, finished_at) VALUES ('costs', '', '', now())",
        ):
            connection.exec_driver_sql(statement)
    agree(database, 4, customer_id=1, product_id=1, currency="EUR", valid_to=date(2026, 3, 1))
    seen: list[OrderFacts] = []

    def spy(_kinds: detect.Kinds, facts: OrderFacts) -> detect.Found:
        seen.append(facts)
        return detect.NOTHING_FOUND

    monkeypatch.setattr(detect, "detect", spy)
    score(
        database, order("now", ordered_at=evening, currency="EUR"), now=evening, time_zone="America/New_York"
    )
    (facts,) = seen
    (line_seen,) = facts.lines
    assert facts.today == date(2026, 3, 1)
    assert facts.customer.holds == {"complaint"}
    assert facts.rate == Decimal("0.8")
    assert line_seen.base_unit_cost == Decimal(2)
    assert line_seen.agreed_price == Decimal(4)


def test_the_night_knows_which_of_the_bought_has_an_agreed_price(
    database: Database, database_url: str
) -> None:
    """By the customer, its head office or its segment; for the product or its category; each pair with its days."""
    score(
        database,
        order("head", line("DRILL"), line("SAW"), days_ago=30, customer="1 head"),
        order("branch", line("DRILL"), line("SAW"), days_ago=29, customer="2 branch"),
        order("other", line("DRILL"), line("SAW"), days_ago=28, customer="3 other"),
    )

    def agreed() -> Any:
        with open_engine(threads=1, memory="200MB") as engine, connected(database_url) as connection:
            agreements = read_facts(engine, connection, NOW).agreements
            if agreements is None:
                return None
            rows = engine.rows(agreements)
            return sorted((each["customer_id"], each["product_id"], each["valid_to"]) for each in rows)

    assert agreed() is None
    with database.transaction() as connection:
        connection.execute(text("UPDATE customer SET parent_id = 1 WHERE id = 2"))
        connection.execute(text("UPDATE customer SET segment = 'trade' WHERE id = 3"))
        connection.execute(text("UPDATE product SET category = 'Tools'"))
    agree(database, 4, customer_id=HEAD, product_id=DRILL, valid_to=DAY)
    assert agreed() == [(HEAD, DRILL, DAY), (BRANCH, DRILL, DAY)]
    agree(database, 4, segment="trade", category="Tools", valid_to=DAY)
    assert agreed()[2:] == [(OTHER, DRILL, DAY), (OTHER, SAW, DAY)]
