"""What to do after a failed try to deliver: when to try again, or why to give up."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

from services.alerts.channel import Rejected, Unavailable

SCHEDULE = tuple(
    timedelta(seconds=seconds)
    for seconds in (5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800, 43200, 43200, 86400, 86400)
)
"""Wait after the first, second ... failed try: 14 tries over 87.7 hours."""

JITTER = 0.2
LONGEST_ASKED = timedelta(hours=1)
REFUSED_SCHEDULE = (timedelta(minutes=10), timedelta(hours=1), timedelta(hours=4), timedelta(hours=12))
"""A receiver that refuses (a 4xx) is asked five times within a day: somebody may repair it."""


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Send the same delivery, with the same id, at that time."""

    at: datetime


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Never send it again. `disables` closes the endpoint too."""

    reason: str
    disables: bool = False


def after_failure(
    attempt: int, error: Rejected | Unavailable, now: datetime, delivery_id: UUID
) -> TryAgain | GiveUp:
    """Return the next step after the `attempt`-th try (counting from 1) failed.

    A receiver may ask for a later time than ours, by an hour at most; the delivery's id fixes the jitter.
    """
    if isinstance(error, Rejected):
        return GiveUp(str(error), disables=error.disables)
    waits = REFUSED_SCHEDULE if error.is_refusal else SCHEDULE
    if attempt > len(waits):
        return GiveUp(f"gave up after {attempt} tries; the last: {error}")
    wait = waits[attempt - 1] * _jitter(delivery_id, attempt)
    if error.retry_after is not None:
        wait = max(wait, min(error.retry_after, LONGEST_ASKED))
    return TryAgain(now + wait)


def _jitter(delivery_id: UUID, attempt: int) -> float:
    """A factor of 0.8 to 1.2, so that what failed together does not return together."""
    digest = sha256(f"{delivery_id}/{attempt}".encode()).digest()
    return 1 - JITTER + 2 * JITTER * int.from_bytes(digest[:4]) / 0xFFFFFFFF
