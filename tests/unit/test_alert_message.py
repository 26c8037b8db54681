"""The mail says what, why, how much and what to do, in text that stands alone."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from email import message_from_bytes, policy
from uuid import UUID

import pytest

from services.alerts import message
from services.alerts.channel import AlertView, OutboundMessage, PastOrder, Point, Product
from services.alerts.channels.email import address_of, compose, relay_of
from services.alerts.payload import payload
from services.alerts.policy import Reason

POINT = Point(
    kind="cross_sell",
    headline="Buys drills, never drill bits",
    question="Who supplies your drill bits?",
    probability=0.05,
    is_measured=True,
    stake=Decimal("25.00"),
    value=Decimal("1.25"),
    low=Decimal("0.40"),
    high=Decimal("3.10"),
    horizon_days=90,
    evidence=(("Bought together", "31 of 40 accounts that buy one buy both"),),
    verdict="notify",
    reason="first_time",
)
VIEW = AlertView(
    public_id=UUID(int=5),
    occasion="order:1",
    customer_id=12,
    customer_ref="17841",
    customer_name="Acme Tools",
    phone="+44 20 7946 0018",
    city="Leeds",
    about_rep_id=None,
    about_rep_name=None,
    about_rep_ref=None,
    rep_name="Ruth",
    rep_ref="17",
    rep_email="ruth@example.com",
    time_zone="Europe/London",
    is_default_owner=False,
    verdict="notify",
    reason="first_time",
    state="open",
    value=Decimal("1.25"),
    currency="GBP",
    as_of=datetime(2011, 2, 28, 10, tzinfo=UTC),
    created_at=datetime(2011, 2, 28, 12, tzinfo=UTC),
    severity="normal",
    order_number="545220",
    order_ref="545220",
    order_source="standard",
    points=(POINT,),
    orders=(
        PastOrder(
            "545220", datetime(2011, 2, 28, 10, tzinfo=UTC), Decimal("1041.50"), "GBP", 12, is_this_one=True
        ),
        PastOrder("541004", datetime(2011, 1, 12, 9, tzinfo=UTC), Decimal(88), "EUR", 1),
    ),
    sequence=3,
)
LINK = "https://tipoff.example.com/a/token"


def outbound(*alerts: tuple[AlertView, str]) -> OutboundMessage:
    """A message about these alerts."""
    return OutboundMessage(UUID(int=9), "https://crm.example.com/", alerts, datetime(2011, 3, 1, tzinfo=UTC))


GOLDEN = """\
Acme Tools · +44 20 7946 0018

ASK: Who supplies your drill bits?

1. Buys drills, never drill bits
   £25 margin to win over 90 days
   - Bought together: 31 of 40 accounts that buy one buy both

Last orders
  Mon 28 Feb 2011  545220  £1,041.50, 12 lines (this order)
  Wed 12 Jan 2011  541004  €88.00, 1 line

Done, not now, or not useful? Say so here (opens this alert only):
https://tipoff.example.com/a/token

You see this because it is the first time we tell you this about the customer.
Written by Tipoff for Ruth.
"""


def outbound_of(view: AlertView, recipient: str = "ruth@example.com") -> OutboundMessage:
    return OutboundMessage(
        delivery_id=UUID(int=9),
        recipient=recipient,
        alerts=((view, LINK),),
        now=datetime(2026, 1, 1, tzinfo=UTC),
    )


def test_the_text_stands_alone() -> None:
    assert message.write([(VIEW, LINK)]).plain.strip() == GOLDEN.strip()


def test_the_subject_says_who_and_the_fact() -> None:
    assert message.subject(VIEW) == "Acme Tools: Buys drills, never drill bits"


def test_the_subject_says_that_it_is_urgent() -> None:
    assert message.subject(replace(VIEW, severity="urgent")).startswith("Now: Acme Tools: ")


@pytest.mark.parametrize(
    ("customer", "headline", "subject"),
    [
        pytest.param(
            "Brightwater",
            "No order for 61 days, usually 22",
            "Brightwater: No order for 61 days, usually 22",
            id="as it is",
        ),
        pytest.param(
            "Hale and Sons Building Supplies",
            "Through bolt box of 50 M10 x 90 £187.00, usually £258.00",
            "Hale and Sons…: Through… £187.00, usually £258.00",
            id="cut in the middle: the figures stand at the end",
        ),
        pytest.param(
            "Customer 17389",
            "No hanging heart zinc t-light holder for 61 days, usually 22",
            "Customer 17389: No hangin… for 61 days, usually 22",
            id="half a word rather than none",
        ),
        pytest.param("A" * 90, "many words " * 30, "A" * 0, id="all too long"),
    ],
)
def test_the_subject_fits_a_phone(customer: str, headline: str, subject: str) -> None:
    made = message.subject(replace(VIEW, customer_name=customer, points=(replace(POINT, headline=headline),)))

    assert len(made) <= 50
    assert made == subject or not subject


def test_what_is_only_owed_to_the_customer_names_no_money() -> None:
    owed = replace(VIEW, points=(replace(POINT, stake=Decimal(0)),))
    assert "nothing to win: the customer should hear of it" in message.write([(owed, LINK)]).plain


def test_the_one_question_is_about_goods_where_a_point_names_any() -> None:
    size = replace(POINT, headline="Orders £320", question="What do you buy elsewhere?")
    offer = replace(POINT, product=Product("D-1", "Drill"))

    assert (
        "ASK: Who supplies your drill bits?"
        in message.write([(replace(VIEW, points=(size, offer)), LINK)]).plain
    )
    assert "ASK: What do you buy elsewhere?" in message.write([(replace(VIEW, points=(size,)), LINK)]).plain


@pytest.mark.parametrize(
    ("point", "written"),
    [
        pytest.param(POINT, "£25 margin to win over 90 days", id="a sale to win"),
        pytest.param(
            replace(POINT, is_selling=False, horizon_days=1),
            "£25 margin at risk on this order",
            id="a mistake on an order",
        ),
        pytest.param(
            replace(POINT, assumed_margin=True),
            "£25 margin to win (estimated) over 90 days",
            id="no cost known",
        ),
    ],
)
def test_the_margin_is_written_with_its_period_and_called_estimated_where_it_is(
    point: Point, written: str
) -> None:
    mail = message.write([(replace(VIEW, points=(point,)), LINK)])

    assert f"   {written}\n" in mail.plain
    assert written in mail.html


@pytest.mark.parametrize("word", ["odds", "stake", "episode", "signal", "prior", " time in "])
def test_a_mail_is_written_in_the_words_of_the_trade(word: str) -> None:
    both = [(replace(VIEW, reason=reason.value, points=(POINT,)), LINK) for reason in Reason]

    for each in both:
        mail = message.write([each])
        assert word not in mail.plain.lower()
        assert word not in mail.html.lower()


def test_a_customer_nobody_owns_is_said_to_be_so() -> None:
    text = message.write([(replace(VIEW, is_default_owner=True), LINK)])

    assert "Nobody owns this customer" in text.plain
    assert "Nobody owns this customer" in text.html


def test_what_comes_from_orders_is_escaped() -> None:
    hostile = replace(VIEW, customer_name='<script>alert("1")</script>')

    html = message.write([(hostile, LINK)]).html

    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_a_line_break_in_a_name_makes_no_header() -> None:
    hostile = replace(VIEW, customer_name="Acme\r\nBcc: everyone@example.com")

    mail = message_from_bytes(
        compose(outbound_of(hostile), "Tipoff <t@example.com>").as_bytes(), policy=policy.default
    )

    assert mail["Bcc"] is None


def test_the_mail_is_small_threaded_and_the_same_on_every_try() -> None:
    many = replace(VIEW, points=(replace(POINT, evidence=POINT.evidence * 8),) * 3)
    mail = compose(outbound_of(many), "Tipoff <tipoff@example.com>")

    html = mail.get_body(("html",))
    assert html is not None
    assert len(html.get_content().encode()) < 102_000
    assert mail["Message-ID"] == f"<{UUID(int=9)}@example.com>"
    assert mail["References"] == compose(outbound_of(VIEW), "Tipoff <tipoff@example.com>")["References"]
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["List-Id"] == "Tipoff alerts <alerts.example.com>"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("a@example.com, b@example.com", id="two recipients"),
        pytest.param("a@example.com\nBcc: b@example.com", id="a header"),
        pytest.param("a@example.com\x00", id="a NUL"),
        pytest.param("Ruth <a@example.com>", id="a name"),
        pytest.param("a", id="no domain"),
        pytest.param("", id="nothing"),
        pytest.param("a" * 300 + "@example.com", id="one too long"),
    ],
)
def test_an_address_is_exactly_one(address: str) -> None:
    with pytest.raises(ValueError, match="not one mail address"):
        address_of(address)


def test_tls_is_required_unless_the_relay_says_otherwise() -> None:
    assert relay_of("smtp://u:p%40@mail.example.com").starttls == "required"
    assert relay_of("smtp://u:p%40@mail.example.com").password == "p@"
    assert relay_of("smtp://localhost:2525?starttls=never").starttls == "never"
    assert relay_of("smtps://mail.example.com").is_tls
    with pytest.raises(ValueError, match="smtp_url"):
        relay_of("http://mail.example.com")
    assert "p@" not in repr(relay_of("smtp://u:p%40@mail.example.com"))


def test_the_payload_names_order_alert_and_customer_and_writes_money_as_text() -> None:
    about_drills = replace(VIEW, points=(replace(POINT, product=Product("D-1", "Drill")),))
    data = payload(outbound((about_drills, LINK)))["data"]

    assert data["order"] == {"id": "545220", "source": "standard", "number": "545220"}
    assert data["alert"]["id"] == str(UUID(int=5))
    assert (data["subject"], data["sequence"]) == ("customer/17841", 3)
    assert data["points"][0]["stake"] == {"amount": "25.00", "currency": "GBP"}
    assert data["rep"] == {"id": "17", "name": "Ruth", "email": "ruth@example.com"}
    assert data["points"][0]["product"] == {"sku": "D-1", "name": "Drill"}
    assert data["occurred_at"] == "2011-02-28T10:00:00+00:00"


def test_several_alerts_are_one_mail_and_one_event_each_with_its_link() -> None:
    other = replace(VIEW, public_id=UUID(int=6), customer_id=13, customer_name="Bolts Ltd", customer_ref="2")
    both = [(VIEW, LINK), (other, f"{LINK}2")]

    mail = message.write(both)
    event = payload(outbound(*both))

    assert mail.subject == "2 to call: Acme Tools first"
    for name, link in (("Acme Tools", LINK), ("Bolts Ltd", f"{LINK}2")):
        assert name in mail.plain
        assert link in mail.plain
        assert name in mail.html
    assert event["type"] == "alerts.raised"
    assert [each["subject"] for each in event["data"]["alerts"]] == ["customer/17841", "customer/2"]
    assert event["data"]["delivery"] == {"id": str(UUID(int=9))}


def test_an_alert_about_a_rep_has_no_customer_and_no_order() -> None:
    about_rep = replace(
        VIEW, customer_id=None, about_rep_id=3, about_rep_name="Ruth", about_rep_ref="ruth", order_ref=None,
        order_number=None, customer_name=None, customer_ref=None,
    )  # fmt: skip

    data = payload(outbound((about_rep, LINK)))["data"]

    assert (data["subject"], data["customer"], data["order"]) == ("rep/ruth", None, None)
    assert message.write([(about_rep, LINK)]).subject.startswith("Ruth: ")
