"""This file runs a web service: gunicorn with threads, one serving process, ended in good order by SIGTERM."""

import gc
import logging
import sys
from collections.abc import Callable
from typing import Any
from wsgiref.types import WSGIApplication

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.glogging import Logger
from sqlalchemy.exc import SQLAlchemyError

from shared.logs import masked

log = logging.getLogger(__name__)

GRACEFUL_SECONDS = 10
KEEP_ALIVE_SECONDS = 75
VALUES_BETWEEN_COLLECTIONS = (20_000, 20, 20)

Hook = Callable[[Flask], None]


def run_service(
    make_app: Callable[[], Flask],
    bind: str,
    *,
    threads: int = 8,
    after_fork: Hook = lambda _: None,
    before_exit: Hook = lambda _: None,
) -> None:
    """Serve until SIGTERM or SIGINT; does not return. A start that fails ends with one line and status 1.

    `make_app` runs before the fork and must open nothing; `after_fork` opens connections in the serving process,
    `before_exit` closes them when the last request is answered.
    """
    try:
        app = make_app()
    except (ValueError, LookupError, OSError, SQLAlchemyError) as error:
        sys.exit(f"cannot start: {masked(str(error))}")
    _settle_memory()
    _Gunicorn(app, _options(app, bind, threads, after_fork, before_exit)).run()


def _settle_memory() -> None:
    """Keep what was loaded out of every later search for garbage, and search rarely: requests leave hardly any."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*VALUES_BETWEEN_COLLECTIONS)


def _options(app: Flask, bind: str, threads: int, after_fork: Hook, before_exit: Hook) -> dict[str, Any]:
    def opened(_arbiter: Arbiter, _worker: object) -> None:
        after_fork(app)

    def closed(_arbiter: Arbiter, _worker: object) -> None:
        before_exit(app)

    def listening(arbiter: Arbiter) -> None:
        log.info("listening at %s", ", ".join(str(each) for each in arbiter.LISTENERS))

    return {
        "bind": bind,
        "worker_class": "gthread",
        "workers": 1,
        "threads": threads,
        "preload_app": True,
        "post_fork": opened,
        "worker_exit": closed,
        "when_ready": listening,
        "keepalive": KEEP_ALIVE_SECONDS,
        "graceful_timeout": GRACEFUL_SECONDS,
        "limit_request_field_size": 8190,
        "control_socket_disable": True,
        "accesslog": None,
        "logger_class": _OurLogs,
        "proc_name": f"tipoff-{app.name}",
    }


class _Gunicorn(BaseApplication):
    """gunicorn without a configuration file."""

    def __init__(self, app: Flask, options: dict[str, Any]) -> None:
        self._app = app
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        """Take our options only: neither files nor GUNICORN_CMD_ARGS."""
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> WSGIApplication:  # type: ignore[override] # the types ask for ASGI too
        """Return the application."""
        return self._app.wsgi_app


class _OurLogs(Logger):
    """Sends gunicorn's own lines where ours go."""

    def setup(self, cfg: Config) -> None:
        """Leave format and destination to the root logger."""
        self.cfg = cfg
        self.error_log.handlers.clear()
        self.error_log.setLevel(logging.WARNING)
        self.error_log.propagate = True
        self._access_log_enabled = False
