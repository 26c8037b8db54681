"""Journey: the sample company comes in through the doors, its last day is played, and what was planted is found.

That evening the kinds that look at days are asked too, last of all: what they find is decided like the rest.
"""

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient

from deploy.company import NOUNS
from deploy.sample import SampleFiles, generate
from services.alerts import jobs as alerts
from services.cli import Context, main
from services.ingest.app import create_app
from shared import tasks
from shared.clock import real_now
from shared.db import Database
from shared.drainer import Drainer
from shared.metrics import Metrics
from shared.settings import Settings
from shared.signing import new_secret, signed_order
from tests import databases, mail_sink
from tests.alert_rows import rows, settings
from tests.conftest import Servers
from tests.scoring_orders import handlers_here

TODAY = date(2026, 11, 20)
CLOSE_OF_BUSINESS = datetime(2026, 11, 19, 22, tzinfo=UTC)
# The kinds that look at orders, each planted in the truth file by its name.
KINDS = ("cross_sell", "up_sell", "below_floor", "price_error", "basket_gap")
DAY_KINDS = (
    "going_quiet", "spend_drop", "stopped_item", "stopped_category", "margin_erosion", "discount_outlier",
    "cost_not_passed_on", "reorder_due", "half_usual",
)  # fmt: skip
RECALL = 0.9
SECRET = new_secret()
Truth = dict[str, Any]


class Company:
    """An installation in this process that has lived through the sample company's last day."""

    def __init__(self, database: Database, told: Settings, files: SampleFiles) -> None:
        self.database = database
        self.settings = told
        self.files = files
        self.now = CLOSE_OF_BUSINESS
        planted: list[Truth] = json.loads(files.truth.read_text("utf-8"))
        self.truths = [each for each in planted if each["on_last_day"]]
        self.of_days = [each for each in planted if each["kind"] in DAY_KINDS]
        self._metrics = Metrics("all", "test")
        self._drainers = [
            Drainer(
                database,
                handlers(database, told, self.clock, self._metrics, lambda _queue: None),
                self._metrics.count,
            )
            for handlers in (handlers_here, alerts.handlers)
        ]
        self._hook = self._door()
        self.answers: list[tuple[int, str]] = []

    def clock(self) -> datetime:
        """The business clock."""
        return self.now

    def _door(self) -> FlaskClient:
        app = create_app(
            self.settings,
            self.database,
            lambda _queue: None,
            self.clock,
            Metrics("ingest", "test"),
            bind=("127.0.0.1", 8001),
        )
        return app.test_client()

    def play(self, orders: list[str]) -> None:
        """Post each order as a signed webhook, and let the workers finish it before the next."""
        for number, line in enumerate(orders):
            message = f"msg_{self.now:%m%d}_{number}"
            body, headers = signed_order(json.loads(line), message, real_now(), SECRET)
            answer = self._hook.post("/hooks/standard", data=body, headers=headers)
            self.answers.append((answer.status_code, answer.get_json().get("status", "")))
            for each in self._drainers:
                each.drain(seconds=30)

    def look(self) -> None:
        """Ask the kinds that look at days, and decide what they find."""
        with self.database.transaction() as connection:
            keys = [f"{self.now.date()}:{kind}" for kind in DAY_KINDS]
            tasks.put(connection, "scoring", "evaluate", keys)
        self.drain()

    def drain(self) -> None:
        """Let the workers finish what is due."""
        for each in self._drainers:
            each.drain(seconds=300)

    def rows(self, question: str, **given: Any) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        return [tuple(row) for row in rows(self.database, question, **given)]

    def planted(self, *expected: str) -> list[Truth]:
        """What was planted in the last day that expects this."""
        return [each for each in self.truths if each["expect"] in expected]

    def found_in(self, order: str) -> list[tuple[str, str | None]]:
        """The kinds of signals in an order that stand, each with the product it is about."""
        return self.rows(
            "SELECT signal.kind, product_ref.external_id FROM signal"
            " JOIN sales_order ON sales_order.id = signal.order_id"
            " LEFT JOIN product_ref ON product_ref.product_id = signal.product_id"
            " WHERE sales_order.external_id = :order AND signal.withdrawn_at IS NULL",
            order=order,
        )

    def sent_about(self, order: str) -> int:
        """How many messages about an order left the house."""
        found = self.rows(
            "SELECT count(*) FROM delivery JOIN delivery_item ON delivery_item.delivery_id = delivery.id"
            " JOIN alert ON alert.id = delivery_item.alert_id"
            " JOIN sales_order ON sales_order.id = alert.order_id"
            " WHERE sales_order.external_id = :order AND delivery.state = 'sent'",
            order=order,
        )
        return int(found[0][0])


@dataclass(frozen=True)
class Played:
    """The company after its last day, and the mails its reps got."""

    company: Company
    mails: list[Any]


@pytest.fixture(scope="module")
def files() -> Iterator[SampleFiles]:
    """The sample company's files."""
    folder = Path(tempfile.mkdtemp(prefix="tipoff-company-"))
    yield generate(folder, TODAY, seed=7)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def played(servers: Servers, files: SampleFiles, worker_number: int) -> Iterator[Played]:
    """The history imported, the models fitted, the last day posted, everything delivered."""
    url = databases.create(servers.database_url, f"tipoff_sample_company_{worker_number}").url
    with mail_sink.running() as sink:
        told = settings(
            database_url=url,
            smtp_url=sink.url,
            base_currency="EUR",
            business_time=CLOSE_OF_BUSINESS,
            group_wait=timedelta(0),
            group_interval=timedelta(0),
            hook_secrets={"standard": (SECRET,)},
        )
        context = Context()
        context.settings = told
        for noun in NOUNS:
            path = getattr(files, noun.replace("-", "_"))
            tipoff(context, "import", noun, str(path), "--rejects", str(path.with_suffix(".rejects.csv")))
        tipoff(context, "fit")
        company = Company(context.database, told, files)
        company.play(files.last_day.read_text("utf-8").splitlines())
        yield Played(company, sink.mails)
        context.database.close()


def tipoff(context: Context, *command: str) -> None:
    """Run a command of the command line."""
    result = CliRunner().invoke(main, command, obj=context)
    assert result.exit_code == 0, f"{' '.join(command)}: {result.output}"


@pytest.fixture
def company(played: Played) -> Company:
    return played.company


def test_every_report_of_the_day_is_taken_and_one_is_a_repeat(company: Company) -> None:
    assert {status for status, _ in company.answers} == {200, 202}
    assert [said for _, said in company.answers].count("duplicate") == 1
    assert company.rows("SELECT kind, key, error FROM task WHERE state <> 'done'") == []


def test_every_row_of_the_history_comes_in(files: SampleFiles, company: Company) -> None:
    assert company.rows("SELECT count(*) > 20000 FROM sales_order WHERE is_history") == [(True,)]
    assert list(files.orders.parent.glob("*.rejects.csv")) == []


def test_costs_are_known_to_the_fit_that_follows_the_imports(company: Company) -> None:
    assert company.rows("SELECT count(*) FROM item_fact WHERE buyers > 20 AND margin_rate IS NULL") == [(0,)]


@pytest.mark.parametrize("kind", KINDS)
def test_planted_situations_that_merit_a_call_are_found(company: Company, kind: str) -> None:
    planted = [each for each in company.planted(kind) if each["merits_call"]]
    missed = [
        (each["situation"], each["order"], each["subject"])
        for each in planted
        if not any(
            found == kind and each["subject"] in (None, sku) for found, sku in company.found_in(each["order"])
        )
    ]
    assert len(missed) <= (1 - RECALL) * len(planted), missed


@pytest.mark.parametrize("kind", KINDS)
def test_decoys_are_left_alone_by_the_kind_they_look_like(company: Company, kind: str) -> None:
    fallen_for = [
        (each["situation"], each["order"], each["subject"])
        for each in company.truths
        if each["is_decoy"]
        and each["kind"] == kind
        and each["order"] is not None
        and any(
            found == kind and each["subject"] in (None, sku) for found, sku in company.found_in(each["order"])
        )
    ]
    assert fallen_for == []


@pytest.mark.parametrize("kind", ["below_floor", "price_error"])
def test_mistakes_are_spoken_of_only_where_they_were_made(company: Company, kind: str) -> None:
    planted = {each["order"] for each in company.planted(kind)}
    assert {order for (order,) in company.rows(ORDERS_WITH, kind=kind)} <= planted


def test_a_break_that_would_cost_money_is_not_offered(company: Company) -> None:
    for each in company.planted("quiet"):
        if each["situation"] == "break_would_cost_money":
            assert ("up_sell", each["subject"]) not in company.found_in(each["order"])


def test_quiet_customers_get_no_call(company: Company) -> None:
    quiet = [each for each in company.planted("quiet") if not each["is_decoy"]]
    called = [(each["situation"], each["order"]) for each in quiet if company.sent_about(each["order"])]
    assert [(*each, company.found_in(each[1])) for each in called] == []


def test_orders_that_must_not_speak_say_why_and_say_nothing(company: Company) -> None:
    odd = {
        "blocked_customer": "a blocked customer",
        "sample_order": "a sample",
        "test_order": "a test order",
        "internal_order": "an internal customer",
        "return": "a return",
        "guest": "a guest",
        "cancelled": "a cancelled order",
    }
    reasons: dict[str, str] = dict(
        company.rows(
            "SELECT sales_order.external_id, skip_reason.reason FROM skip_reason"
            " JOIN sales_order ON sales_order.id = skip_reason.order_id"
        )
    )
    planted = {each["situation"]: each["order"] for each in company.truths if each["situation"] in odd}
    assert set(planted) == set(odd)
    for situation, order in planted.items():
        assert reasons[order] == odd[situation]
        assert company.found_in(order) == []


def test_history_says_nothing(company: Company) -> None:
    told = "SELECT count(*) FROM signal JOIN sales_order ON sales_order.id = order_id WHERE is_history"
    assert company.rows(told) == [(0,)]


def test_what_was_said_of_a_cancelled_order_is_taken_back(company: Company) -> None:
    (truth,) = company.planted("withdrawn")
    standing = company.rows(
        "SELECT alert.state, alert.amended_at IS NOT NULL FROM alert JOIN sales_order ON sales_order.id = order_id"
        " WHERE external_id = :order AND verdict = 'notify'",
        order=truth["order"],
    )
    assert company.found_in(truth["order"]) == []
    assert all(state == "withdrawn" or is_marked for state, is_marked in standing)


def test_of_an_edited_order_nothing_is_said_twice(company: Company) -> None:
    (truth,) = company.planted("once")
    assert company.sent_about(truth["order"]) <= 1
    about = company.found_in(truth["order"])
    assert len(about) == len(set(about))


def test_no_rep_gets_more_than_the_budget_and_no_customer_two_offers(company: Company) -> None:
    by_rep = company.rows(
        "SELECT recipient_id, count(*) FROM alert WHERE verdict = 'notify' AND severity <> 'urgent' GROUP BY 1"
    )
    assert by_rep
    assert max(count for _, count in by_rep) <= company.settings.budget_per_rep
    offers = company.rows(
        "SELECT customer_id, business_day FROM alert WHERE verdict = 'notify' AND is_selling"
        " GROUP BY 1, 2 HAVING count(*) > 1"
    )
    assert offers == []


def test_every_signal_has_exactly_one_decision(company: Company) -> None:
    undecided = company.rows(
        "SELECT signal.id, count(decision.signal_id) FROM signal LEFT JOIN decision ON decision.signal_id = signal.id"
        " GROUP BY 1 HAVING count(decision.signal_id) <> 1"
    )
    assert undecided == []
    assert company.rows("SELECT count(*) > 50 FROM signal") == [(True,)]


def test_a_handful_is_sent_and_everything_else_is_kept_with_its_reason(played: Played) -> None:
    ((orders,),) = played.company.rows("SELECT count(*) FROM sales_order WHERE NOT is_history")
    assert 5 <= len(played.mails) <= 0.45 * orders
    assert played.company.rows("SELECT count(*) FROM decision WHERE reason = ''") == [(0,)]


def test_every_message_has_customer_phone_last_orders_money_and_one_question(played: Played) -> None:
    for mail in played.mails:
        body = "\n".join(mail.get_body(("plain",)).get_content().splitlines())
        name, _, phone = body.splitlines()[0].partition(" · ")
        subject = mail["Subject"].replace("\n", "")
        assert len(subject) <= 50
        assert name.split()[0] in subject
        assert phone.startswith("+")
        assert re.search("€[0-9,.]+ margin (to win|at risk)", body)
        (asked,) = [line for line in body.splitlines() if line.startswith("ASK: ")]
        assert asked.count("?") == 1
        orders = body.partition("Last orders\n")[2].partition("\n\n")[0].splitlines()
        assert len([line for line in orders if line.strip()]) == 3
        assert "None" not in body


ORDERS_WITH = (
    "SELECT DISTINCT external_id FROM signal JOIN sales_order ON sales_order.id = order_id"
    " WHERE signal.kind = :kind AND withdrawn_at IS NULL"
)


@pytest.fixture(scope="module")
def found_of_days(played: Played) -> set[tuple[str, str, str | None]]:
    """What was found of days: the kind, the customer, and each item or category it names, or None."""
    played.company.look()
    return set(played.company.rows(FOUND_OF_DAYS))


def _is_found(found: set[tuple[str, str, str | None]], truth: Truth) -> bool:
    return (
        truth["kind"],
        truth["customer"],
        truth["subject"] if truth["kind"] in OF_ITEMS else None,
    ) in found


@pytest.mark.parametrize("kind", DAY_KINDS)
def test_what_is_planted_for_days_and_merits_a_call_is_found(
    company: Company, found_of_days: set[tuple[str, str, str | None]], kind: str
) -> None:
    planted = [each for each in company.of_days if each["expect"] == kind and each["merits_call"]]
    missed = [
        (each["situation"], each["customer"], each["gain"])
        for each in planted
        if not _is_found(found_of_days, each)
    ]
    assert planted
    assert len(planted) - len(missed) >= RECALL * len(planted), missed


@pytest.mark.parametrize("kind", DAY_KINDS)
def test_decoys_of_days_are_left_alone(
    company: Company, found_of_days: set[tuple[str, str, str | None]], kind: str
) -> None:
    decoys = [each for each in company.of_days if each["is_decoy"] and each["kind"] == kind]
    fallen_for = [(each["situation"], each["customer"]) for each in decoys if _is_found(found_of_days, each)]
    assert decoys
    assert fallen_for == []


@pytest.mark.parametrize("kind", ["reorder_due", "half_usual"])
def test_no_message_is_sent_of_a_kind_for_the_inbox(
    company: Company, found_of_days: set[tuple[str, str, str | None]], kind: str
) -> None:
    decided = company.rows(
        "SELECT DISTINCT verdict FROM decision JOIN signal ON signal.id = signal_id WHERE kind = :kind",
        kind=kind,
    )
    assert ("inbox_only",) in decided
    assert ("notify",) not in decided


OF_ITEMS = ("stopped_item", "stopped_category", "reorder_due", "half_usual")
FOUND_OF_DAYS = """
    WITH found AS (
        SELECT kind, customer_id, subject, product_id, detail FROM signal WHERE occasion LIKE 'customer:%'
    ), named AS (
        SELECT kind, customer_id, NULL AS name FROM found
        UNION ALL SELECT kind, customer_id, substr(subject, 10) FROM found WHERE subject LIKE 'category:%'
        UNION ALL SELECT kind, customer_id, product_ref.external_id FROM found JOIN product_ref USING (product_id)
        UNION ALL SELECT kind, customer_id, product_ref.external_id FROM found
        CROSS JOIN jsonb_array_elements(detail->'products') AS listed
        JOIN product_ref ON product_ref.product_id = listed::bigint
    )
    SELECT kind, customer_ref.external_id, name FROM named JOIN customer_ref USING (customer_id)
"""
