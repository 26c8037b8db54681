"""Serves the bare route under the very server, threads and settings of the real service."""

import sys

from bench.bare import create_app
from shared.serve import run_service

if __name__ == "__main__":
    host, _, port = sys.argv[1].rpartition(":")
    run_service(create_app, (host, int(port)), threads=int(sys.argv[2]))
