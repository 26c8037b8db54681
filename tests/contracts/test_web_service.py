"""What every web service of Tipoff promises, whatever its routes are."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest
import sqlalchemy.exc
from apiflask import APIFlask
from flask import Response, request
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel
from redis.exceptions import ConnectionError as RedisAway

from shared import logs
from shared.bearer import require_scope
from shared.faults import Fault
from shared.metrics import Metrics
from shared.problems import Problem
from shared.tokens import ApiToken, digest, new_token
from shared.web import Check, accept_any_length, create_service

TOKENS = {name: new_token() for name in ("good", "expired", "weak")}
KNOWN = {
    digest(TOKENS["good"]): ApiToken("shop", "standard", frozenset({"orders:write"})),
    digest(TOKENS["expired"]): ApiToken(
        "old", None, frozenset({"orders:write"}), datetime.now(UTC) - timedelta(1)
    ),
    digest(TOKENS["weak"]): ApiToken("reader", None, frozenset({"orders:read"})),
}


class Line(BaseModel):
    sku: str
    quantity: int


class Basket(BaseModel):
    id: str
    lines: list[Line]


class Page(BaseModel):
    limit: int = 10


def raising(error: Exception) -> Callable[[], str]:
    """A view, or a probe, that fails."""

    def fail() -> str:
        raise error

    return fail


def a_service(**checks: Check) -> APIFlask:
    """A service with a route for each promise."""
    app = create_service("trial", title="Trial", version="1", metrics=Metrics("trial", "1"), readiness=checks)

    @app.post("/baskets")
    @app.input(Basket, location="json")
    @app.doc(security="ApiToken")
    def put_basket(json_data: Basket) -> dict[str, object]:
        return {"id": json_data.id, "total": Decimal("1.10"), "at": datetime(2026, 11, 20, tzinfo=UTC)}

    @app.get("/baskets")
    @app.input(Page, location="query")
    def list_baskets(query_data: Page) -> dict[str, int]:
        return {"limit": query_data.limit}

    @app.get("/baskets/<basket>")
    def get_basket(basket: str) -> str:
        return f"<p>{len(basket)}"

    @app.post("/raw")
    def raw() -> dict[str, str]:
        return {"read": repr(request.get_json())}

    @app.post("/stream")
    def stream() -> dict[str, int]:
        accept_any_length()
        return {"bytes": sum(len(part) for part in iter(lambda: request.stream.read(65536), b""))}

    @app.post("/orders")
    @require_scope("orders:write", KNOWN.get)
    def put_order(token: ApiToken) -> dict[str, str | None]:
        return {"source": token.source}

    @app.get("/own-policy")
    def own_policy() -> Response:
        return Response(
            "<p>", headers={"Content-Security-Policy": "default-src 'self'"}, mimetype="text/html"
        )

    app.add_url_rule("/bug/<token>", "tokened", lambda token: raising(FAILURES["bug"])())
    for name, error in FAILURES.items():
        app.add_url_rule(f"/{name}", name, raising(error))
    return app


GONE = Exception("connection to server at 10.0.0.5 failed")
FAILURES = {
    "bug": ZeroDivisionError("the secret formula"),
    "conflict": Problem(409, "This version is older.", faults=[Fault("older", pointer="#/version")]),
    "sqlalchemy": sqlalchemy.exc.OperationalError("SELECT secret", {}, GONE),
    "pool": sqlalchemy.exc.TimeoutError("pool limit reached"),
    "psycopg": psycopg.OperationalError("connection to server at 10.0.0.5 failed"),
    "read-only": psycopg.errors.ReadOnlySqlTransaction("cannot execute INSERT"),
    "broken-pipe": psycopg.DatabaseError("could not send data to server: Broken pipe"),
    "crash": sqlalchemy.exc.DatabaseError("SELECT 1", {}, psycopg.DatabaseError("Broken pipe")),
    "mistake": sqlalchemy.exc.ProgrammingError("SELECT nonsense", {}, Exception("no such column")),
}


@pytest.fixture
def client() -> FlaskClient:
    return a_service(database=Check(lambda: None)).test_client()


@pytest.fixture
def log_lines() -> Iterator[io.StringIO]:
    """What was logged, as it would be in production."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    logs.configure("trial", json=True, stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    logs.access_log.__init__()  # type: ignore[misc]


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        pytest.param("GET", "/nowhere", b"", {}, 404, id="an unknown path"),
        pytest.param("DELETE", "/raw", b"", {}, 405, id="a method that is not allowed"),
        pytest.param("BREW", "/raw", b"", {}, 405, id="a method nobody knows"),
        pytest.param("POST", "/raw", b"{}", {"Content-Type": "text/plain"}, 415, id="another media type"),
        pytest.param("POST", "/baskets", b"{}", {}, 415, id="no media type where a schema is expected"),
        pytest.param("POST", "/raw", b"{}", JSON | {"Content-Encoding": "gzip"}, 415, id="a compressed body"),
        pytest.param("POST", "/raw", b" " * (2**20 + 1), JSON, 413, id="a body over a mebibyte"),
        pytest.param("POST", "/raw", b"{", JSON, 400, id="half a body"),
        pytest.param("POST", "/raw", b"", JSON, 400, id="no body"),
        pytest.param("POST", "/raw", b"[" * 100_000, JSON, 400, id="a tower of brackets"),
        pytest.param("POST", "/raw", b"[NaN]", JSON, 400, id="NaN"),
        pytest.param("POST", "/raw", b'{"a":1,"a":2}', JSON, 400, id="a repeated name"),
        pytest.param("POST", "/baskets", rb'{"id":"\u0000","lines":[]}', JSON, 400, id="a NUL"),
        pytest.param("POST", "/baskets", b"[]", JSON, 422, id="another shape"),
        pytest.param("GET", "/baskets?limit=x", b"", {}, 422, id="a wrong query parameter"),
        pytest.param("POST", "/orders", b"", {}, 401, id="no token"),
        pytest.param("GET", "/conflict", b"", {}, 409, id="a refusal of the service itself"),
        pytest.param("GET", "/bug", b"", {}, 500, id="a bug"),
        pytest.param("GET", "/mistake", b"", {}, 500, id="a wrong statement"),
        pytest.param("GET", "/sqlalchemy", b"", {}, 503, id="a database that is away"),
    ],
)
def test_answers_with_problem_details(
    client: FlaskClient, method: str, path: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    answer = client.open(path, method=method, data=body, headers=headers)
    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"
    problem = json.loads(answer.data)
    assert problem["status"] == status
    assert problem["type"] == "about:blank"
    assert problem["title"]
    assert problem["request_id"] == answer.headers["X-Request-Id"]
    for inside in ("Traceback", "secret", "10.0.0.5", "nonsense", "column"):
        assert inside not in answer.text


def test_every_fault_is_named_with_its_pointer(client: FlaskClient) -> None:
    body = {"lines": [{"sku": "A", "quantity": 1}, {"sku": 7, "quantity": "x"}]}
    problem = json.loads(client.post("/baskets", json=body).data)
    assert [fault["pointer"] for fault in problem["errors"]] == [
        "#/id",
        "#/lines/1/sku",
        "#/lines/1/quantity",
    ]
    parameter = json.loads(client.get("/baskets?limit=x").data)["errors"][0]["parameter"]
    assert parameter == "limit"


def test_a_method_not_allowed_names_those_that_are(client: FlaskClient) -> None:
    assert "POST" in client.get("/raw").headers["Allow"]


@pytest.mark.parametrize("path", ["/sqlalchemy", "/pool", "/psycopg"])
def test_a_database_that_is_away_asks_to_come_again(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


def test_values_are_written_as_text_that_loses_nothing(client: FlaskClient) -> None:
    answer = client.post("/baskets", json={"id": "b", "lines": []})
    assert json.loads(answer.data) == {"id": "b", "total": "1.10", "at": "2026-11-20T00:00:00Z"}
    assert "Decimal('0.10')" in client.post("/raw", data=b"0.10", headers=JSON).text


@pytest.mark.parametrize(
    ("token", "status", "challenge"),
    [
        pytest.param("Bearer " + TOKENS["good"], 200, None, id="a known token"),
        pytest.param("bearer " + TOKENS["good"], 200, None, id="a known token, spelled as browsers do"),
        pytest.param("Bearer " + TOKENS["expired"], 401, "invalid_token", id="an expired token"),
        pytest.param("Bearer " + new_token(), 401, "invalid_token", id="an unknown token"),
        pytest.param("Bearer x", 401, "invalid_token", id="a token that is none"),
        pytest.param("Bearer ", 401, "invalid_token", id="an empty token"),
        pytest.param("Basic dXNlcjpwYXNz", 401, "Bearer", id="a password"),
        pytest.param("Bearer " + TOKENS["weak"], 403, "insufficient_scope", id="a token for something else"),
    ],
)
def test_a_scope_is_asked_of(client: FlaskClient, token: str, status: int, challenge: str | None) -> None:
    answer = client.post("/orders", headers={"Authorization": token})
    assert answer.status_code == status
    if challenge:
        assert challenge in answer.headers["WWW-Authenticate"]
    else:
        assert json.loads(answer.data) == {"source": "standard"}


@pytest.mark.parametrize("sane", ["0123456789abcdef", "order-42_retry.1"])
def test_a_sane_request_id_is_kept(client: FlaskClient, sane: str) -> None:
    assert client.get("/healthz", headers={"X-Request-Id": sane}).headers["X-Request-Id"] == sane


@pytest.mark.parametrize("odd", ["", "short", "x" * 65, "with blank 1", "<script>alert", '"quoted"1'])
def test_an_odd_request_id_is_replaced(client: FlaskClient, odd: str) -> None:
    given_id = client.get("/healthz", headers={"X-Request-Id": odd}).headers["X-Request-Id"]
    assert given_id != odd
    assert len(given_id) == 16


def test_a_streaming_route_may_read_more_than_the_limit(client: FlaskClient) -> None:
    assert client.post("/stream", data=b"x" * 3_000_000).json == {"bytes": 3_000_000}


@pytest.mark.parametrize(
    ("checks", "status", "word"),
    [
        pytest.param({"database": None, "redis": None}, 200, "ready", id="everything is well"),
        pytest.param({"database": None, "redis": "away"}, 200, "degraded", id="only Redis is away"),
        pytest.param(
            {"database": "not migrated", "redis": None}, 503, "unready", id="the database is behind"
        ),
        pytest.param({"database": RedisAway("gone"), "redis": "away"}, 503, "unready", id="all is away"),
        pytest.param({"database": None, "redis": RedisAway("gone")}, 200, "degraded", id="Redis raises"),
    ],
)
def test_readiness_when(checks: dict[str, str | Exception | None], status: int, word: str) -> None:
    def check(name: str) -> Check:
        state = checks[name]
        probe = raising(state) if isinstance(state, Exception) else lambda: state
        return Check(probe, required=name == "database")

    client = a_service(database=check("database"), redis=check("redis")).test_client()
    answer = client.get("/readyz")
    assert answer.status_code == status
    body = json.loads(answer.data)
    assert body["status"] == word
    assert {name: each["ok"] for name, each in body["checks"].items()} == {
        name: state is None for name, state in checks.items()
    }
    assert client.get("/healthz").json == {"status": "alive"}


def test_pages_may_load_nothing_from_elsewhere_and_be_framed_by_nobody(client: FlaskClient) -> None:
    headers = client.get("/baskets/b").headers
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "same-origin"
    assert client.get("/own-policy").headers["Content-Security-Policy"] == "default-src 'self'"


def test_requests_are_counted_by_route_rule_and_never_by_path(client: FlaskClient) -> None:
    for number in range(300):
        client.get(f"/baskets/{number}")
        client.get(f"/nowhere/{number}")
        client.open(f"/nowhere/{number}", method=f"BREW{number}")
    families = list(text_string_to_metric_families(client.get("/metrics").text))
    samples = [sample for family in families for sample in family.samples]
    requests = {
        (each.labels["route"], each.labels["method"], each.labels["code"]): each.value
        for each in samples
        if each.name == "http_requests_total"
    }
    assert requests["/baskets/<basket>", "GET", "200"] == 300
    assert requests["unmatched", "GET", "404"] == 300
    assert requests["unmatched", "other", "404"] == 300
    assert requests["/baskets", "POST", "500"] == 0
    assert len(samples) < 1000


def test_an_answer_is_logged_without_its_path_and_a_bug_with_its_stack(
    client: FlaskClient, log_lines: io.StringIO
) -> None:
    client.get("/baskets/private-name?token=abcdef")
    client.get("/bug?token=abcdef")
    entries = [json.loads(line) for line in log_lines.getvalue().splitlines()]
    answered = [entry for entry in entries if entry["event"] == "answered"]
    assert [(entry["route"], entry["status"]) for entry in answered] == [
        ("/baskets/<basket>", 200),
        ("/bug", 500),
    ]
    failed = next(entry for entry in entries if entry["level"] == "error")
    assert "ZeroDivisionError" in failed["error"]
    assert failed["request_id"] == answered[1]["request_id"]
    assert "private-name" not in log_lines.getvalue()
    assert "abcdef" not in log_lines.getvalue()


def test_the_api_is_described_and_its_page_needs_no_network(client: FlaskClient) -> None:
    description = json.loads(client.get("/openapi.json").data)
    assert description["openapi"].startswith("3.1")
    assert "/healthz" not in description["paths"]
    operation = description["paths"]["/baskets"]["post"]
    assert operation["security"] == [{"ApiToken": []}]
    assert list(operation["responses"]["422"]["content"]) == ["application/problem+json"]
    page = client.get("/docs")
    assert "http" not in page.text.replace("http-equiv", "")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    with client.get("/docs/redoc.standalone.js") as script:
        assert script.status_code == 200
        assert len(script.data) > 500_000


@given(st.binary(max_size=80), st.sampled_from(["/baskets", "/raw", "/orders"]), st.text(max_size=20))
def test_whatever_is_sent_the_service_stays_calm(body: bytes, path: str, header: str) -> None:
    client = CALM.test_client()
    sent = header.encode("latin-1", "replace").decode("latin-1").replace("\r", "").replace("\n", "")
    answer = client.post(path, data=body, headers=JSON | {"Authorization": sent, "X-Request-Id": sent})
    assert answer.status_code < 500


CALM = a_service()


@pytest.mark.parametrize("path", ["/baskets/a%00b", "/baskets?limit=%00", "/nowhere?x=%00"])
def test_a_nul_in_an_address_is_refused(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.content_type) == (400, "application/problem+json")


@pytest.mark.parametrize("path", ["/read-only", "/broken-pipe", "/crash"])
def test_a_database_that_cannot_write_or_broke_off_asks_to_come_again(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


def test_a_bug_never_logs_the_path_as_it_may_hold_a_token(
    client: FlaskClient, log_lines: io.StringIO
) -> None:
    client.get("/bug/private-token")
    assert "ZeroDivisionError" in log_lines.getvalue()
    assert "private-token" not in log_lines.getvalue()


def test_the_description_never_repeats_a_foreign_host(client: FlaskClient) -> None:
    described = client.get("/openapi.json", headers={"Host": "evil.example"}).text
    assert "evil.example" not in described
    assert "servers" not in json.loads(described)
