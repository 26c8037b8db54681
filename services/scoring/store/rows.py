"""Hand many rows to one statement as JSON or an array literal, and set up the transaction of a batch."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import Connection, text

_ENCODER = msgspec.json.Encoder(decimal_format="string")


def as_json(rows: Sequence[object]) -> str:
    """Return the rows for `json_to_recordset(CAST(:rows AS json))`. Decimals and times stay exact."""
    return _ENCODER.encode(rows).decode()


def as_array(ids: Iterable[int]) -> str:
    """Return ids for `CAST(:ids AS bigint[])`: one string, where the driver would convert id by id."""
    return "{" + ",".join(map(str, ids)) + "}"


def settle_in(connection: Connection) -> None:
    """Have the rest of this transaction look rows up by key, and not wait for the disk at its end.

    A batch asks for few rows of large tables that have just grown: old statistics would have them read whole. And a
    batch that a crash takes back leaves its tasks to be done again: what was acknowledged is the event, not this.
    Whoever acts on a batch commits after it, and cannot be on disk before it.
    """
    connection.execute(
        text(
            "SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),"
            " set_config('synchronous_commit', 'off', true)"
        )
    )


def end_of_window(connection: Connection, length: timedelta) -> datetime | None:
    """Return when the current window of that length ends, by the database's clock; None when it has no length."""
    if not length:
        return None
    end: datetime | None = connection.scalar(
        text("SELECT to_timestamp(ceil(extract(epoch FROM now()) / :seconds) * :seconds)"),
        {"seconds": length.total_seconds()},
    )
    return end
