"""The peer of ingest: a bare Flask route that inserts the body through a psycopg pool, and nothing else."""

import os

from flask import Flask, request
from psycopg_pool import ConnectionPool


def create_app() -> Flask:
    """The route and its pool."""
    pool = ConnectionPool(os.environ["BARE_DATABASE_URL"], min_size=8, max_size=8, open=True)
    app = Flask("bare")
    app.extensions["pool"] = pool

    @app.post("/orders")
    def orders() -> tuple[dict[str, str], int]:
        with pool.connection() as connection:
            connection.execute("INSERT INTO bare_event (body) VALUES (%s)", (request.get_data(),))
        return {"status": "accepted"}, 202

    return app
