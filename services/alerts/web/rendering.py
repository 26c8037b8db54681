"""Words and templates of the pages: HTML is escaped, a missing value is an error."""

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from services.alerts.message import WORDS

VIEWS = {"to-call": "To call", "not-sent": "Not sent", "snoozed": "Snoozed", "done": "Done"}
STATES = {
    "open": "waits for you",
    "snoozed": "put off",
    "done": "done",
    "dismissed": "not useful",
    "withdrawn": "withdrawn",
}
DELIVERY_STATES = {
    "ready": "on its way",
    "sent": "sent",
    "dead": "given up",
    "expired": "too old to send",
    "withdrawn": "withdrawn",
    "shadow": "not sent: shadow mode",
    "not_allowed": "not sent",
}


def templates() -> Environment:
    """Return the templates of the pages."""
    environment = Environment(
        loader=PackageLoader("services.alerts.web", "templates"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        words=WORDS,
        delivery_states=DELIVERY_STATES,
    )
    return environment
