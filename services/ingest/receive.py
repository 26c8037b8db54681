"""This file decides what a reading of an order is worth, given the reading held: ORDERS, "Receiving". It is pure."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class Verdict(StrEnum):
    """What a reading is, beside the one held."""

    NEW = "new"
    NEWER = "newer"
    REPEAT = "repeat"
    SUPERSEDED = "superseded"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Held:
    """The reading held of an order."""

    event_id: UUID
    version: int
    digest: bytes


def judge(held: Held | None, version: int, digest: bytes) -> Verdict:
    """Compare a reading with the one held. The same content is a repeat whatever its version."""
    if held is None:
        return Verdict.NEW
    if digest == held.digest:
        return Verdict.REPEAT
    if version == held.version:
        return Verdict.CONFLICT
    return Verdict.NEWER if version > held.version else Verdict.SUPERSEDED
