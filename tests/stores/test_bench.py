"""The bench asks for columns that exist, and its bare route sends PostgreSQL one message an order."""

from collections import Counter
from pathlib import Path

import psycopg
import pytest

from bench import bare
from bench.load_client import Receiver, connect, post, request
from bench.real_day import ACCOUNT
from bench.scoring import SCORED_PER_SECOND


def test_the_bare_route_takes_one_round_trip_for_each_order(database_url: str, tmp_path: Path) -> None:
    address = database_url.replace("postgresql+psycopg://", "postgresql://")
    app = bare.create_app(address, connections=1)
    pool, log = app.extensions["pool"], tmp_path / "messages"
    try:
        with pool.connection() as connection:
            connection.execute(bare.TABLE)
        client = app.test_client()
        _post(client, 10)  # psycopg prepares a statement that comes back: two round trips, once
        with log.open("wb") as file:
            with pool.connection() as connection:
                connection.pgconn.trace(file.fileno())
            _post(client, 10)
            with pool.connection() as connection:
                connection.pgconn.untrace()
    finally:
        pool.close()
    # A row of libpq's trace: time, who speaks (F: we, B: the server), length, message, its fields.
    messages = Counter(tuple(row.split("\t")[1:4:2]) for row in log.read_text().splitlines())
    assert messages["B", "ReadyForQuery"] == 10, messages
    assert messages["F", "Execute"] == 10, messages
    assert messages["F", "Query"] == 0, messages
    with psycopg.connect(address) as connection:
        assert connection.execute("SELECT count(*) FROM bare_event").fetchone() == (20,)
        connection.execute("DROP TABLE bare_event")


def _post(client, times: int) -> None:
    for _ in range(times):
        assert client.post("/orders", data=b"{}").status_code == 202


@pytest.mark.parametrize("query", [*ACCOUNT.values(), SCORED_PER_SECOND], ids=[*ACCOUNT, "orders scored"])
def test_what_the_bench_asks_for_exists(database_url: str, query: str) -> None:
    with psycopg.connect(database_url.replace("postgresql+psycopg://", "postgresql://")) as connection:
        connection.execute(query, ("bench-%",) if "%s" in query else None)


def test_the_receiver_notes_the_first_alert_of_an_order_and_takes_those_of_a_day() -> None:
    with Receiver() as receiver:
        host, _, port = receiver.origin.removeprefix("http://").partition(":")
        address = (host, int(port))
        bodies = (b'{"data": {"order": {"id": "o1"}}}', b'{"data": {"order": null}}')
        with connect(address) as connection:
            statuses = [post(connection, request("/alerts", address, {}, body)) for body in bodies]
    assert statuses == [204, 204]
    assert list(receiver.arrived) == ["o1"]
