"""An alert in the words a rep reads: the mail, as text that stands alone and as HTML, and the link to its alert."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from hashlib import sha256
from uuid import UUID
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_datetime
from babel.numbers import format_currency
from itsdangerous import BadSignature, URLSafeTimedSerializer
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from services.alerts.channel import AlertView, OperatorNotice, Point
from services.alerts.policy import Reason

LONGEST_SUBJECT = 50
"""What a phone shows."""
LONGEST_NAME = 20
LONGEST_UNIT = 2
LISTED_WHOLE = 10
LISTED = 60
LISTED_FACTS = 2
"""A list words so many alerts, each with its first facts, gives lines to so many in all, and counts the rest: mail
programs cut long mails."""

SHORTEST_HEAD = 8
"""So much of a headline's beginning stays; the rest of its room goes to its end, where the figures stand."""
NOT_FOR_MAILS = str.maketrans({"\r": " ", "\n": " ", "\x00": None})

LINK_LIFETIME = timedelta(days=14)
LINK_PURPOSE = "tipoff: open one alert"


LOCALE = "en_GB"
PENNIES_MATTER_BELOW = 20

WHY = {
    Reason.FIRST_TIME: "the first time we tell you this about the customer",
    Reason.MUCH_MORE_MONEY: "you were told before, but it is about at least half as much money again",
    Reason.SHADOW_MODE: "Tipoff runs in shadow mode: it decides and shows, and sends nothing",
    Reason.BESIDE_A_MISTAKE: "a message about an error on an order carries no offers",
    Reason.NOT_IN_TOP_THREE: "a message holds the three points worth most",
    Reason.OVER_CUSTOMER_LIMIT: "one selling message per customer and working day is enough",
    Reason.OVER_KIND_LIMIT: "you were told of the like less than two weeks ago: one call asks about all",
    Reason.OVER_BUDGET: "your messages for the day went to alerts worth more",
    Reason.TOO_WEAK: "too little money is in it to call about it alone",
    Reason.UNPROVEN_MODEL: "this kind of hint has not yet proved itself on your own orders",
    Reason.FOR_THE_INBOX: "hints of this kind are for when you look here, no message is sent of them",
    Reason.AMENDED: "the order was changed after we had told you about it",
    Reason.WITHIN_REPEAT_INTERVAL: "you were told before, and nothing much has changed",
    Reason.NOTIFIED_BY_STRONGER_SIGNAL: "a stronger hint says the same",
    Reason.HELD_OUT: "left alone on purpose, to measure what calls earn",
    Reason.DISMISSED_BY_REP: "you dismissed it",
    Reason.SNOOZED_BY_REP: "you put it off",
    Reason.CUSTOMER_NOT_CONTACTABLE: "the customer is blocked, closed or internal",
    Reason.OPEN_COMPLAINT: "the customer has a complaint that is not settled",
    Reason.CREDIT_HOLD: "the customer is on credit hold",
    Reason.ON_HOLD: "nothing is to be sold to the customer for now",
    Reason.INHIBITED: "a graver question about the customer is open",
    Reason.EXPIRED: "it came too late to act on",
    Reason.SUPERSEDED: "a newer version of the order was looked at instead",
    Reason.WITHDRAWN: "the order was changed, and it no longer holds",
}
"""Each reason as it completes "because ..."."""


@dataclass(frozen=True, slots=True)
class RenderedMessage:
    """A message rendered for reading. `thread` is the same for everything about one customer."""

    subject: str
    plain: str
    html: str
    thread: str


def templates_of(package: str, **given: object) -> Environment:
    """The templates of a package; HTML is escaped, a missing value is an error."""
    environment = Environment(
        loader=PackageLoader(package, "templates"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(words=WORDS, **given)
    return environment


@cache
def _templates() -> Environment:
    return templates_of("services.alerts", headline=subject)


def write(shown: Sequence[tuple[AlertView, str]]) -> RenderedMessage:
    """Return the mail about one alert, or the list of several, each with the link that opens it."""
    first, link = shown[0]
    if len(shown) > 1:
        title = list_title([view for view, _ in shown])
        template, about = "list", f"list of {first.rep_name}"
    else:
        title, template, about = subject(first), "mail", first.about
    values = {
        "view": first,
        "link": link,
        "subject": title,
        "title": title,
        "whole": shown[:LISTED_WHOLE],
        "short": shown[LISTED_WHOLE:LISTED],
        "facts": LISTED_FACTS,
        "left_out": max(len(shown) - LISTED, 0),
    }
    # What mails about the same customer share: "customer-5d3a..."
    thread = about.partition("/")[0].replace(" ", "-") + "-" + sha256(about.encode()).hexdigest()[:24]
    return RenderedMessage(
        subject=title,
        plain=_templates().get_template(f"{template}.txt").render(values),
        html=_templates().get_template(f"{template}.html").render(values),
        thread=thread,
    )


def list_title(shown: Sequence[AlertView]) -> str:
    """How many there are to put right and to call, and who is first: "3 to fix, 5 to call: Brightwater first"."""
    to_fix = sum(view.is_fix for view in shown)
    counted = [
        f"{number} to {what}" for number, what in ((to_fix, "fix"), (len(shown) - to_fix, "call")) if number
    ]
    start = f"{', '.join(counted)}: "
    causes = {(view.best.kind, view.best.product) for view in shown}
    if len(causes) == 1 and shown[0].best.product is not None and shown[0].best.product.name is not None:
        return (start + shortened(shown[0].best.product.name, LONGEST_SUBJECT - len(start))).translate(
            NOT_FOR_MAILS
        )
    room = LONGEST_SUBJECT - len(start) - len(" first")
    return f"{start}{shortened(shown[0].customer, max(LONGEST_NAME, room))} first".translate(NOT_FOR_MAILS)


def write_notice(notice: OperatorNotice) -> RenderedMessage:
    """Return the mail that tells an operator what goes wrong with deliveries."""
    values = {"notice": notice}
    return RenderedMessage(
        subject=notice.subject,
        plain=notice.text,
        html=_templates().get_template("notice.html").render(values),
        thread="operators",
    )


def subject(view: AlertView) -> str:
    """Who: fact, usual: what a phone shows at seven in the morning. The money stands in the message."""
    urgent = "Now: " if view.is_urgent else ""
    headline = view.best.headline
    room = LONGEST_SUBJECT - len(urgent) - 2
    name = shortened(view.customer, max(LONGEST_NAME, room - len(headline)))
    return f"{urgent}{name}: {squeezed(headline, room - len(name))}".translate(NOT_FOR_MAILS)


def squeezed(text: str, longest: int) -> str:
    """Cut in the middle, at words: the end holds the figures."""
    if len(text) <= longest:
        return text
    head, tail = text.split(" "), list[str]()
    while head and len(" ".join([head[-1], *tail])) <= longest - SHORTEST_HEAD - 1:
        tail.insert(0, head.pop())
    while tail and tail[0].isalpha() and len(tail[0]) <= LONGEST_UNIT:
        head.append(tail.pop(0))  # the "mm" of a name, cut from its number
    end, begin = " ".join(tail), " ".join(head)
    room = longest - len(end) - 1
    kept = shortened(begin, room)
    if kept != begin and len(kept) < SHORTEST_HEAD:  # "No…" names nothing: rather half a word
        kept = begin[: room - 1].rstrip(" ,;:-") + "…"
    return f"{kept} {end}".strip()


def shortened(text: str, longest: int) -> str:
    """Cut at a word, with an ellipsis."""
    if len(text) <= longest:
        return text
    kept = text[: longest - 1]
    if text[longest - 1] != " ":
        kept = kept.rsplit(" ", 1)[0]
    return kept.rstrip(" ,;:-") + "…"


def why(reason: str) -> str:
    """Return a stored reason in words; one we no longer know is shown as it is."""
    known = {each.value: in_words for each, in_words in WHY.items()}
    return known.get(reason, reason.replace("_", " "))


def money(amount: Decimal, currency: str) -> str:
    """A short amount for reading: pence only where they matter."""
    if abs(amount) >= PENNIES_MATTER_BELOW or amount == amount.to_integral_value():
        return format_currency(amount, currency, format="¤#,##0", locale=LOCALE, currency_digits=False)
    return exact_money(amount, currency)


def exact_money(amount: Decimal, currency: str) -> str:
    """An amount as on an invoice."""
    return format_currency(amount, currency, locale=LOCALE)


def margin(point: Point, currency: str) -> str:
    """The margin to win by an offer, else at risk; "estimated" where no cost is known."""
    estimated = " (estimated)" if point.assumed_margin else ""
    return f"{money(point.stake, currency)} margin {'to win' if point.is_selling else 'at risk'}{estimated}"


def margin_with_period(point: Point, currency: str) -> str:
    """The same with the time it is expected over; of what is only owed to the customer, that."""
    if not point.stake:
        return "nothing to win: the customer should hear of it"
    return f"{margin(point, currency)} {horizon(point.horizon_days)}"


def day(moment: datetime, time_zone: str) -> str:
    """A date with its weekday: "Mon 28 Feb 2011"."""
    return format_date(moment.astimezone(ZoneInfo(time_zone)), "EEE d MMM yyyy", locale=LOCALE)


def short_day(moment: datetime, time_zone: str) -> str:
    """A date of these weeks: "Mon 28 Feb"."""
    return format_date(moment.astimezone(ZoneInfo(time_zone)), "EEE d MMM", locale=LOCALE)


def moment(at: datetime, time_zone: str) -> str:
    """A date and time of day."""
    return format_datetime(at.astimezone(ZoneInfo(time_zone)), "EEE d MMM, HH:mm", locale=LOCALE)


def horizon(days: int) -> str:
    """The time a value is expected over."""
    if days <= 1:
        return "on this order"
    return f"over {days} days"


WORDS = {
    each.__name__: each
    for each in (why, money, exact_money, margin, margin_with_period, day, short_day, moment, horizon)
}
"""What templates call by these names."""


@cache
def _serializer(secret_key: str) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(secret_key, salt=LINK_PURPOSE)


def token_of(secret_key: str, alert_id: UUID) -> str:
    """Return a token for the alert with this public id."""
    return _serializer(secret_key).dumps(alert_id.hex)


def alert_of(secret_key: str, token: str) -> UUID | None:
    """Return the public id of the alert a token opens; None when it was not made here, or too long ago."""
    try:
        return UUID(_serializer(secret_key).loads(token, max_age=int(LINK_LIFETIME.total_seconds())))
    except (BadSignature, ValueError, TypeError, AttributeError):
        return None


def page_of(public_url: str, alert_id: UUID) -> str:
    """Return the address of an alert's page in the inbox, for those who may open it."""
    return f"{public_url.rstrip('/')}/inbox/{alert_id}"


def link_of(public_url: str, secret_key: str, alert_id: UUID) -> str:
    """Return the address a mail points to."""
    return f"{public_url.rstrip('/')}/a/{token_of(secret_key, alert_id)}"
