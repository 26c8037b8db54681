"""The monthly partitions of `order_line`, created before the lines of a month are loaded."""

from datetime import date

from sqlalchemy import Connection, text


def month_after(month: date) -> date:
    """Return the first day of the following month."""
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def ensure_months(connection: Connection, first: date, last: date) -> list[str]:
    """Create the partitions that hold first..last and return the new ones' names. Safe to run twice.

    Lines of such a month that wait in the default partition are moved into their own.
    """
    made: list[str] = []
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('order_line partitions'))"))
    month = first.replace(day=1)
    while month <= last:
        following = month_after(month)
        name = f"order_line_{month:%Y_%m}"
        if connection.scalar(text("SELECT to_regclass(:name)"), {"name": name}) is None:
            _make(connection, name, month, following)
            made.append(name)
        month = following
    return made


def _make(connection: Connection, name: str, start: date, end: date) -> None:
    """Build the partition aside, fill it from the default one, then attach it."""
    bounds = f"ordered_at >= '{start} 00:00+00' AND ordered_at < '{end} 00:00+00'"
    connection.execute(
        text(f"CREATE TABLE {name} (LIKE order_line INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
    )
    connection.execute(
        text(
            f"WITH moved AS (DELETE FROM order_line_default WHERE {bounds} RETURNING *) "  # noqa: S608
            f"INSERT INTO {name} SELECT * FROM moved"
        )
    )
    connection.execute(
        text(
            f"ALTER TABLE order_line ATTACH PARTITION {name} "
            f"FOR VALUES FROM ('{start} 00:00+00') TO ('{end} 00:00+00')"
        )
    )
