"""The pages. GET and HEAD never change anything; a POST must come from a form of ours."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from apiflask import APIFlask
from flask import Response, redirect, request
from sqlalchemy import Connection
from werkzeug.wrappers import Response as AnyResponse

from services.alerts import message
from services.alerts.channel import AlertView, Sending
from services.alerts.store import deliveries, inbox, views
from services.alerts.web import guard
from services.alerts.web.actions import DISMISSALS, Acting, NoSuchAlert, UnknownAction, take_action
from services.alerts.web.guard import Access
from shared.clock import Clock
from shared.db import Database
from shared.problems import MEDIA_TYPE
from shared.settings import Settings

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
    "held": "it may have arrived",
    "withdrawn": "withdrawn",
    "shadow": "not sent: shadow mode",
    "not_allowed": "not sent",
}

LONGEST_FORM = 4096
SENTENCES = {
    404: "There is no such page.",
    405: "This address is for forms only. Open the alert again.",
    413: "That is more than a form of ours holds.",
    503: "The database does not answer just now. Nothing is lost: try again in a minute.",
}
NOT_YOURS = "Something went wrong here, and not by what you did. Try again in a minute."
"""What a person reads where a program reads a problem."""


@dataclass(frozen=True, slots=True)
class Shown:
    """An alert to show, and what belongs to acting on it."""

    found: inbox.Found
    view: AlertView


class Refused(Exception):
    """A page that is not served: status and a sentence for the reader."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Pages:
    """The pages of one service."""

    def __init__(
        self, settings: Settings, database: Database, clock: Clock, access: Access, sending: Sending
    ) -> None:
        self._settings = settings
        self._database = database
        self._clock = clock
        self._access = access
        self._sending = sending
        self._secret_key = settings.secret_key.get_secret_value()
        self._templates = message.templates_of("services.alerts.web", delivery_states=DELIVERY_STATES)

    def style(self) -> Response:
        """The one style sheet."""
        source = self._templates.get_template("style.css").render()
        return Response(source, mimetype="text/css", headers={"Cache-Control": "max-age=300"})

    def home(self) -> Response:
        """The page from which everything else is reached."""
        self._admit()
        with self._database.transaction() as connection:
            counts = inbox.counts(connection, None, self._clock())
            is_paused = deliveries.is_paused(connection)
        return self._page(
            "home.html",
            counts=counts,
            is_paused=is_paused,
            settings=self._settings,
            neighbours=sorted(self._settings.neighbours.items()),
        )

    def inbox(self) -> Response:
        """The inbox: four views, for one rep or for everybody."""
        self._admit()
        view = request.args.get("view", "to-call")
        rep = request.args.get("rep") or None
        now = self._clock()
        if view not in VIEWS:
            raise Refused(404, "There is no such view of the inbox.")
        with self._database.transaction() as connection:
            rows = inbox.rows_of(connection, view, rep, now)
            counts = inbox.counts(connection, rep, now)
            reps = inbox.reps(connection)
            undo = self._undo(connection)
        return self._page(
            "inbox.html", rows=rows, view=view, rep=rep, views=VIEWS, undo=undo, counts=counts, reps=reps
        )

    def detail(self, public_id: UUID) -> Response:
        """One alert with everything that is known about it."""
        self._admit()
        with self._database.transaction() as connection:
            shown = self._shown(connection, public_id)
            sent = deliveries.delivery_log(connection, shown.found.id)
        return self._alert_page("detail.html", shown, form_action=f"/inbox/{public_id}", deliveries=sent)

    def act(self, public_id: UUID) -> AnyResponse:
        """Do what the form on an alert's page asks for, and go back to the inbox."""
        self._admit()
        action = self._act(public_id, by="inbox", is_recipient=False)
        undo = "" if action == "undo" else f"?undo={public_id}"
        return redirect(f"/inbox{undo}" if undo else f"/inbox/{public_id}", 303)

    def linked(self, token: str) -> Response:
        """The one alert a mail's link opens. Opening changes nothing: mail scanners open links too."""
        public_id = self._linked_alert(token)
        with self._database.transaction() as connection:
            shown = self._shown(connection, public_id)
        return self._alert_page("linked.html", shown, form_action=f"/a/{token}")

    def act_linked(self, token: str) -> AnyResponse:
        """Do what was confirmed on the page behind a mail's link."""
        self._act(self._linked_alert(token), by="the link of a mail", is_recipient=True)
        return redirect(f"/a/{token}", 303)

    def refused(self, refusal: Refused) -> Response:
        """Return a page that says why there is no page."""
        return self._refusal(refusal.status, str(refusal))

    def readable(self, answer: Response) -> Response:
        """Give a browser a page where a program gets a problem."""
        prefers = request.accept_mimetypes.best_match([MEDIA_TYPE, "text/html"])
        if answer.mimetype != MEDIA_TYPE or prefers != "text/html":
            return answer
        status = answer.status_code
        answer.set_data(self._refusal(status, SENTENCES.get(status, NOT_YOURS)).get_data())
        answer.mimetype = "text/html"
        return answer

    def _refusal(self, status: int, sentence: str) -> Response:
        """The way on is the inbox for those it is served to; others have the links of their mails."""
        has_inbox = self._access.refuses_page(_headers()) is None
        return self._page("refused.html", status, sentence=sentence, has_inbox=has_inbox)

    def _admit(self) -> None:
        if reason := self._access.refuses_page(_headers()):
            raise Refused(403, reason)

    def _linked_alert(self, token: str) -> UUID:
        if reason := self._access.refuses_link(_headers()):
            raise Refused(403, reason)
        public_id = message.alert_of(self._secret_key, token)
        if public_id is None:
            raise Refused(
                404, "This link is too old, or was not copied whole. The alert is still in the inbox."
            )
        return public_id

    def _shown(self, connection: Connection, public_id: UUID) -> Shown:
        found = inbox.find(connection, public_id)
        view = (
            views.load(connection, [found.id], self._settings.base_currency).get(found.id) if found else None
        )
        if found is None or view is None:
            raise Refused(404, "There is no such alert.")
        return Shown(found, view)

    def _act(self, public_id: UUID, by: str, *, is_recipient: bool) -> str:
        request.max_content_length = LONGEST_FORM
        if not guard.is_own_form(_headers()) or not guard.is_form_token(
            self._secret_key, str(public_id), request.form.get("token", "")
        ):
            raise Refused(400, "This form is too old or came from elsewhere. Open the alert again.")
        acting = Acting(by, self._clock(), is_recipient=is_recipient)
        with self._database.transaction() as connection:
            try:
                _, done = take_action(connection, public_id, request.form, acting, self._sending)
            except NoSuchAlert as fault:
                raise Refused(404, "There is no such alert any more.") from fault
            except UnknownAction as fault:
                raise Refused(400, str(fault)) from fault
        return done.action

    def _undo(self, connection: Connection) -> dict[str, str] | None:
        """What the rep did a moment ago, and the form that takes it back."""
        try:
            public_id = UUID(request.args.get("undo", ""))
        except ValueError:
            return None
        found = inbox.find(connection, public_id)
        if found is None or found.state not in ("done", "snoozed", "dismissed"):
            return None
        token = guard.form_token(self._secret_key, str(public_id))
        return {
            "id": str(public_id),
            "customer": found.customer,
            "state": STATES[found.state],
            "reason": found.close_reason or "",
            "token": token,
        }

    def _alert_page(self, template: str, shown: Shown, **values: object) -> Response:
        return self._page(
            template,
            view=shown.view,
            state=STATES[shown.found.state],
            is_open=shown.found.state in ("open", "snoozed"),
            dismissals=DISMISSALS,
            token=guard.form_token(self._secret_key, str(shown.view.public_id)),
            **values,
        )

    def _page(self, template: str, status: int = 200, /, **values: object) -> Response:
        html = self._templates.get_template(template).render(
            currency=self._settings.base_currency,
            refresh=self._settings.page_refresh,
            status=status,
            **values,
        )
        return Response(html, status=status, mimetype="text/html")


def add_pages(app: APIFlask, pages: Pages) -> None:
    """Give a service these pages."""
    for rule, view, methods in (
        ("/style.css", pages.style, ["GET"]),
        ("/", pages.home, ["GET"]),
        ("/inbox", pages.inbox, ["GET"]),
        ("/inbox/<uuid:public_id>", pages.detail, ["GET"]),
        ("/inbox/<uuid:public_id>", pages.act, ["POST"]),
        ("/a/<token>", pages.linked, ["GET"]),
        ("/a/<token>", pages.act_linked, ["POST"]),
    ):
        endpoint = f"pages.{view.__name__}"
        app.add_url_rule(rule, endpoint, app.doc(hide=True)(_free(view)), methods=methods)
    app.register_error_handler(Refused, pages.refused)
    app.after_request(pages.readable)


def _free(view: Callable[..., AnyResponse]) -> Callable[..., AnyResponse]:
    """A view as a plain function: a bound method takes no attributes, and the API docs mark what they hide."""

    def answer(**values: object) -> AnyResponse:
        return view(**values)

    return answer


def _headers() -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}
