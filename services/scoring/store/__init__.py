"""What scoring reads and writes, one file per noun. Rows stay in here; values go out."""

from collections.abc import Iterable, Sequence

import msgspec

_ENCODER = msgspec.json.Encoder(decimal_format="string", enc_hook=str)  # a zone by its name


def as_json(rows: Sequence[object]) -> str:
    """Return rows for `json_to_recordset(CAST(:rows AS json))`. Decimals and times stay exact."""
    return _ENCODER.encode(rows).decode()


def as_array(ids: Iterable[int]) -> str:
    """Return ids for `CAST(:ids AS bigint[])`: one string, where the driver would convert id by id."""
    return "{" + ",".join(map(str, ids)) + "}"
