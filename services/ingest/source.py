"""Sources: how messages of one kind of sender are verified, and how they are read.

A source is one file in `services/ingest/sources/` holding a `SOURCE`. Both functions are pure: secrets, the time
and the zone come as arguments.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.ingest import sources
from services.ingest.faults import Fault, InvalidOrder
from services.ingest.normalise import ReadContext
from shared.domain.order import Order
from shared.plugins import discover

log = logging.getLogger(__name__)

Verify = Callable[[Mapping[str, str], bytes, Sequence[str], datetime], str]
"""(headers by lower-case name, exact body, secrets, now) -> message id; raises shared.signing.SignatureFault."""

Read = Callable[[bytes, ReadContext], Order]
"""(exact body, context) -> the order in it; raises services.ingest.faults.InvalidOrder naming every fault."""


@dataclass(frozen=True, slots=True)
class Source:
    """One kind of sender."""

    name: str
    verify: Verify
    read: Read
    media_types: frozenset[str] = frozenset({"application/json"})
    """What the body may say it is."""


def read_event(read: Read, raw: bytes, context: ReadContext) -> Order:
    """Read with a source's reader. Whatever it throws becomes a InvalidOrder: the event is kept and shown."""
    try:
        return read(raw, context)
    except InvalidOrder:
        raise
    except Exception as error:
        log.exception("the reader of %s failed", context.source)
        raise InvalidOrder([Fault(f"the reader failed: {error!a}"[:500])]) from error


def all_sources() -> dict[str, Source]:
    """Every source there is, by name: the last part of its hook's address."""
    return discover(sources, "SOURCE", Source)
