"""Order revisions: compare one with the current one. Pure.

A version is the sender's number, or a time in microseconds since 1970 where the sender gives no number. Numbers below
10^14 (the year 1973) are the sender's. Two numbers, or two times, compare by value. A time and a number say nothing
about each other, and two times within one second little: then what comes later is newer, unless its facts were there
before (`services.ingest.store`).
"""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from shared.domain.order import Order

FIRST_TIME = 10**14
SECOND = 1_000_000


class Comparison(StrEnum):
    """What a revision is, beside the current one."""

    NEW = "new"
    NEWER = "newer"
    DUPLICATE = "duplicate"
    STALE = "stale"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class CurrentRevision:
    """The current revision of an order. `revision` rises with each current one, whatever the versions do."""

    event_id: UUID
    version: int
    digest: bytes
    revision: int = 0


def compare(current: CurrentRevision | None, version: int, digest: bytes) -> Comparison:
    """Compare a revision with the current one. The same content is a duplicate whatever its version."""
    if current is None:
        return Comparison.NEW
    if digest == current.digest:
        return Comparison.DUPLICATE
    if version == current.version:
        if digest[:-32] != current.digest[:-32]:
            # Two versions of the reader differ, not what the sender sent.
            return Comparison.DUPLICATE
        # Within one second a clock cannot tell which edit is newer: the later receipt holds.
        return Comparison.NEWER if is_time(version) and version % SECOND == 0 else Comparison.CONFLICT
    if is_time(version) != is_time(current.version):
        return Comparison.NEWER
    return Comparison.NEWER if version > current.version else Comparison.STALE


def is_newer_by_receipt(current: CurrentRevision, order: Order) -> bool:
    """Does only the order of receipt make it newer? Then it is stale all the same if it was there before."""
    return (
        order.is_unversioned
        or order.version == current.version
        or is_time(order.version) != is_time(current.version)
    )


def is_time(version: int) -> bool:
    """Is this version a time, as the sender gave no number?"""
    return version >= FIRST_TIME


def version_to_keep(current: int, repeated: int) -> int:
    """Return the version of the current revision once its content came again: a number goes before a time."""
    if is_time(current) != is_time(repeated):
        return min(current, repeated)
    return max(current, repeated)
