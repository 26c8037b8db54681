"""The mail: what, why, how much, what to do; text that stands alone, HTML beside it, and the link to its alert."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from hashlib import sha256
from uuid import UUID

from itsdangerous import BadSignature, URLSafeTimedSerializer
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from services.alerts import view as words
from services.alerts.view import AlertView

LONGEST_SUBJECT = 50
"""What a phone shows."""
LONGEST_NAME = 20
LONGEST_UNIT = 2
SHORTEST_HEAD = 8
"""So much of a headline's beginning stays; the rest of its room goes to its end, where the figures stand."""
NOT_FOR_MAILS = str.maketrans({"\r": " ", "\n": " ", "\x00": None})

LINK_LIFETIME = timedelta(days=14)
LINK_PURPOSE = "tipoff: open one alert"


@dataclass(frozen=True, slots=True)
class RenderedMessage:
    """A message rendered for reading. `thread` is the same for everything about one customer."""

    subject: str
    plain: str
    html: str
    thread: str


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
    environment.globals.update(words=words, headline=subject)
    return environment


def write(shown: Sequence[tuple[AlertView, str]]) -> RenderedMessage:
    """Return the mail about one alert or several, each with the link that opens it."""
    first, link = shown[0]
    others = len(shown) - 1
    title, template, about = subject(first), "mail", first.about
    if others:
        title = f"{title} (and {others} more alert{'s' if others > 1 else ''})"
        template, about = "list", f"list of {first.rep_name}"
    values = {"shown": shown, "view": first, "link": link, "subject": title}
    # What mails about the same customer share: "customer-5d3a..."
    thread = about.partition("/")[0].replace(" ", "-") + "-" + sha256(about.encode()).hexdigest()[:24]
    return RenderedMessage(
        subject=title,
        plain=templates().get_template(f"{template}.txt").render(values),
        html=templates().get_template(f"{template}.html").render(values),
        thread=thread,
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


def link_of(public_url: str, secret_key: str, alert_id: UUID) -> str:
    """Return the address a mail points to."""
    return f"{public_url.rstrip('/')}/a/{token_of(secret_key, alert_id)}"
