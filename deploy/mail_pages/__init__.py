"""This package shows the mails of a mailbox as pages. A mail is a stranger's text: nothing in it may run."""

import mimetypes

from flask import Flask, Response, abort, render_template

from deploy.mail_pages.mailbox import Mailbox, StoredMail

SHOWN = 200
OUR_PAGES = "default-src 'none'; style-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'"
# The mail itself: its own styles and embedded pictures, no script, no form, no request to anywhere. Its links may
# open a new tab, as in a mail program.
THE_MAIL = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline';"
    " img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
LINKS_OPEN_A_TAB = '<base target="_blank">'


def create_app(mailbox: Mailbox) -> Flask:
    """Build the pages of one mailbox. Only somebody on this machine is answered, whatever name they use for it."""
    app = Flask(__name__)
    app.config["TRUSTED_HOSTS"] = ["127.0.0.1", "localhost", "[::1]"]
    app.after_request(_protect)

    @app.get("/")
    def mails() -> str:
        names = mailbox.names()
        return render_template(
            "mails.html", mails=[mailbox.read(name) for name in names[:SHOWN]], count=len(names)
        )

    @app.get("/mails/<name>")
    def mail(name: str) -> str:
        return render_template("mail.html", mail=_find(mailbox, name))

    @app.get("/mails/<name>/html")
    def html(name: str) -> Response:
        page = Response(LINKS_OPEN_A_TAB + (_find(mailbox, name).html or ""), mimetype="text/html")
        page.headers["Content-Security-Policy"] = THE_MAIL
        return page

    @app.get("/mails/<name>/raw")
    def raw(name: str) -> Response:
        return Response(_find(mailbox, name).raw, content_type="text/plain; charset=utf-8")

    return app


def _find(mailbox: Mailbox, name: str) -> StoredMail:
    try:
        return mailbox.read(name)
    except KeyError:
        abort(404)


def _protect(response: Response) -> Response:
    response.headers.setdefault("Content-Security-Policy", OUR_PAGES)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cache-Control"] = "no-store"
    return response


mimetypes.add_type("text/css", ".css")  # some machines have no list of their own
