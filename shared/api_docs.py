"""A service's API: its description at /openapi.json, and a page that draws it by a vendored Redoc, offline."""

from pathlib import Path
from typing import Any

from apiflask import APIFlask
from flask import Response, send_from_directory
from markupsafe import escape

from shared.problems import MEDIA_TYPE

STATIC = Path(__file__).parent / "web_static"

# Redoc writes its styles into the page; nothing else is let in, and nothing goes out.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; img-src 'self' data:; connect-src 'self';"
    " frame-ancestors 'none'; base-uri 'none'"
)
_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>body {{ margin: 0 }}</style></head>
<body><redoc spec-url="/openapi.json" disable-search="true" hide-download-button="true"></redoc>
<script src="/docs/redoc.standalone.js"></script></body>
</html>
"""


PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "Problem details (RFC 9457).",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string", "description": "quote it when you ask for help"},
        "errors": {
            "type": "array",
            "description": "every fault of what was sent",
            "items": {
                "type": "object",
                "required": ["detail"],
                "properties": {
                    "detail": {"type": "string"},
                    "pointer": {
                        "type": "string",
                        "description": "JSON pointer into the body, as #/lines/0/sku",
                    },
                    "parameter": {"type": "string", "description": "name of the query parameter"},
                },
            },
        },
    },
}


def register(app: APIFlask) -> None:
    """Serve /docs beside /openapi.json, describe bearer tokens, and say of errors what they truly look like."""
    app.config["HTTP_ERROR_SCHEMA"] = PROBLEM_SCHEMA
    app.config["VALIDATION_ERROR_SCHEMA"] = PROBLEM_SCHEMA
    app.config["OPENAPI_VERSION"] = "3.1.0"
    app.config["AUTO_SERVERS"] = False  # they would be whatever Host the first request named, for everyone
    app.security_schemes = {"ApiToken": {"type": "http", "scheme": "bearer", "bearerFormat": "tip_..."}}

    @app.get("/docs")
    @app.doc(hide=True)
    def docs() -> Response:
        """Return the page."""
        page = _PAGE.format(title=escape(app.title))
        return Response(
            page, content_type="text/html; charset=utf-8", headers={"Content-Security-Policy": _POLICY}
        )

    @app.get("/docs/redoc.standalone.js")
    @app.doc(hide=True)
    def redoc() -> Response:
        """Return the vendored renderer."""
        return send_from_directory(STATIC, "redoc.standalone.js", max_age=86400)

    @app.spec_processor
    def name_media_type(spec: dict[str, Any] | str) -> dict[str, Any] | str:
        if isinstance(spec, str):
            return spec
        for path in spec.get("paths", {}).values():
            for operation in path.values():
                for status, response in operation.get("responses", {}).items():
                    content = response.get("content", {})
                    if str(status) >= "400" and "application/json" in content:
                        content[MEDIA_TYPE] = content.pop("application/json")
        return spec
