"""Order lines by month in Parquet files, kept so that not every fit reads two years of them from PostgreSQL.

A file holds what lines say by themselves. Whose an order is, whether it counts, when it was received and which sale a
return names stand in the orders, which are read anew each time: neither a merge nor a cancellation makes a file wrong.

A kept file's name has its month, a key made of that month's orders, and a digest of its content. It is never changed:
where none is whole and of the orders there are, PostgreSQL is read, and what it said is kept. Any number of workers may
share a folder, as each reads a copy of its own.
"""

import logging
import os
import tempfile
from datetime import date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import ibis
from adbc_driver_postgresql import dbapi

from services.scoring.engine import Engine
from shared.clock import real_now
from shared.partitions import month_after

log = logging.getLogger(__name__)

# Numeric would arrive as text, so it is cast here; four decimals are exact in a double up to 10^11.
_LINES = """
SELECT order_id, product_id, quantity::float8, net::float8, base_net::float8, base_unit_cost::float8 AS unit_cost,
       returns_order_id, title
FROM order_line
WHERE ordered_at >= {since} AND ordered_at < {until} AND kind = 'product' AND product_id IS NOT NULL
"""

# Whole months. Whoever writes lines writes their order too: `applied_at` is when.
_MONTHS = """
SELECT date_trunc('month', ordered_at, 'UTC') AT TIME ZONE 'UTC' AS month,
       count(*) || ' ' || sum(hash_record_extended(ROW(id, version, digest, event_id, applied_at), 0)) AS orders
FROM sales_order
WHERE ordered_at >= date_trunc('month', {since}, 'UTC')
  AND ordered_at < date_trunc('month', {until}, 'UTC') + interval '1 month'
GROUP BY 1 ORDER BY 1
"""

_ABANDONED = timedelta(days=1)
"""A file that is unfinished for so long is of a worker that was killed."""


class _Month(NamedTuple):
    """A month of UTC, and the key of its orders."""

    first: date
    key: str


def read_lines(engine: Engine, connection: dbapi.Connection, since: datetime, until: datetime) -> ibis.Table:
    """Return the product lines of the months from `since` to `until`, the first and the last whole.

    In a transaction that is no repeatable read, they may be of another moment than the orders read there.
    """
    with connection.cursor() as cursor:
        cursor.execute(_MONTHS.format(since=literal(since), until=literal(until)))
        found = cursor.fetchall() or [(since, "none")]
    months = [
        _Month(first.date(), sha256(f"{_LINES}{orders}".encode()).hexdigest()[:16]) for first, orders in found
    ]
    return engine.scan("held_line", [_file(engine, connection, month) for month in months])


def literal(moment: datetime) -> str:
    """Return the moment as SQL: drivers differ in how they bind a time, and a datetime cannot hold a quote."""
    return f"TIMESTAMPTZ '{moment.isoformat()}'"


def _file(engine: Engine, connection: dbapi.Connection, month: _Month) -> Path:
    """Return the file of a month in the engine's own folder."""
    file = engine.folder / f"{month.first:%Y-%m}.parquet"
    content = _kept(engine.extracts, month) if engine.extracts is not None else None
    if content is not None:
        file.write_bytes(content)
        return file
    with connection.cursor() as cursor:
        since, until = (f"TIMESTAMPTZ '{each} 00:00+00'" for each in (month.first, month_after(month.first)))
        cursor.execute(_LINES.format(since=since, until=until))
        engine.write(file, cursor.fetch_record_batch())
    if engine.extracts is not None:
        try:
            _keep(engine.extracts, month, file.read_bytes())
        except OSError as fault:
            log.warning("an extract of order lines cannot be kept, the next fit reads them again: %s", fault)
    return file


def _kept(folder: Path, month: _Month) -> bytes | None:
    """Return what is kept of a month as its orders are now, unless it is damaged."""
    for file in folder.glob(f"{month.first:%Y-%m}-{month.key}-*.parquet"):
        try:
            content = file.read_bytes()
        except OSError:  # another worker has just replaced it, or nobody can read it
            continue
        if file.stem.endswith(f"-{_digest(content)}"):
            return content
    return None


def _keep(folder: Path, month: _Month, content: bytes) -> None:
    """Keep a file of a month, readable for its owner alone, instead of those there are."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    replaced = set(folder.glob(f"{month.first:%Y-%m}-*.parquet"))
    oldest = (real_now() - _ABANDONED).timestamp()
    replaced |= {each for each in folder.glob("*.unfinished") if each.stat().st_mtime < oldest}
    descriptor, name = tempfile.mkstemp(suffix=".unfinished", dir=folder)
    unfinished = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as written:
            written.write(content)
        file = unfinished.replace(folder / f"{month.first:%Y-%m}-{month.key}-{_digest(content)}.parquet")
    finally:
        unfinished.unlink(missing_ok=True)
    for each in replaced - {file}:
        each.unlink(missing_ok=True)


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()[:16]
