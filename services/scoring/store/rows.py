"""This file hands many rows to one statement in forms that both sides read at C speed."""

from collections.abc import Iterable, Sequence

import msgspec

_ENCODER = msgspec.json.Encoder(decimal_format="string")


def as_json(rows: Sequence[object]) -> str:
    """Return the rows for `json_to_recordset(CAST(:rows AS json))`. Decimals and times stay exact."""
    return _ENCODER.encode(rows).decode()


def as_array(ids: Iterable[int]) -> str:
    """Return ids for `CAST(:ids AS bigint[])`: one string, where the driver would convert id by id."""
    return "{" + ",".join(map(str, ids)) + "}"
