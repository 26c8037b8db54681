"""The peer of ingest: a bare Flask route that inserts the body through a psycopg pool, and nothing else.

Its users would serve it so: `gunicorn --worker-class gthread --threads 8 "bench.bare:create_app(ADDRESS)"`.
"""

from flask import Flask, request
from psycopg_pool import ConnectionPool

TABLE = "CREATE TABLE IF NOT EXISTS bare_event (id bigserial PRIMARY KEY, body bytea NOT NULL)"


def create_app(address: str, connections: int = 8) -> Flask:
    """The route. Its connections commit by themselves, so that an INSERT is one round trip."""
    pool = ConnectionPool(address, min_size=connections, kwargs={"autocommit": True}, open=True)
    app = Flask("bare")
    app.extensions["pool"] = pool

    @app.post("/orders")
    def orders() -> tuple[dict[str, str], int]:
        with pool.connection() as connection:
            connection.execute("INSERT INTO bare_event (body) VALUES (%s)", (request.get_data(),))
        return {"status": "accepted"}, 202

    return app
