"""This file says what a source is: how messages of one kind of sender are believed, and how they are read.

A source is one file in `services/ingest/sources/` holding a `SOURCE`. Both functions are pure: secrets, the time
and the zone come as arguments.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.ingest import sources
from services.ingest.faults import Contradiction, Fault
from services.ingest.normalise import Receipt
from shared.domain.order import Order
from shared.plugins import discover

log = logging.getLogger(__name__)

Verify = Callable[[Mapping[str, str], bytes, Sequence[str], datetime], str]
"""(headers by lower-case name, exact body, secrets, now) -> message id; raises shared.signing.SignatureFault."""

Read = Callable[[bytes, Receipt], Order]
"""(exact body, receipt) -> the order in it; raises services.ingest.faults.Contradiction naming every fault."""


@dataclass(frozen=True, slots=True)
class Source:
    """One kind of sender."""

    name: str
    verify: Verify
    read: Read
    media_types: frozenset[str] = frozenset({"application/json"})
    """What the body may say it is."""


def read_event(read: Read, raw: bytes, receipt: Receipt) -> Order:
    """Read with a source's reader. Whatever it throws becomes a Contradiction: the event is kept and shown."""
    try:
        return read(raw, receipt)
    except Contradiction:
        raise
    except Exception as error:
        log.exception("the reader of %s failed", receipt.source)
        raise Contradiction([Fault(f"the reader failed: {error!a}"[:500])]) from error


def all_sources() -> dict[str, Source]:
    """Every source there is, by name: the last part of its hook's address."""
    return discover(sources, "SOURCE", Source)
