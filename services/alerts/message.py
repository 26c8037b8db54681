"""The mail: what, why, how much, what to do. Text that stands alone, and HTML beside it."""

from collections.abc import Sequence
from functools import cache
from hashlib import sha256

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from services.alerts import words
from services.alerts.channel import RenderedMessage
from services.alerts.view import AlertView, Point

LONGEST_NAME = 60
LONGEST_SUBJECT = 150
NOT_FOR_MAILS = str.maketrans({"\r": " ", "\n": " ", "\x00": None})


@cache
def templates() -> Environment:
    """The templates of this package; HTML is escaped, a missing value is an error."""
    environment = Environment(
        loader=PackageLoader("services.alerts", "templates"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["words"] = words
    environment.globals["at_stake"] = at_stake
    environment.globals["odds"] = odds_with_basis
    environment.globals["label"] = label
    environment.globals["headline"] = subject
    return environment


def write(shown: Sequence[tuple[AlertView, str]]) -> RenderedMessage:
    """Return the mail about one alert or several, each with the link that opens it."""
    if len(shown) > 1:
        return _write_list(shown)
    ((view, link),) = shown
    values = {"view": view, "link": link, "subject": subject(view), "ask": view.question}
    return RenderedMessage(
        subject=subject(view),
        plain=templates().get_template("mail.txt").render(values),
        html=templates().get_template("mail.html").render(values),
        thread=_thread(view.about),
    )


def _write_list(shown: Sequence[tuple[AlertView, str]]) -> RenderedMessage:
    first = shown[0][0]
    others = len(shown) - 1
    title = f"{subject(first)} (and {others} more alert{'s' if others > 1 else ''})"
    values = {"shown": shown, "first": first, "subject": title}
    return RenderedMessage(
        subject=title,
        plain=templates().get_template("list.txt").render(values),
        html=templates().get_template("list.html").render(values),
        thread=_thread(f"list of {first.rep_name}"),
    )


def _thread(about: str) -> str:
    """What mails about the same subject share: "customer-5d3a..."."""
    return about.partition("/")[0].replace(" ", "-") + "-" + sha256(about.encode()).hexdigest()[:24]


def subject(view: AlertView) -> str:
    """Customer, what, money and odds, and how much more there is: what a phone shows at seven in the morning."""
    best = view.best
    more = f" (+{len(view.points) - 1} more)" if len(view.points) > 1 else ""
    urgent = "Now: " if view.is_urgent else ""
    name = shortened(view.customer, LONGEST_NAME)
    stakes = f"{words.money(best.stake, view.currency)} at stake, {words.odds(best.probability)}{more}"
    room = LONGEST_SUBJECT - len(urgent) - len(name) - len(stakes) - 4
    headline = shortened(best.headline, max(room, 20))
    return f"{urgent}{name}: {headline}: {stakes}".translate(NOT_FOR_MAILS)


def at_stake(point: Point, currency: str) -> str:
    """The margin if it succeeds, and over which time; "assumed" where no cost is known."""
    kind_of_margin = "margin (assumed)" if point.assumed_margin else "margin"
    return f"{words.money(point.stake, currency)} {kind_of_margin} {words.horizon(point.horizon_days)}"


def odds_with_basis(point: Point) -> str:
    """The odds that it comes true, and whether they were measured on this company's history or assumed."""
    basis = "measured on your own orders" if point.is_measured else "our assumption so far"
    return f"{words.frequency(point.probability)}, {basis}"


def label(kind: str) -> str:
    """A signal kind's name as a word: "cross-sell"."""
    return kind.replace("_", "-") if kind.endswith("sell") else kind.replace("_", " ")


def shortened(text: str, longest: int) -> str:
    """Cut at a word, with an ellipsis."""
    if len(text) <= longest:
        return text
    return text[: longest - 1].rsplit(" ", 1)[0].rstrip(" ,;:-") + "…"
