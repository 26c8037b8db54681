"""Sources: how messages of one kind of sender are verified and read, and how a reader says that it cannot.

A source is one file in `services/ingest/sources/` holding a `SOURCE`. Both functions are pure: secrets, the time
and the zone come as arguments.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

import msgspec
from pydantic import BaseModel

from services.ingest import sources
from shared.domain.order import Order
from shared.faults import Fault
from shared.plugins import discover

log = logging.getLogger(__name__)


class ReadContext(msgspec.Struct, frozen=True):
    """What a reader is told: whose order it is, when it came, and what to assume where the body is silent."""

    source: str
    zone: tzinfo
    currency: str
    received_at: datetime
    envelope_at: datetime | None = None


class InvalidOrder(ValueError):
    """An order that cannot be taken as it stands, with every fault found."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(fault.detail for fault in faults))
        self.faults = tuple(faults)

    def within(self, name: str) -> "InvalidOrder":
        """The same faults, seen from a body that holds the order under a name."""
        return InvalidOrder(
            [Fault(each.detail, f"#/{name}{(each.pointer or '#')[1:]}") for each in self.faults]
        )


class NotJson(InvalidOrder):
    """A body that is no JSON, or JSON that two readers could understand differently."""


Verify = Callable[[Mapping[str, str], bytes, Sequence[str], datetime], str]
"""(headers by lower-case name, exact body, secrets, now) -> message id; raises shared.signing.SignatureFault."""

Read = Callable[[bytes, ReadContext], Order]
"""(exact body, context) -> the order in it; raises InvalidOrder naming every fault."""


@dataclass(frozen=True, slots=True)
class Source:
    """One kind of sender."""

    name: str
    verify: Verify
    read: Read
    body: type[BaseModel]
    """What it sends, for the API's description."""
    media_types: frozenset[str] = frozenset({"application/json"})
    """What the body may say it is."""


def all_sources() -> dict[str, Source]:
    """Return every source by name: the last part of its hook's address."""
    return discover(sources, "SOURCE", Source)


def read_event(read: Read, raw: bytes, context: ReadContext) -> Order:
    """Read with a source's reader. Whatever it throws becomes an InvalidOrder: the event is kept and shown."""
    try:
        return read(raw, context)
    except InvalidOrder:
        raise
    except Exception as error:
        log.exception("the reader of %s failed", context.source)
        raise InvalidOrder([Fault(f"the reader failed: {error!a}"[:500])]) from error
