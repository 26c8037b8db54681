"""A history import until its lines stand validated, keyed and indexed, beside psql's own copy into a bare table."""

import os
import shutil
import statistics
import time
from pathlib import Path

import duckdb
import psycopg

from bench.figures import Figure, Goal
from bench.system import System, run
from deploy.embedded_postgres import binaries

REFERENCE = (
    Path(os.environ.get("TIPOFF_REFERENCE", "../shared")) / "data" / "online_retail_ii" / "lines.parquet"
)

TYPES = {
    "INTEGER": "integer",
    "TINYINT": "smallint",
    "BIGINT": "bigint",
    "DOUBLE": "double precision",
    "BOOLEAN": "boolean",
    "DATE": "date",
    "TIMESTAMP": "timestamp",
}
"""The types of the file, as PostgreSQL names them."""


def measure(system: System, *, quick: bool) -> Figure:
    """Lines a second of both, on the real wholesaler's file where it is there, else on the sample's."""
    sample = system.folder / "sample" / "orders.csv"
    file, columns = (sample, "standard") if quick or not REFERENCE.exists() else (REFERENCE, "online_retail")
    pairs = []
    for number in range(1 if quick else 3):
        system.vacuum()
        lines, peer = _copy(system, file)
        rejects = str(system.folder / "rejects.csv")
        source = f"bench-{columns}-{number}"  # an order of another source is a new order
        began = time.perf_counter()
        system.tipoff(
            "import", "orders", str(file), "--columns", columns, "--source", source, "--rejects", rejects
        )
        pairs.append((time.perf_counter() - began, peer))
    ratio = statistics.median(peer / mine for mine, peer in pairs)
    mine, peer = statistics.median(mine for mine, _ in pairs), statistics.median(peer for _, peer in pairs)
    return Figure(
        f"history import of {lines:,} lines",
        f"{lines / mine:,.0f} lines/s ({mine:.1f} s, the command's start included)",
        (Goal("at least 1/6 (0.17) of the peer", ratio >= 1 / 6),),
        f"`psql \\copy` into a bare table: {lines / peer:,.0f} lines/s ({peer:.1f} s)",
        ratio,
    )


def _copy(system: System, file: Path) -> tuple[int, float]:
    """Write the rows as CSV, then time psql's own copy of them. Returns lines and seconds."""
    flat = system.folder / "bare.csv"
    with duckdb.connect() as connection:
        reader = "read_parquet" if file.suffix == ".parquet" else "read_csv"
        described = connection.execute(f"DESCRIBE SELECT * FROM {reader}('{file}')").fetchall()
        connection.execute(f"COPY (SELECT * FROM {reader}('{file}')) TO '{flat}' (FORMAT csv, HEADER)")
    with psycopg.connect(system.libpq_url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS bare_line")
        columns = ", ".join(f"{row[0]} {TYPES.get(row[1], 'text')}" for row in described)
        connection.execute(f"CREATE TABLE bare_line ({columns})")
    psql = shutil.which("psql") or str(binaries() / "psql")
    began = time.perf_counter()
    copy = f"\\copy bare_line FROM '{flat}' (FORMAT csv, HEADER)"
    run([psql, "-X", "-q", "-d", system.libpq_url, "-c", copy])
    seconds = time.perf_counter() - began
    with psycopg.connect(system.libpq_url) as connection:
        row = connection.execute("SELECT count(*) FROM bare_line").fetchone()
    return (int(row[0]) if row else 0), seconds
