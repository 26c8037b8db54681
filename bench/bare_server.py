"""Serves the bare route under the very server, threads and settings of the real service."""

import sys

from bench.bare import create_app
from shared.serve import run_service

if __name__ == "__main__":
    run_service(
        create_app,
        sys.argv[1],
        threads=int(sys.argv[2]),
        after_fork=lambda app: app.extensions["pool"].open(),
    )
